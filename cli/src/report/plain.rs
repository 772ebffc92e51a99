//! Lines for logs and pipes: one when something happens, the summary at the end.

use std::io::Write;

use cm_engine::{HostEnd, RunEvent, VerdictKind};
use cm_wire::{Outcome, Stream};

use super::{
    Reporter, RunHeader, Summary, changed_word,
    changes::{one_line, printable},
    summary_text,
};

/// Attributes that a task's line names; a tree has one for each file.
const ATTRIBUTES_SHOWN: usize = 20;

/// Writes plain lines to standard output.
pub struct PlainReporter {
    header: RunHeader,
}

impl PlainReporter {
    /// Reports a run.
    pub fn new(header: RunHeader) -> Self {
        Self { header }
    }
}

/// Writes to standard output; a closed pipe is nobody's error.
pub fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The line of an event, where it deserves one.
pub fn event_line(header: &RunHeader, event: &RunEvent) -> Option<String> {
    let text = match event {
        RunEvent::Connected { host, agent_sent, .. } if *agent_sent > 0 => {
            format!("{host}: sent the agent ({} KiB)", agent_sent / 1024)
        }
        RunEvent::Waiting { host, holder } => format!("{host}: waits, {} holds it", one_line(holder)),
        RunEvent::Confirming { host, limit } => {
            format!("{host}: a guarded change is made; coming back over a new connection within {limit} s")
        }
        RunEvent::Confirmed { host } => format!("{host}: reached over a new connection; the change stays"),
        RunEvent::Restarting { host, task, limit } => {
            format!(
                "{host}: {} restarts it; waiting for it to be back (at most {limit} s)",
                one_line(&task.id)
            )
        }
        RunEvent::Back { host, took } => format!("{host}: back after {:.1} s", *took as f64 / 1e6),
        RunEvent::Note { host, text } => format!("{host}: {}", one_line(text)),
        RunEvent::Output { host, stream, text, .. } if header.command == "run" || header.verbosity > 1 => {
            let mark = if *stream == Stream::Stderr { "!" } else { "|" };
            text.lines()
                .map(|line| format!("{host} {mark} {}", printable(line)))
                .collect::<Vec<_>>()
                .join("\n")
        }
        RunEvent::TaskStarted { host, task } if header.verbosity > 1 => {
            format!("{host}: {} …", one_line(&task.id))
        }
        RunEvent::TaskEnded { host, task, result, verdict } if header.command != "run" => {
            let word = match &result.outcome {
                Outcome::Ok if header.verbosity > 1 => "ok",
                Outcome::Ok => return None,
                Outcome::Changed => match verdict {
                    Some(verdict) if verdict.is_waived() => "drifted, which is waived",
                    Some(verdict) => match verdict.kind {
                        VerdictKind::Drift => "drifted",
                        VerdictKind::DriftAndPending => "drifted, and pending",
                        VerdictKind::Pending => "pending",
                        VerdictKind::NeverApplied => "never applied",
                    },
                    None => changed_word(header.mode),
                },
                Outcome::Failed { .. } => "FAILED",
                Outcome::Skipped { .. } => "skipped",
                Outcome::Unknown { .. } => "unknown",
                Outcome::Cancelled => return None,
            };
            let shown = result.changes.iter().take(ATTRIBUTES_SHOWN);
            let mut attributes: Vec<String> = shown.map(|change| one_line(&change.attribute)).collect();
            let more = result.changes.len() - attributes.len();
            if more > 0 {
                attributes.push(format!("… {more} more"));
            }
            let attributes =
                if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
            format!("{host}: {} {word}{attributes}", one_line(&task.id))
        }
        RunEvent::HostEnded(report) => match &report.end {
            HostEnd::Unreachable(trouble) => {
                format!(
                    "{}: UNREACHABLE ({}), {}",
                    report.host,
                    trouble.what,
                    one_line(&trouble.causes.join(": "))
                )
            }
            HostEnd::TakenBack(trouble) => {
                format!("{}: TAKEN BACK, {}", report.host, one_line(&trouble.causes.join(": ")))
            }
            HostEnd::Refused(trouble) => {
                format!("{}: REFUSED, {}", report.host, one_line(&trouble.causes.join(": ")))
            }
            _ => return None,
        },
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

impl Reporter for PlainReporter {
    fn event(&mut self, event: &RunEvent) {
        if self.header.verbosity > 0
            && let Some(line) = event_line(&self.header, event)
        {
            print(&format!("{line}\n"));
        }
    }

    fn finish(&mut self, summary: &Summary) {
        print(&summary_text::render(&self.header, summary));
    }
}
