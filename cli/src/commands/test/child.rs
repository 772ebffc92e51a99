//! `cm` as the operator runs it: the program itself, over a case's repository, told in `--json`.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// How long one command may take on its hosts.
const LIMIT: &str = "20m";

/// How a command has ended, and what it told.
pub struct Answer {
    /// The command, for people.
    pub line: String,
    /// Its exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// Its events.
    pub events: Vec<Value>,
    /// What it said on standard error.
    pub stderr: String,
}

/// A task that was not as wanted on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The host.
    pub host: String,
    /// The task's id.
    pub task: String,
    /// `changed`, `unknown`, `failed`, …
    pub outcome: String,
    /// Whether it is a check of `verify:`.
    pub check: bool,
    /// What differs, as `--json` has it.
    pub changes: String,
}

/// Runs `cm WORDS --json` over a repository.
pub fn run(repository: &Path, words: &[&str]) -> Answer {
    let mut all = words.to_vec();
    all.push("--json");
    if words != ["lint"] {
        all.extend(["--timeout", LIMIT]);
    }
    start(repository, &all, words, None)
}

/// Puts a secret into the repository's `secrets.yaml`.
pub fn set_secret(repository: &Path, name: &str, value: &str) -> Answer {
    let words = ["secrets", "set", name];
    start(repository, &words, &words, Some(value))
}

fn start(repository: &Path, words: &[&str], shown: &[&str], input: Option<&str>) -> Answer {
    let line = format!("cm {}", shown.join(" "));
    let failed = |error: std::io::Error| Answer {
        line: line.clone(),
        code: None,
        events: Vec::new(),
        stderr: format!("it could not be started: {error}\n"),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(error),
    };
    let mut command = Command::new(program);
    command.args(words).args(["--color", "never"]).current_dir(repository).arg("-C").arg(repository);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|mut child| {
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A child that does not read it says why by itself.
            let _ = writeln!(stdin, "{input}");
        }
        child.wait_with_output()
    });
    match output {
        Ok(output) => Answer {
            code: output.status.code(),
            events: String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            line,
        },
        Err(error) => failed(error),
    }
}

/// A text of an event, empty where it is none.
pub fn text<'v>(event: &'v Value, key: &str) -> &'v str {
    event[key].as_str().unwrap_or_default()
}

impl Answer {
    /// The events that tell a task's end.
    pub fn tasks(&self) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(|event| event["event"] == "task")
    }

    /// All tasks that were not as wanted, sorted.
    pub fn differences(&self) -> Vec<Difference> {
        let mut found: Vec<Difference> = self
            .tasks()
            .filter(|event| event["outcome"] != "ok")
            .map(|event| Difference {
                host: text(event, "host").to_owned(),
                task: text(event, "task").to_owned(),
                outcome: text(event, "outcome").to_owned(),
                check: event["check"].as_bool().unwrap_or(false),
                changes: event["changes"].to_string(),
            })
            .collect();
        found.sort();
        found
    }

    /// The roles whose tasks took part.
    pub fn roles(&self) -> Vec<String> {
        let mut roles: Vec<String> = self.tasks().map(|event| text(event, "role").to_owned()).collect();
        roles.sort();
        roles.dedup();
        roles
    }

    /// What went wrong, as lines for a person: failed tasks first, then hosts, then what it said. `places` puts
    /// places of the scenario for those of the files made from it.
    pub fn troubles(&self, places: &BTreeMap<String, String>) -> Vec<String> {
        let mut lines = Vec::new();
        for event in self.tasks().filter(|event| event["outcome"] == "failed") {
            let mut line =
                format!("{}: {} failed: {}", text(event, "host"), text(event, "task"), text(event, "error"));
            line.push_str(&format!("\n    at {}", shown_place(event, places)));
            for stream in ["stdout", "stderr"] {
                let said = event["output"][stream].as_str().unwrap_or_default().trim();
                let last: Vec<&str> = said.lines().rev().take(12).collect();
                for said in last.iter().rev() {
                    line.push_str(&format!("\n    {said}"));
                }
            }
            if let Some(hint) = event["hint"].as_str() {
                line.push_str(&format!("\n    hint: {hint}"));
            }
            lines.push(line);
        }
        for event in self.events.iter().filter(|event| !event["trouble"].is_null()) {
            let trouble = &event["trouble"];
            let mut line = format!("{}: {}", text(event, "host"), text(trouble, "what"));
            for key in ["causes", "details", "hints"] {
                for said in trouble[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    line.push_str(&format!("\n    {said}"));
                }
            }
            lines.push(line);
        }
        // Where nothing failed: what is not as wanted, checks among them; a wall of text helps nobody.
        let most = if lines.is_empty() { 20 } else { 0 };
        for event in
            self.tasks().filter(|event| event["outcome"] != "ok" && event["outcome"] != "failed").take(most)
        {
            let mut line = format!("{}: {} is not as wanted", text(event, "host"), text(event, "task"));
            line.push_str(&format!("\n    at {}", shown_place(event, places)));
            for change in event["changes"].as_array().into_iter().flatten() {
                let show = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
                line.push_str(&format!(
                    "\n    {}: {} -> {}",
                    text(change, "attribute"),
                    show(&change["before"]),
                    show(&change["after"])
                ));
            }
            lines.push(line);
        }
        let said = self.stderr.trim();
        if lines.is_empty() && !said.is_empty() {
            lines.push(said.to_owned());
        }
        if lines.is_empty() {
            let status = self.code.map_or("a signal".to_owned(), |code| format!("exit status {code}"));
            lines.push(format!("it ended with {status} and said nothing"));
        }
        lines
    }
}

/// Where a task stands, in the scenario where it was made from one.
fn shown_place<'a>(event: &'a Value, places: &'a BTreeMap<String, String>) -> &'a str {
    let place = text(event, "place");
    let line = place.rsplit_once(':').map_or(place, |(line, _)| line);
    places.get(line).map_or(place, String::as_str)
}
