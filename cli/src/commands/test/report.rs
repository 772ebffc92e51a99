//! What was tested and how it went: lines and a table for a person, lines of JSON, and documents for other programs.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use cm_xml::escaped;

use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

use super::result::{COLUMNS, CaseResult, Step};
use crate::{options::Options, report};

/// The form of a report in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object.
    Json,
    /// JUnit's XML: a suite a case, a test a step.
    Junit,
}

/// Reads `json:FILE` or `junit:FILE`.
pub fn parse(text: &str) -> Result<(Form, PathBuf), String> {
    let (form, path) = text.split_once(':').unwrap_or((text, ""));
    let form = match form {
        "json" => Form::Json,
        "junit" => Form::Junit,
        _ => return Err(format!("{text:?} is no report: json:FILE or junit:FILE was expected")),
    };
    if path.is_empty() {
        return Err(format!("{text:?} names no file"));
    }
    Ok((form, path.into()))
}

/// Tells cases as they end.
pub struct Report {
    json: bool,
    quiet: bool,
    verbose: bool,
    all: usize,
    done: usize,
}

impl Report {
    /// A report of so many cases.
    pub fn new(options: &Options, all: usize) -> Self {
        Self { json: options.json, quiet: options.quiet, verbose: options.verbose, all, done: 0 }
    }

    /// A case has ended.
    pub fn case(&mut self, result: &CaseResult) {
        self.done += 1;
        if self.json {
            let mut line = case_value(result);
            line["event"] = json!("case");
            report::print(&format!("{line}\n"));
            return;
        }
        if !result.is_ok() {
            anstream::eprint!("{}", failure(result));
        } else if !self.quiet {
            let seconds = result.took().as_secs_f64();
            anstream::eprintln!("[{}/{}] {} ok in {seconds:.1} s", self.done, self.all, result.name());
        }
        if self.verbose {
            for step in &result.steps {
                anstream::eprintln!("    {} {:.1} s", step.name, step.took.as_secs_f64());
            }
        }
    }

    /// All have ended.
    pub fn finish(&self, results: &[CaseResult]) {
        let failed = results.iter().filter(|result| !result.is_ok()).count();
        if self.json {
            let line = json!({ "event": "test_finished", "cases": results.len(), "failed": failed, "not_begun": self.all - results.len() });
            report::print(&format!("{line}\n"));
            return;
        }
        if !self.quiet {
            let mut headers = vec!["role", "scenario", "release"];
            headers.extend(COLUMNS);
            headers.push("all");
            let mut table = report::table(&headers);
            for result in results {
                let mut row = vec![result.role.clone(), result.scenario.clone(), result.release.to_owned()];
                row.extend(COLUMNS.iter().map(|column| cell(result, column)));
                row.push(format!("{:.1} s", result.took().as_secs_f64()));
                table.add_row(row);
            }
            report::print_table(&table);
        }
        let begun = if self.all > results.len() {
            format!(", {} not begun", self.all - results.len())
        } else {
            String::new()
        };
        report::print(&format!("{} ok, {failed} failed{begun}\n", results.len() - failed));
    }
}

/// `1.2 s`, `failed`, or nothing for a step that was not done.
fn cell(result: &CaseResult, column: &str) -> String {
    let steps: Vec<&Step> = result.steps.iter().filter(|step| step.column == column).collect();
    if steps.is_empty() {
        return "-".into();
    }
    if steps.iter().any(|step| !step.troubles.is_empty()) {
        return "failed".into();
    }
    let took: Duration = steps.iter().map(|step| step.took).sum();
    format!("{:.1} s", took.as_secs_f64())
}

/// A case that failed: which step, what, and where to look.
fn failure(result: &CaseResult) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = match result.failed() {
        Some(step) => {
            writeln!(text, "{}: {}: step `{}` failed", "error".red().bold(), result.name(), step.name)
        }
        None => writeln!(text, "{}: {} was interrupted", "error".red().bold(), result.name()),
    };
    for trouble in result.failed().iter().flat_map(|step| &step.troubles) {
        let _ = writeln!(text, "  {}", trouble.replace('\n', "\n  "));
    }
    let hint = "hint".cyan().bold().to_string();
    match &result.kept {
        Some(kept) => {
            for host in &kept.hosts {
                let _ = writeln!(
                    text,
                    "{hint}: `cm lab ssh {host} --lab {} --user root` is a shell there",
                    kept.lab
                );
            }
            let _ = writeln!(
                text,
                "{hint}: `cm -C {} plan {} on {}` tries again; `cm lab down {}` ends it",
                kept.repository, result.role, kept.on, kept.lab
            );
        }
        None if !result.interrupted => {
            let _ = writeln!(
                text,
                "{hint}: `cm test {} --scenario {} --matrix {} --keep` leaves the hosts running",
                result.role, result.scenario, result.release
            );
        }
        None => {}
    }
    text
}

/// The whole report as a document.
pub fn document(form: Form, results: &[CaseResult]) -> String {
    match form {
        Form::Json => {
            let cases: Vec<Value> = results.iter().map(case_value).collect();
            format!("{:#}\n", json!({ "ok": results.iter().all(CaseResult::is_ok), "cases": cases }))
        }
        Form::Junit => junit(results),
    }
}

fn case_value(result: &CaseResult) -> Value {
    let steps: Vec<Value> = result
        .steps
        .iter()
        .map(|step| {
            json!({
                "step": step.column, "name": step.name, "ok": step.troubles.is_empty(),
                "duration_us": micros(step.took), "troubles": step.troubles,
            })
        })
        .collect();
    let kept = result
        .kept
        .as_ref()
        .map(|kept| json!({ "lab": kept.lab, "hosts": kept.hosts, "repository": kept.repository }));
    json!({
        "role": result.role, "scenario": result.scenario, "release": result.release, "ok": result.is_ok(),
        "interrupted": result.interrupted, "duration_us": micros(result.took()), "steps": steps, "kept": kept,
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn junit(results: &[CaseResult]) -> String {
    let failures = |steps: &[Step]| steps.iter().filter(|step| !step.troubles.is_empty()).count();
    let tests: usize = results.iter().map(|result| result.steps.len()).sum();
    let failed: usize = results.iter().map(|result| failures(&result.steps)).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites tests=\"{tests}\" failures=\"{failed}\">");
    for result in results {
        let name = escaped(&result.name());
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" time=\"{:.3}\">",
            result.steps.len(),
            failures(&result.steps),
            result.took().as_secs_f64()
        );
        for step in &result.steps {
            let _ = write!(
                text,
                "    <testcase classname=\"{name}\" name=\"{}\" time=\"{:.3}\"",
                escaped(&step.name),
                step.took.as_secs_f64()
            );
            if step.troubles.is_empty() {
                text.push_str("/>\n");
            } else {
                let first = step.troubles[0].lines().next().unwrap_or_default();
                let _ = writeln!(
                    text,
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                    escaped(first),
                    escaped(&step.troubles.join("\n"))
                );
            }
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(troubles: &[&str]) -> CaseResult {
        CaseResult {
            role: "web".into(),
            scenario: "tls".into(),
            release: "debian-12",
            steps: vec![Step {
                column: "drift",
                name: "drift: <stopped>".into(),
                took: Duration::from_millis(1500),
                troubles: troubles.iter().map(|&trouble| trouble.to_owned()).collect(),
            }],
            interrupted: false,
            kept: None,
        }
    }

    #[test]
    fn junit_holds_what_went_wrong_and_stays_xml() {
        let text = document(Form::Junit, &[result(&["a \"b\" <c> & \u{1}\nsecond"]), result(&[])]);
        assert!(text.contains("<testsuites tests=\"2\" failures=\"1\">"), "{text}");
        assert!(text.contains("message=\"a &quot;b&quot; &lt;c&gt; &amp; \u{fffd}\""), "{text}");
        assert!(text.contains("name=\"drift: &lt;stopped&gt;\" time=\"1.500\"/>"), "{text}");
    }

    #[test]
    fn a_failed_case_says_which_step_and_how_to_look_at_it() {
        let text = anstream::adapter::strip_str(&failure(&result(&["node1: file:/x failed"]))).to_string();
        assert!(text.contains("web/tls on debian-12: step `drift: <stopped>` failed"), "{text}");
        assert!(text.contains("cm test web --scenario tls --matrix debian-12 --keep"), "{text}");
    }

    #[test]
    fn reports_are_named_by_form_and_file() {
        assert_eq!(parse("junit:a:b.xml"), Ok((Form::Junit, "a:b.xml".into())));
        assert!(parse("xml:x").is_err());
        assert!(parse("json").is_err());
    }
}
