//! What a run changed or would change, in a form that can be compared.

use std::fmt;

use crate::Ran;

/// A task that was not as wanted on a host, with what differs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The host.
    pub host: String,
    /// The task.
    pub task: String,
    /// `changed`, `unknown`, `failed`, `skipped` or `cancelled`.
    pub outcome: String,
    /// What differs: attribute, before, after and diff, as `--json` has them.
    pub changes: String,
}

impl fmt::Debug for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {}", self.host, self.task, self.outcome, self.changes)
    }
}

/// All tasks of a run with `--json` that were not as wanted, sorted.
#[must_use]
#[track_caller]
pub fn differences(ran: &Ran) -> Vec<Difference> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<Difference> = ran
        .tasks()
        .iter()
        .filter(|event| event["outcome"] != "ok")
        .map(|event| Difference {
            host: text(&event["host"]),
            task: text(&event["task"]),
            outcome: text(&event["outcome"]),
            changes: event["changes"].to_string(),
        })
        .collect();
    found.sort();
    found
}
