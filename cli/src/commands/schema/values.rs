//! Schemas of single values. Where a template may stand, a string with one is as good as the value.

use cm_modules::Kind;
use serde_json::{Value, json};

/// A string that holds a template.
pub fn template() -> Value {
    json!({ "type": "string", "pattern": "\\{\\{|\\{%" })
}

/// A value, or a template that gives it.
pub fn or_template(schema: Value) -> Value {
    json!({ "anyOf": [schema, template()] })
}

/// One value, or a list of such.
pub fn one_or_many(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "array", "items": schema }] })
}

/// Text; a number is text, too, where its spelling is its value.
pub fn text() -> Value {
    json!({ "type": ["string", "integer"] })
}

/// Seconds as a number, or `500ms`, `10s`, `5m` or `5min`, `2h`, `1d`.
pub fn duration() -> Value {
    json!({ "anyOf": [
        { "type": "number", "minimum": 0 },
        { "type": "string", "pattern": "^([0-9]+\\.?[0-9]*|\\.[0-9]+)(ms|s|m|min|h|d)?$" },
    ] })
}

/// What a parameter of a module takes.
pub fn parameter(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => or_template(json!({ "type": "boolean" })),
        Kind::Int { min, max } => {
            let mut int = json!({ "type": "integer" });
            if *min != i64::MIN {
                int["minimum"] = json!(min);
            }
            if *max != i64::MAX {
                int["maximum"] = json!(max);
            }
            or_template(int)
        }
        Kind::Text | Kind::Content => text(),
        Kind::Template | Kind::Source | Kind::SourceTree => json!({ "type": "string" }),
        Kind::Path => or_template(json!({ "type": "string", "pattern": "^/" })),
        Kind::Mode => or_template(json!({ "type": "string", "pattern": "^[0-7]{3,4}$" })),
        Kind::Duration => or_template(duration()),
        Kind::Choice(words) => or_template(json!({ "enum": words })),
        Kind::List(inner) => or_template(one_or_many(parameter(inner))),
        Kind::Map(inner) => {
            or_template(json!({ "type": "object", "additionalProperties": parameter(inner) }))
        }
        Kind::Any => json!({}),
    }
}
