//! The schema of an inventory.

use serde_json::{Value, json};

use super::{
    described, document, object,
    values::{duration, one_or_many, or_template},
};

/// A variable's name: one that templates can say.
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The schema of `inventory.yaml`.
pub fn schema() -> Value {
    let body = object(
        json!({
            "hosts": {
                "type": "object",
                "description": "Hosts by name; a name may be a range: \"web[01:16]\".",
                "additionalProperties": { "anyOf": [host(), { "type": "null" }] },
            },
            "groups": {
                "type": "object",
                "description": "Groups by name; `all` has every host.",
                "propertyNames": { "pattern": "^[^ .:&!,@-][^ :&!,@]*$" },
                "additionalProperties": { "anyOf": [group(), { "type": "null" }] },
            },
            "defaults": described(object(settings(), &[]), "Settings of all hosts that do not have their own."),
            "sources": {
                "type": "array",
                "description": "Further hosts, from commands and over HTTP; see docs/inventory.md.",
                "items": { "type": "object" },
            },
        }),
        &[],
    );
    document("An inventory of cm", "inventory.yaml, or a file of inventory/", body)
}

fn host() -> Value {
    let mut properties = settings();
    properties["address"] = json!({ "type": ["string", "integer"], "description": "Its name or IP address in the network; otherwise its own name." });
    properties["vars"] = variables();
    object(properties, &[])
}

fn group() -> Value {
    let names = || one_or_many(json!({ "type": "string" }));
    let role = json!({ "anyOf": [
        { "type": "string" },
        object(json!({ "role": { "type": "string" }, "with": { "type": "object" } }), &["role"]),
    ] });
    let mut properties = settings();
    properties["hosts"] = described(names(), "Its hosts.");
    properties["groups"] = described(names(), "Groups whose hosts it has, too.");
    properties["where"] = json!({ "type": "string", "description": "An expression over facts and variables: hosts for which it is true." });
    properties["order"] = described(names(), "Groups of it, in the order in which they are finished.");
    properties["roles"] = described(one_or_many(role), "What belongs on its hosts.");
    properties["vars"] = variables();
    object(properties, &[])
}

fn variables() -> Value {
    json!({ "type": "object", "description": "Variables by name.", "propertyNames": { "pattern": VARIABLE } })
}

/// How hosts are reached, and with whose rights.
fn settings() -> Value {
    let flag = || or_template(json!({ "type": "boolean" }));
    let paths = || one_or_many(json!({ "type": "string", "minLength": 1 }));
    let number = |most: u32| or_template(json!({ "type": "integer", "minimum": 1, "maximum": most }));
    let ssh = object(
        json!({
            "user": { "type": "string", "description": "Who logs in." },
            "port": described(number(65_535), "The port of sshd."),
            "key": described(paths(), "Files of private keys."),
            "certificate": described(paths(), "Files of user certificates."),
            "jump": described(paths(), "Hosts on the way, `[user@]host[:port]`, or `none`."),
            "host_keys": described(or_template(json!({ "enum": ["strict", "accept-new"] })), "What becomes of an unknown host key."),
            "known_hosts": described(paths(), "Further files of known host keys."),
            "connect_timeout": described(or_template(duration()), "The time that a connection may take."),
            "attempts": described(number(1000), "How often a connection is tried."),
            "keepalive": described(or_template(duration()), "The time between signs of life; 0: none."),
            "agent": described(flag(), "Whether keys of ssh-agent are offered."),
            "config": { "type": ["string", "boolean"], "description": "The ssh_config to go by; false: none." },
        }),
        &[],
    );
    json!({
        "ssh": described(ssh, "How hosts are reached by SSH."),
        "connection": described(or_template(json!({ "enum": ["ssh", "local"] })), "By SSH, or this machine itself."),
        "become": described(flag(), "Whether the agent runs with the rights of root, by `sudo -n`."),
        "become_password": { "type": "string", "description": "The password for sudo, from a secret: \"{{ secrets.NAME }}\"." },
    })
}
