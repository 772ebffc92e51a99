//! How a run is told: to a person at a terminal, to a log, to a program.

mod changes;
mod json;
mod plain;
mod summary;
mod summary_text;
mod terminal;

use cm_engine::RunEvent;
use cm_wire::Mode;

pub use changes::change_lines;
pub use json::JsonReporter;
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
        Mode::Verify => "drifted",
    }
}
