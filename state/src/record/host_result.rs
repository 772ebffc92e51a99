//! What a run did on one host, down to its tasks.

use std::sync::Arc;

use serde::Serialize;

use super::{NodeUpdate, Resource, RunId, Timestamp};

/// How a host came out of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostState {
    /// Everything was as wanted.
    Ok,
    /// Something was changed (plan: is pending; verify: has drifted).
    Changed,
    /// A task failed.
    Failed,
    /// It could not be reached, or the link was lost for good.
    Unreachable,
    /// The run was interrupted while it was at work.
    Interrupted,
    /// The run ended before it was its turn.
    Skipped,
    /// Part of a run that has no result for it: still running, or its controller was killed.
    /// Never recorded; filled in when read.
    Unfinished,
}

/// How a task came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskOutcome {
    /// It was as wanted.
    Ok,
    /// It differed and was changed (plan: would be; verify: has drifted).
    Changed,
    /// It could not be made as wanted.
    Failed,
    /// It did not run because of `because`, or its `when` was false.
    Skipped,
    /// A plan cannot know.
    Unknown,
    /// The run was stopped before it started.
    Cancelled,
}

/// One attribute that differed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskChange {
    /// The attribute: `content`, `mode`, `version`, …
    pub attribute: String,
    /// What it was; none: absent.
    pub before: Option<String>,
    /// What is wanted; none: absent.
    pub after: Option<String>,
    /// A unified diff, where it is a text.
    pub diff: Option<String>,
}

/// What a task's command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskOutput {
    /// Exit status; 128 + n when ended by signal n.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// One task on one host. Texts are cut when stored: 64 KiB each, 1 MiB a host; a mark at the
/// end says how much is missing. Secrets must have been replaced before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskResult {
    /// Its id, such as `file:/etc/hosts`; unique on the host.
    pub id: Arc<str>,
    /// The role it is of.
    pub role: Option<Arc<str>>,
    /// How it came out.
    pub outcome: TaskOutcome,
    /// What differed.
    pub changes: Vec<TaskChange>,
    /// What its command printed.
    pub output: Option<TaskOutput>,
    /// Why it failed.
    pub error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Ids of the tasks (or a reason in words) because of which it was skipped or is unknown. Of a resource that
    /// differs in a verify: the word of its verdict, then what is known of it, a sentence each.
    pub because: Vec<String>,
    /// Microseconds from the start of the host's part of the run; none: it did not start, or was as wanted in less than
    /// [`QUICK`]: then its times are not kept.
    pub started_us: Option<u64>,
    /// Microseconds it took.
    pub duration_us: u64,
    /// Attempts made; 1 unless it was retried.
    pub attempts: u16,
}

impl TaskResult {
    /// A task with this outcome and nothing else to tell.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>, outcome: TaskOutcome) -> Self {
        Self {
            id: id.into(),
            role: None,
            outcome,
            changes: Vec::new(),
            output: None,
            error: None,
            hint: None,
            because: Vec::new(),
            started_us: None,
            duration_us: 0,
            attempts: 1,
        }
    }
}

/// The times of a task that was as wanted are kept from this many microseconds on.
pub const QUICK: u64 = 1000;

/// Everything a run did on one host. Tasks come back in the order they started; those of which
/// no start is known follow, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostResult {
    /// The host's name.
    pub host: String,
    /// How it came out.
    pub state: HostState,
    /// Why, when it failed as a whole (could not be reached, sudo refused, …).
    pub error: Option<String>,
    /// When its part of the run began.
    pub started: Timestamp,
    /// Microseconds its part of the run took.
    pub duration_us: u64,
    /// Its tasks.
    pub tasks: Vec<TaskResult>,
}

/// A host's part of a run without its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostSummary {
    /// The host's name.
    pub host: String,
    /// How it came out.
    pub state: HostState,
    /// Why, when it failed as a whole.
    pub error: Option<String>,
    /// When its part of the run began; none for [`HostState::Unfinished`].
    pub started: Option<Timestamp>,
    /// Microseconds its part of the run took.
    pub duration_us: u64,
    /// Its tasks by outcome.
    pub tasks: TaskCounts,
}

/// What is recorded of a host in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRecord {
    /// Its part of the run. Recording a host again replaces it.
    pub result: HostResult,
    /// What was learned of the node.
    pub node: Option<NodeUpdate>,
    /// What was learned of its resources.
    pub resources: Vec<Resource>,
}

impl From<HostResult> for HostRecord {
    fn from(result: HostResult) -> Self {
        Self { result, node: None, resources: Vec::new() }
    }
}

/// Tasks by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field counts the outcome of its name")]
pub struct TaskCounts {
    pub ok: u64,
    pub changed: u64,
    pub failed: u64,
    pub skipped: u64,
    pub unknown: u64,
    pub cancelled: u64,
}

impl TaskCounts {
    /// Counts the outcomes of tasks.
    #[must_use]
    pub fn of(tasks: &[TaskResult]) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            *match task.outcome {
                TaskOutcome::Ok => &mut counts.ok,
                TaskOutcome::Changed => &mut counts.changed,
                TaskOutcome::Failed => &mut counts.failed,
                TaskOutcome::Skipped => &mut counts.skipped,
                TaskOutcome::Unknown => &mut counts.unknown,
                TaskOutcome::Cancelled => &mut counts.cancelled,
            } += 1;
        }
        counts
    }

    pub(crate) fn to_array(self) -> [u64; 6] {
        [self.ok, self.changed, self.failed, self.skipped, self.unknown, self.cancelled]
    }

    pub(crate) fn from_array([ok, changed, failed, skipped, unknown, cancelled]: [u64; 6]) -> Self {
        Self { ok, changed, failed, skipped, unknown, cancelled }
    }

    /// All tasks.
    #[must_use]
    pub fn total(self) -> u64 {
        self.to_array().iter().sum()
    }
}

/// Hosts by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field counts the state of its name")]
pub struct HostCounts {
    /// All hosts of the run, those without a result included.
    pub total: u64,
    pub ok: u64,
    pub changed: u64,
    pub failed: u64,
    pub unreachable: u64,
    pub interrupted: u64,
    pub skipped: u64,
}

impl HostCounts {
    /// Hosts that have no result (yet).
    #[must_use]
    pub fn unfinished(self) -> u64 {
        self.total.saturating_sub(self.finished())
    }

    /// Hosts that have a result.
    #[must_use]
    pub fn finished(self) -> u64 {
        self.ok + self.changed + self.failed + self.unreachable + self.interrupted + self.skipped
    }

    pub(crate) fn slot(&mut self, state: HostState) -> Option<&mut u64> {
        Some(match state {
            HostState::Ok => &mut self.ok,
            HostState::Changed => &mut self.changed,
            HostState::Failed => &mut self.failed,
            HostState::Unreachable => &mut self.unreachable,
            HostState::Interrupted => &mut self.interrupted,
            HostState::Skipped => &mut self.skipped,
            HostState::Unfinished => return None,
        })
    }
}

/// Which tasks of a host are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskFilter {
    /// All.
    All,
    /// All but those that were ok: what a person reads.
    NotOk,
}

/// The hosts `@failed` stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedHosts {
    /// The run they are of: the newest that is over and was no plan.
    pub run: RunId,
    /// Failed or unreachable, by name.
    pub failed: Vec<String>,
    /// Interrupted, not reached any more, or without a result since the controller was killed.
    pub unfinished: Vec<String>,
}
