//! The schema of a role: from the very declarations by which modules read their parameters.

use cm_modules::{Module, registry};
use cm_roles::CustomModules;
use serde_json::{Map, Value, json};

use super::{
    described, document, object,
    values::{duration, one_or_many, or_template, parameter, text},
};

/// The schema of `role.yaml`, with the modules of the repository.
pub fn schema(custom: &CustomModules) -> Value {
    let list = |of: &str| json!({ "type": "array", "items": { "$ref": format!("#/definitions/{of}") } });
    let mut body = object(
        json!({
            "description": { "type": "string", "description": "What the role is for, one line." },
            "params": {
                "type": "object",
                "description": "What the role can be given; by these names its templates see the values.",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
                "additionalProperties": { "$ref": "#/definitions/param" },
            },
            "needs": described(one_or_many(json!({ "anyOf": [
                { "type": "string" },
                object(json!({ "role": { "type": "string" }, "with": { "type": "object" } }), &["role"]),
            ] })), "Roles that come before this one, with values for their parameters."),
            "prune": { "type": "boolean", "description": "What the role no longer wants is taken back without being asked for." },
            "tasks": described(list("task"), "What is wanted."),
            "verify": described(list("check"), "What must be true when all is as wanted."),
            "cleanup": described(list("task"), "Further tasks of `cm cleanup`, before what cm put there is taken back."),
            "rollout": super::rollout::schema(),
        }),
        &[],
    );
    body["definitions"] = json!({
        "param": param(),
        "task": tasks(registry::MODULES.iter().chain(custom.iter()), true),
        "check": tasks(registry::CHECKS.iter(), false),
    });
    document("A role of cm", "roles/NAME/role.yaml", body)
}

fn param() -> Value {
    let types = ["string", "text", "int", "float", "bool", "list", "map", "path", "duration", "any"];
    let full = object(
        json!({
            "type": { "enum": types, "description": "What it holds." },
            "items": { "enum": types, "description": "What each item of a list or value of a map holds." },
            "default": { "description": "Its value where nobody gives one." },
            "required": { "type": "boolean", "description": "Somebody must give one." },
            "min": { "type": "number", "description": "The least number, or the least length." },
            "max": { "type": "number", "description": "The greatest number, or the greatest length." },
            "pattern": { "type": "string", "description": "A regular expression that the whole text must match." },
            "choices": { "type": "array", "description": "The only values it may have." },
            "description": { "type": "string", "description": "What it means." },
            "sensitive": { "type": "boolean", "description": "Its value is never shown." },
        }),
        &[],
    );
    json!({ "anyOf": [full, { "type": "null" }] })
}

/// A task or check is one of its modules'; each tells its own keys.
fn tasks<'a>(modules: impl Iterator<Item = &'a Module>, guarded: bool) -> Value {
    json!({ "oneOf": modules.map(|module| task(module, guarded)).collect::<Vec<_>>() })
}

fn task(module: &Module, guarded: bool) -> Value {
    let schema = module.schema;
    let mut properties = Map::new();
    let subject = parameter(&schema.subject.kind);
    let doc = format!("{}\n\n{}", clean(schema.doc), clean(schema.subject.doc));
    properties.insert(schema.name.to_owned(), described(one_or_many(subject), doc.trim()));
    for param in schema.params {
        let one = described(parameter(&param.kind), &clean(param.doc));
        properties.insert(param.name.to_owned(), one);
    }
    for (key, value) in common(guarded) {
        properties.entry(key).or_insert(value);
    }
    let mut required = vec![schema.name];
    required.extend(schema.params.iter().filter(|param| param.required).map(|param| param.name));
    object(Value::Object(properties), &required)
}

/// The keys that every task takes.
fn common(guarded: bool) -> Vec<(String, Value)> {
    let references = one_or_many(json!({ "type": "string" }));
    let retry = json!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": 65535 },
        object(json!({ "times": { "type": "integer", "minimum": 0, "maximum": 65535 }, "delay": duration() }), &[]),
    ] });
    let condition = json!({ "type": ["string", "boolean"] });
    let mut keys = vec![
        ("id", text(), "What the task is called; otherwise `module:subject`."),
        ("when", one_or_many(condition), "An expression; the task is there only where it is true."),
        ("each", json!({ "type": ["array", "object", "string"] }), "A task for each item, which is `item`."),
        ("needs", references.clone(), "Tasks that come before."),
        ("restarts", references.clone(), "Services that are restarted when this changes something."),
        ("reloads", references, "Services that are reloaded when this changes something."),
        ("tags", one_or_many(json!({ "type": "string", "pattern": "^[^, ]+$" })), "Words for `--tags`."),
        (
            "become",
            json!({ "type": ["boolean", "string"] }),
            "As root, as the login user (false), or as this user.",
        ),
        ("retry", retry, "Further attempts after a failure, and the time between."),
        ("timeout", or_template(duration()), "The time that one attempt may take."),
        ("sensitive", json!({ "type": "boolean" }), "Its values and diffs are never shown or stored."),
    ];
    if guarded {
        let limit = object(json!({ "connection": duration() }), &[]);
        let guard = json!({ "anyOf": [{ "const": "connection" }, limit] });
        keys.push((
            "guard",
            guard,
            "Taken back by the node unless a new connection proves that it did no harm.",
        ));
    }
    keys.into_iter().map(|(key, schema, doc)| (key.to_owned(), described(schema, doc))).collect()
}

/// A doc comment as a person reads it.
fn clean(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}
