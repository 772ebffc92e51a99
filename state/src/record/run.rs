//! A run as a whole.

use serde::Serialize;

use super::{ControllerId, HostCounts, HostRecord, RunId, TaskCounts, Timestamp};

/// What a run was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunMode {
    /// `cm plan`: nothing was changed.
    Plan,
    /// `cm apply`.
    Apply,
    /// `cm verify`: nothing was changed.
    Verify,
    /// `cm run`: one command.
    Run,
    /// `cm rollback`.
    Rollback,
    /// `cm cleanup`.
    Cleanup,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Its controller is at work, or was killed and no later `cm` has noticed yet.
    Running,
    /// Everything was as wanted.
    Ok,
    /// Something was changed (plan: is pending; verify: has drifted).
    Changed,
    /// A task failed, or a host could not be reached.
    Failed,
    /// Ctrl-C, or the controller was killed.
    Interrupted,
    /// The controller gave up because of an error of its own, which `error` tells.
    Aborted,
}

/// A run about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// The command as typed, secrets replaced.
    pub command_line: String,
    /// Who runs it, such as `anna@desk`.
    pub user: String,
    /// The target expression as typed.
    pub target: String,
    /// The roles applied, in the order given.
    pub roles: Vec<String>,
    /// What it does.
    pub mode: RunMode,
    /// When it began.
    pub started: Timestamp,
    /// The process that drives it.
    pub controller: ControllerId,
    /// Every host it means to touch. A host without a result later was not finished.
    pub hosts: Vec<String>,
}

/// A run as nodes remember it, to be put back into a state that has lost it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedRun {
    /// Its name.
    pub id: RunId,
    /// Who ran it, such as `anna@desk`.
    pub user: String,
    /// When it began on the first of them, by that node's clock.
    pub started: Timestamp,
    /// Whether it came to its end on all of them.
    pub ended: bool,
    /// Roles of what it changed.
    pub roles: Vec<String>,
    /// What it changed on each.
    pub hosts: Vec<HostRecord>,
}

/// What was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Runs that were missing.
    pub runs: u64,
    /// Results of hosts that were missing, in these runs and in others.
    pub results: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFinish {
    /// The final state; [`RunState::Running`] is not one.
    pub state: RunState,
    /// When it ended.
    pub finished: Timestamp,
    /// Why it ended early, where it did.
    pub error: Option<String>,
}

/// One line of `cm history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub id: RunId,
    /// The command as typed.
    pub command_line: String,
    /// Who ran it.
    pub user: String,
    /// The target expression.
    pub target: String,
    /// The roles applied.
    pub roles: Vec<String>,
    /// What it did.
    pub mode: RunMode,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; none while it runs.
    pub finished: Option<Timestamp>,
    /// Why it ended early, where it did.
    pub error: Option<String>,
    /// The process that drove it.
    pub controller: ControllerId,
    /// Its hosts by state, as recorded so far.
    pub hosts: HostCounts,
    /// The tasks of its hosts by outcome, as recorded so far.
    pub tasks: TaskCounts,
}
