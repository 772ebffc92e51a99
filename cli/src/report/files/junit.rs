//! JUnit XML as Jenkins and GitLab read it: a suite a host, a case a resource or check.
//!
//! Drift and what is pending are failures, told apart by their `type`; a task that could not be looked at is an
//! error; what is waived, orphaned or was not reached is skipped, with its reason.

use std::fmt::Write as _;

use cm_xml::escaped;

use cm_engine::{HostEnd, HostReport, TaskLabel, Verdict};
use cm_wire::{Outcome, TaskResult};

use super::{Form, json::trouble};
use crate::report::{RunHeader, Summary, change_lines, drift_text};

/// Writes it.
pub struct Junit;

/// A case, with what is inside it.
struct Case {
    class: String,
    name: String,
    seconds: f64,
    inside: Inside,
}

enum Inside {
    Nothing,
    Failure { kind: &'static str, message: String, text: String },
    Error { kind: &'static str, message: String, text: String },
    Skipped(String),
}

impl Form for Junit {
    fn begin(&self, header: &RunHeader) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\">\n",
            escaped(&format!("cm {}, run {}", header.command, header.run))
        )
    }

    fn host(&self, report: &HostReport, _: bool) -> String {
        let cases = cases(report);
        let count = |wanted: fn(&Inside) -> bool| cases.iter().filter(|case| wanted(&case.inside)).count();
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
            escaped(&report.host),
            cases.len(),
            count(|inside| matches!(inside, Inside::Failure { .. })),
            count(|inside| matches!(inside, Inside::Error { .. })),
            count(|inside| matches!(inside, Inside::Skipped(_))),
            report.took as f64 / 1e6,
        );
        for case in &cases {
            write_case(case, &mut out);
        }
        out.push_str("  </testsuite>\n");
        out
    }

    fn end(&self, _: &RunHeader, _: &Summary) -> String {
        "</testsuites>\n".to_owned()
    }
}

fn cases(report: &HostReport) -> Vec<Case> {
    let mut cases: Vec<Case> = report
        .results
        .iter()
        .filter_map(|result| {
            let label = report.labels.get(result.task as usize)?;
            let verdict = report.verdicts.get(&result.task).map(|verdict| &**verdict);
            Some(Case {
                class: format!("{}.{}", report.host, label.role),
                name: label.id.to_string(),
                seconds: result.took as f64 / 1e6,
                inside: inside(report, label, result, verdict),
            })
        })
        .collect();
    cases.extend(report.orphans.iter().map(|orphan| Case {
        class: format!("{}.{}", report.host, orphan.role),
        name: format!("orphan {}", orphan.item),
        seconds: 0.0,
        inside: Inside::Skipped(format!("orphaned: `{}` wanted it and is gone", orphan.task)),
    }));
    if let Some(why) = trouble(&report.end) {
        cases.push(of_host(
            report,
            Inside::Error {
                kind: "host",
                message: why.headline.clone().unwrap_or_else(|| format!("{} {}", why.what, report.host)),
                text: why.causes.join("\n"),
            },
        ));
    } else if report.end == HostEnd::Cancelled {
        cases.push(of_host(report, Inside::Skipped("the run was stopped before it was done".into())));
    }
    cases
}

fn of_host(report: &HostReport, inside: Inside) -> Case {
    Case { class: report.host.to_string(), name: "host".into(), seconds: 0.0, inside }
}

fn inside(report: &HostReport, label: &TaskLabel, result: &TaskResult, verdict: Option<&Verdict>) -> Inside {
    let name =
        |task: u32| report.labels.get(task as usize).map_or_else(String::new, |label| label.id.to_string());
    match &result.outcome {
        Outcome::Ok => Inside::Nothing,
        Outcome::Changed => differs(label, result, verdict),
        Outcome::Failed { error, hint } => {
            let text = format!("{error}\n{}\nat {}", hint.as_deref().unwrap_or_default(), label.place);
            let message = error.lines().next().unwrap_or_default().to_owned();
            if label.check {
                Inside::Failure { kind: "check", message, text }
            } else {
                Inside::Error { kind: "look", message, text }
            }
        }
        Outcome::Skipped { because } => Inside::Skipped(format!("{} failed", name(*because))),
        Outcome::Unknown { because } => {
            let because: Vec<String> = because.iter().map(|task| name(*task)).collect();
            Inside::Skipped(format!("it hangs on what {} leaves behind", because.join(", ")))
        }
        Outcome::Cancelled => Inside::Skipped("the run was stopped before it was its turn".into()),
    }
}

fn differs(label: &TaskLabel, result: &TaskResult, verdict: Option<&Verdict>) -> Inside {
    let attributes = drift_text::attributes(&result.changes);
    let Some(verdict) = verdict else {
        let kind = if label.check { "check" } else { "differs" };
        return Inside::Failure { kind, message: attributes, text: String::new() };
    };
    if let Some(waiver) = verdict.waived.first() {
        let by = waiver.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        return Inside::Skipped(format!(
            "waived until {}{by}: {} ({attributes})",
            waiver.until, waiver.reason
        ));
    }
    let text = change_lines(&result.changes, true).join("\n");
    Inside::Failure {
        kind: verdict.kind.word(),
        message: attributes,
        text: anstream::adapter::strip_str(&text).to_string(),
    }
}

fn write_case(case: &Case, out: &mut String) {
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.6}\"",
        escaped(&case.class),
        escaped(&case.name),
        case.seconds
    );
    let _ = match &case.inside {
        Inside::Nothing => writeln!(out, "/>"),
        Inside::Skipped(message) => {
            writeln!(out, "><skipped message=\"{}\"/></testcase>", escaped(message))
        }
        Inside::Failure { kind, message, text } => write_fault(out, "failure", kind, message, text),
        Inside::Error { kind, message, text } => write_fault(out, "error", kind, message, text),
    };
}

fn write_fault(out: &mut String, element: &str, kind: &str, message: &str, text: &str) -> std::fmt::Result {
    writeln!(
        out,
        "><{element} type=\"{}\" message=\"{}\">{}</{element}></testcase>",
        escaped(kind),
        escaped(message),
        escaped(text)
    )
}
