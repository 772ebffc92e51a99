//! What a watch prints: a line when something happens, or one JSON object a line.

use cm_engine::{Verdict, WatchEvent};
use cm_wire::{Outcome, TaskResult};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::{now, picture::Picture};
use crate::{
    options::Options,
    report::{self, change_lines, drift_text, indented, one_line},
};

/// Prints what happens.
pub struct Teller {
    json: bool,
    verbosity: u8,
    diff: bool,
}

impl Teller {
    /// For these options; diffs are told only where they were asked for.
    pub fn new(options: &Options, diff: bool) -> Self {
        Self { json: options.json, verbosity: options.verbosity(), diff: diff || options.verbose }
    }

    /// A watch of so many hosts begins.
    pub fn begins(&self, hosts: usize) {
        if self.json {
            emit(&json!({ "event": "watch_started", "time": now(), "hosts": hosts }));
        }
    }

    /// It is over.
    pub fn ends(&self, picture: &Picture) {
        let counts = picture.counts();
        if self.json {
            emit(&json!({
                "event": "watch_finished", "time": now(), "differing": counts.differing, "failed": counts.failed,
                "lost": counts.lost,
            }));
            return;
        }
        report::print(&format!(
            "at the end: {} differ, {} failed, {} hosts lost\n",
            counts.differing, counts.failed, counts.lost
        ));
    }

    /// Something a person should know.
    pub fn note(&self, host: &str, text: &str) {
        if self.json {
            emit(&json!({ "event": "note", "time": now(), "host": host, "text": text }));
        } else {
            line(host, &one_line(text));
        }
    }

    /// Something has happened.
    pub fn event(&self, event: &WatchEvent) {
        if self.json {
            emit(&value(event));
            return;
        }
        match event {
            WatchEvent::Standing { host, labels, unseen, again } => {
                let word = if *again { "watched again" } else { "watched" };
                let unseen = match unseen.len() {
                    0 => String::new(),
                    count => format!(", {count} of them seen by looks at everything only"),
                };
                if self.verbosity > 0 {
                    line(host, &format!("{word}: {} resources{unseen}", labels.len()));
                }
                if self.verbosity > 1 && !unseen.is_empty() {
                    self.unseen(event);
                }
            }
            WatchEvent::Verdict { host, task, result, verdict, .. } => {
                let text = told(result, verdict.as_deref());
                line(host, &format!("{} {text}", one_line(&task.id).bold()));
                self.more(result, verdict.as_deref());
            }
            WatchEvent::Note { host, text } => self.note(host, text),
            WatchEvent::Lost { host, trouble, again_in } => {
                let causes = one_line(&trouble.causes.join(": "));
                let what = trouble.headline.as_deref().map_or(trouble.what, |headline| headline);
                let seconds = again_in.as_secs();
                line(
                    host,
                    &format!("{} {causes}; tried again in {seconds} s", format!("LOST: {what}:").red()),
                );
            }
        }
    }

    fn unseen(&self, event: &WatchEvent) {
        if let WatchEvent::Standing { unseen, .. } = event {
            for id in unseen {
                report::print(&format!("    {}\n", one_line(id)));
            }
        }
    }

    fn more(&self, result: &TaskResult, verdict: Option<&Verdict>) {
        if self.diff {
            for text in change_lines(&result.changes, true).iter().filter(|text| text.starts_with("  ")) {
                report::print(&format!("    {text}\n"));
            }
        }
        if self.verbosity > 0 {
            for sentence in verdict.map(drift_text::sentences).unwrap_or_default().iter().skip(1) {
                report::print(&format!("    {sentence}\n"));
            }
        }
    }
}

/// What is to be said of a result.
fn told(result: &TaskResult, verdict: Option<&Verdict>) -> String {
    match &result.outcome {
        Outcome::Ok => "is right again".green().to_string(),
        Outcome::Failed { error, hint } => {
            let hint =
                hint.as_deref().map_or_else(String::new, |hint| format!(" (hint: {})", one_line(hint)));
            format!("{} {}{hint}", "FAILED:".red(), indented(error))
        }
        _ => {
            let word = match verdict {
                Some(verdict) if verdict.is_waived() => "drifted, which is waived".dimmed().to_string(),
                Some(verdict) if verdict.kind.is_drift() => "drifted".red().to_string(),
                Some(verdict) => verdict.kind.word().replace('_', " ").yellow().to_string(),
                None => "differs".red().to_string(),
            };
            format!("{word}: {}", drift_text::attributes(&result.changes))
        }
    }
}

fn line(host: &str, text: &str) {
    report::print(&format!("{} {host}: {text}\n", now()));
}

fn emit(value: &Value) {
    report::print(&format!("{value}\n"));
}

fn value(event: &WatchEvent) -> Value {
    match event {
        WatchEvent::Standing { host, labels, unseen, again } => json!({
            "event": "watching", "time": now(), "host": host, "tasks": labels.len(), "unseen": unseen, "again": again,
        }),
        WatchEvent::Verdict { host, task, result, verdict, at_start } => {
            let mut line = json!({
                "event": "verdict", "time": now(), "host": host, "task": task.id, "role": task.role,
                "place": task.place, "check": task.check, "outcome": report::outcome_word(&result.outcome),
                "changes": report::changes_value(&result.changes), "at_start": at_start,
                "verdict": verdict.as_deref().map(report::verdict_value),
            });
            if let Outcome::Failed { error, hint } = &result.outcome {
                line["error"] = json!(error);
                line["hint"] = json!(hint);
            }
            line
        }
        WatchEvent::Note { host, text } => {
            json!({ "event": "note", "time": now(), "host": host, "text": text })
        }
        WatchEvent::Lost { host, trouble, again_in } => json!({
            "event": "lost", "time": now(), "host": host, "again_in_s": again_in.as_secs(),
            "trouble": {
                "what": trouble.what, "causes": trouble.causes, "details": trouble.details, "hints": trouble.hints,
            },
        }),
    }
}
