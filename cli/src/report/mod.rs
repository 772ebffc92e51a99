//! How a run is told: to a person at a terminal, to a log, to a program.

mod answers;
mod changes;
mod drift_groups;
pub mod drift_text;
pub mod files;
mod host_ranges;
mod json;
mod plain;
mod summary;
mod summary_text;
mod terminal;
pub mod waterfall;

use cm_engine::RunEvent;
use cm_wire::Mode;

pub use answers::AnswersReporter;
pub use changes::change_lines;
pub use json::{JsonReporter, changes as changes_value, outcome_word, verdict_value};
pub use plain::PlainReporter;
pub use summary::{Summary, TroubleKind, name_hosts};
pub use terminal::TerminalReporter;

/// What a reporter must know of the run.
#[derive(Clone, Debug)]
pub struct RunHeader {
    /// The run's id.
    pub run: String,
    /// What it does.
    pub mode: Mode,
    /// `apply`, `plan`, `run`…, for JSON.
    pub command: &'static str,
    /// How many hosts it has.
    pub hosts: usize,
    /// Whether diffs are shown.
    pub diff: bool,
    /// 0: only the summary's errors; 1: normal; 2: every task.
    pub verbosity: u8,
}

/// Tells a run.
pub trait Reporter: Send {
    /// Something happened.
    fn event(&mut self, event: &RunEvent);
    /// The run is over.
    fn finish(&mut self, summary: &Summary);
}

/// The word for a changed task in each mode.
pub fn changed_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Plan => "would change",
        Mode::Apply => "changed",
        // What is more to say of it, its verdict says.
        Mode::Verify => "differs",
    }
}

pub use changes::{indented, one_line, printable};
pub use plain::print;

/// A table without borders, for a person.
pub fn table(headers: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::TableStyle::new()).set_header(headers.iter().copied());
    table
}

/// Prints a table without the blanks at the ends of its lines.
pub fn print_table(table: &comfy_table::Table) {
    let lines: String = table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect();
    print(&lines);
}

/// The columns of the terminal; 100 where there is none.
pub fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .map(|size| usize::from(size.ws_col))
        .ok()
        .filter(|&columns| columns > 0)
        .unwrap_or(100)
}

/// The word by which a value of a small enum goes in JSON.
pub fn json_word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Counts as `3 ok, 1 failed`, without those that are zero.
pub fn counts(value: &impl serde::Serialize) -> String {
    let Ok(serde_json::Value::Object(counts)) = serde_json::to_value(value) else { return String::new() };
    let parts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| count.as_u64().unwrap_or(0) > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}
