//! One JSON document of a verify: every host, and of its resources those that are not as wanted.

use cm_engine::{HostEnd, HostReport, Trouble};
use cm_wire::Outcome;
use serde_json::{Value, json};

use super::Form;
use crate::report::{
    RunHeader, Summary,
    json::{changes, outcome_word, verdict_value},
};

/// Writes it.
pub struct Json;

impl Form for Json {
    fn begin(&self, header: &RunHeader) -> String {
        format!("{{\"run\": {}, \"command\": {},\n\"hosts\": [\n", json!(header.run), json!(header.command))
    }

    fn host(&self, report: &HostReport, first: bool) -> String {
        let resources: Vec<Value> = report
            .results
            .iter()
            .filter(|result| result.outcome != Outcome::Ok)
            .filter_map(|result| {
                let label = report.labels.get(result.task as usize)?;
                let (error, hint) = match &result.outcome {
                    Outcome::Failed { error, hint } => (Some(error), hint.as_ref()),
                    _ => (None, None),
                };
                Some(json!({
                    "task": label.id, "role": label.role, "place": label.place, "check": label.check,
                    "outcome": outcome_word(&result.outcome), "changes": changes(&result.changes),
                    "verdict": report.verdicts.get(&result.task).map(|verdict| verdict_value(verdict)),
                    "error": error, "hint": hint,
                }))
            })
            .collect();
        let orphans: Vec<Value> = report
            .orphans
            .iter()
            .map(|orphan| json!({ "item": orphan.item, "task": orphan.task, "role": orphan.role }))
            .collect();
        let trouble = trouble(&report.end).map(|why| json!({ "what": why.what, "causes": why.causes }));
        let host = json!({
            "host": report.host, "state": crate::report::json::end_word(&report.end), "duration_us": report.took,
            "tasks": report.results.len(), "resources": resources, "orphans": orphans, "trouble": trouble,
        });
        format!("{}{host}", if first { "" } else { ",\n" })
    }

    fn end(&self, _: &RunHeader, summary: &Summary) -> String {
        let (hosts, tasks, drift) = (json!(summary.hosts), json!(summary.tasks), json!(summary.drift.tally));
        format!("\n],\n\"totals\": {{\"hosts\": {hosts}, \"tasks\": {tasks}, \"drift\": {drift}}}}}\n")
    }
}

/// What was wrong with the host as a whole.
pub(super) fn trouble(end: &HostEnd) -> Option<&Trouble> {
    match end {
        HostEnd::TakenBack(why)
        | HostEnd::Unreachable(why)
        | HostEnd::Invalid(why)
        | HostEnd::Refused(why) => Some(why),
        HostEnd::Ok | HostEnd::Changed | HostEnd::Failed | HostEnd::Cancelled => None,
    }
}
