//! One JSON object a line; `docs/json.md` describes them. Keys are only ever added.

use cm_engine::{HostEnd, RunEvent, TaskLabel, Trouble, Verdict};
use cm_wire::{Change, Mode, Outcome, Stream, TaskResult, Trace};
use serde_json::{Value, json};

use super::{Reporter, RunHeader, Summary, plain::print};

/// Writes events as JSON lines to standard output.
pub struct JsonReporter {
    header: RunHeader,
    labels: std::collections::HashMap<std::sync::Arc<str>, std::sync::Arc<[TaskLabel]>>,
}

impl JsonReporter {
    /// Reports a run; the first line says which.
    pub fn new(header: RunHeader) -> Self {
        emit(&json!({
            "event": "run_started", "run": header.run, "command": header.command, "hosts": header.hosts,
            "mode": mode_word(header.mode),
        }));
        Self { header, labels: std::collections::HashMap::new() }
    }

    fn name(&self, host: &str, task: u32) -> Option<String> {
        Some(self.labels.get(host)?.get(task as usize)?.id.to_string())
    }

    fn task(&self, host: &str, task: &TaskLabel, result: &TaskResult, verdict: Option<&Verdict>) -> Value {
        let mut line = json!({
            "event": "task", "host": host, "task": task.id, "role": task.role, "place": task.place, "check": task.check,
            "outcome": outcome_word(&result.outcome), "changes": changes(&result.changes),
            "started_us": result.started, "duration_us": result.took, "attempts": result.attempts,
        });
        if let Some(output) = &result.output {
            line["output"] =
                json!({ "status": output.status, "stdout": output.stdout, "stderr": output.stderr });
        }
        match &result.outcome {
            Outcome::Failed { error, hint } => {
                line["error"] = json!(error);
                line["hint"] = json!(hint);
            }
            Outcome::Skipped { because } => line["because"] = json!([self.name(host, *because)]),
            Outcome::Unknown { because } => {
                line["because"] = because.iter().filter_map(|task| self.name(host, *task)).collect();
            }
            _ => {}
        }
        if let Some(verdict) = verdict {
            line["verdict"] = verdict_value(verdict);
        }
        line
    }
}

fn emit(value: &Value) {
    print(&format!("{value}\n"));
}

/// The word of an outcome in JSON and in the state database.
pub fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Changed => "changed",
        Outcome::Failed { .. } => "failed",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Cancelled => "cancelled",
    }
}

/// The word for how a host ended.
pub fn end_word(end: &HostEnd) -> &'static str {
    match end {
        HostEnd::Ok => "ok",
        HostEnd::Changed => "changed",
        HostEnd::Failed => "failed",
        HostEnd::TakenBack(_) => "taken_back",
        HostEnd::Unreachable(_) => "unreachable",
        HostEnd::Invalid(_) => "invalid",
        HostEnd::Refused(_) => "refused",
        HostEnd::Cancelled => "cancelled",
    }
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Plan => "plan",
        Mode::Apply => "apply",
        Mode::Verify => "verify",
    }
}

/// What differs.
pub fn changes(changes: &[Change]) -> Value {
    changes
        .iter()
        .map(|change| {
            json!({ "attribute": change.attribute, "before": change.before, "after": change.after, "diff": change.diff })
        })
        .collect()
}

/// Why a resource is not as wanted.
pub fn verdict_value(verdict: &Verdict) -> Value {
    let applied = verdict.applied.as_ref();
    let applied = applied
        .map(|applied| json!({ "run": applied.run, "time_s": applied.time, "undone": applied.undone }));
    let trace = |trace: &Trace| {
        json!({
            "item": trace.item, "modified_s": trace.modified, "changed_s": trace.changed, "owner": trace.owner,
            "log": trace.log,
        })
    };
    json!({
        "kind": verdict.kind.word(), "waived": verdict.is_waived(), "drift": changes(&verdict.drift),
        "applied": applied, "traces": verdict.traces.iter().map(trace).collect::<Vec<_>>(),
        "waivers": waivers(&verdict.waived), "expired_waivers": waivers(&verdict.expired),
    })
}

fn waivers(waivers: &[std::sync::Arc<cm_plan::Waiver>]) -> Value {
    waivers
        .iter()
        .map(|waiver| {
            json!({
                "resource": waiver.resource, "until": waiver.until.to_string(), "reason": waiver.reason,
                "by": waiver.by, "place": waiver.place,
            })
        })
        .collect()
}

fn trouble(trouble: &Trouble) -> Value {
    json!({ "what": trouble.what, "causes": trouble.causes, "details": trouble.details, "hints": trouble.hints })
}

impl Reporter for JsonReporter {
    fn event(&mut self, event: &RunEvent) {
        let line = match event {
            RunEvent::Connecting { host } => json!({ "event": "connecting", "host": host }),
            RunEvent::Connected { host, agent_sent, took, facts, host_key } => {
                let mut line = json!({
                    "event": "connected", "host": host, "agent_sent": agent_sent, "duration_us": took, "host_key": host_key
                });
                if self.header.command == "facts" {
                    line["facts"] = json!(facts.as_ref());
                }
                line
            }
            RunEvent::Planned { host, labels } => {
                self.labels.insert(host.clone(), labels.clone());
                json!({ "event": "planned", "host": host, "tasks": labels.len() })
            }
            RunEvent::Added { host, labels, from } => {
                self.labels.insert(host.clone(), labels.clone());
                json!({ "event": "added", "host": host, "tasks": labels.len() - from })
            }
            RunEvent::Orphan { host, orphan } => json!({
                "event": "orphan", "host": host, "item": orphan.item, "task": orphan.task, "role": orphan.role,
                "pruned": orphan.pruned,
            }),
            RunEvent::Confirming { host, limit } => {
                json!({ "event": "confirming", "host": host, "limit_s": limit })
            }
            RunEvent::Confirmed { host } => json!({ "event": "confirmed", "host": host }),
            RunEvent::Restarting { host, task, limit } => {
                json!({ "event": "restarting", "host": host, "task": task.id, "limit_s": limit })
            }
            RunEvent::Back { host, took } => json!({ "event": "back", "host": host, "duration_us": took }),
            // Goes into the file of the plan, and nowhere else.
            RunEvent::Promised { .. } => return,
            RunEvent::Ledger { host, ledger } => json!({
                "event": "ledger", "host": host, "runs": ledger.runs.len(), "items": ledger.items.len()
            }),
            RunEvent::Waiting { host, holder } => {
                json!({ "event": "waiting", "host": host, "holder": holder })
            }
            RunEvent::TaskStarted { host, task } => {
                json!({ "event": "task_started", "host": host, "task": task.id })
            }
            RunEvent::Output { host, task, stream, text } => {
                let stream = if *stream == Stream::Stdout { "stdout" } else { "stderr" };
                json!({ "event": "output", "host": host, "task": task.id, "stream": stream, "text": text })
            }
            RunEvent::TaskEnded { host, task, result, verdict } => {
                self.task(host, task, result, verdict.as_deref())
            }
            RunEvent::Note { host, text } => json!({ "event": "note", "host": host, "text": text }),
            RunEvent::HostEnded(report) => {
                self.labels.remove(&report.host);
                let word = end_word(&report.end);
                let why = match &report.end {
                    HostEnd::TakenBack(why)
                    | HostEnd::Unreachable(why)
                    | HostEnd::Invalid(why)
                    | HostEnd::Refused(why) => Some(why),
                    HostEnd::Ok | HostEnd::Changed | HostEnd::Failed | HostEnd::Cancelled => None,
                };
                let mut line = json!({ "event": "host", "host": report.host, "state": word, "duration_us": report.took });
                if let Some(why) = why {
                    line["trouble"] = trouble(why);
                }
                line
            }
        };
        emit(&line);
    }

    fn finish(&mut self, summary: &Summary) {
        let mut line = json!({
            "event": "run_finished", "run": self.header.run, "hosts": summary.hosts, "tasks": summary.tasks,
            "duration_us": u64::try_from(summary.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
        if self.header.mode == Mode::Verify {
            line["drift"] = json!(summary.drift.tally);
        }
        emit(&line);
    }
}
