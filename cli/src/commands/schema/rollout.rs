//! The schema of a role's `rollout:`.

use serde_json::{Value, json};

use super::{
    described, object,
    values::{duration, one_or_many},
};

/// `rollout:` of a role.
pub fn schema() -> Value {
    let written = "^\\s*\\+?([0-9]+|0*(100|[0-9]{1,2})\\s*%)\\s*$";
    let size = || json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": written }] });
    let count = || json!({ "type": "integer", "minimum": 1 });
    let spread = json!({ "anyOf": [
        { "type": "string" },
        object(json!({ "by": { "type": "string" }, "max": count(), "per_domain": count() }), &["by"]),
    ] });
    let section = object(
        json!({
            "batch": described(one_or_many(size()), "Sizes of batches: totals where one of them is 100%, else one after the other."),
            "max_unavailable": described(size(), "Nodes that may be out of service at once."),
            "window": { "type": "boolean", "description": "Keep as many in work as may be, whatever the batch." },
            "promote": { "enum": ["auto", "manual"], "description": "What comes after the first batch." },
            "spread": described(spread, "Failure domains: an expression, and how many may be in work."),
            "order": { "type": "string", "description": "given, random, or an expression to sort by." },
            "min_healthy_time": described(duration(), "Gates must pass for so long."),
            "healthy_deadline": described(duration(), "And pass within this time after the apply."),
            "progress_deadline": described(duration(), "Something must become done within this time."),
            "gate_interval": described(duration(), "The time between two tries of a gate."),
            "max_failures": described(size(), "Nodes that may fail."),
            "on_failure": { "enum": ["pause", "abort", "rollback"], "description": "What is done when more fail." },
            "gates": { "type": ["array", "null"], "items": gate(), "description": "What must hold after a node, or a batch." },
            "hooks": { "type": ["array", "null"], "items": hook(), "description": "Commands round nodes and batches." },
        }),
        &[],
    );
    described(section, "How `cm rollout` goes about this role; see docs/rollout.md.")
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn gate() -> Value {
    let of = |own: Value, required: &[&str]| {
        let mut gate = object(own, required);
        gate["properties"]["per"] = json!({ "enum": ["node", "batch"] });
        gate["properties"]["timeout"] = duration();
        gate
    };
    let status = json!({ "type": "integer", "minimum": 100, "maximum": 599 });
    json!({ "oneOf": [
        of(json!({ "command": text() }), &["command"]),
        of(json!({ "http": text(), "status": status, "contains": text() }), &["http"]),
        of(
            json!({ "prometheus": text(), "query": text(), "pass": text(), "fail": text() }),
            &["prometheus", "query", "pass"],
        ),
    ] })
}

fn hook() -> Value {
    let keys = ["before_node", "after_node", "before_batch", "after_batch"];
    let mut hook = object(json!({ "on": text(), "already": text(), "timeout": duration() }), &[]);
    for key in keys {
        hook["properties"][key] = text();
    }
    let one_of = |keys: &[&str]| -> Value { keys.iter().map(|key| json!({ "required": [key] })).collect() };
    hook["anyOf"] = one_of(&keys);
    // Only what is done round a node may be done already.
    hook["if"] = json!({ "required": ["already"] });
    hook["then"] = json!({ "anyOf": one_of(&keys[..2]) });
    hook
}
