//! How much of the past is kept.

use serde::Serialize;

use super::{RunId, RunMode, RunState, RunSummary, Timestamp};

/// Which runs may go. A run goes when any rule says so. Never: a running one, the newest finished one, and the newest
/// finished one that was no plan, which `@failed` is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Keep this many of the newest runs that may have changed something, and as many of those that did not (see
    /// [`RunSummary::is_quiet`]): a verify every minute must not drive out what was done; none: no such rule.
    pub keep_newest: Option<usize>,
    /// Drop runs that began before this; none: no such rule.
    pub started_before: Option<Timestamp>,
    /// Drop the oldest runs until the others fit into so many bytes; none: no such rule.
    pub largest: Option<u64>,
    /// Keep this many of the newest lines of the audit log; none: no such rule.
    pub audit_newest: Option<usize>,
    /// Let fewer runs, or lines, than this be: each time costs a transaction.
    pub least: usize,
    /// Take no more than this many runs, and lines, in one transaction, the oldest first; none: all.
    pub most: Option<usize>,
}

impl RunSummary {
    /// Whether the run certainly changed nothing: a plan, a verify, or all was as wanted.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        match self.mode {
            RunMode::Plan | RunMode::Verify => true,
            RunMode::Run => false,
            RunMode::Apply | RunMode::Rollback | RunMode::Cleanup => self.state == RunState::Ok,
        }
    }
}

/// What [`crate::Store::prune`] took away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The runs, newest first.
    pub runs: Vec<RunId>,
    /// What is kept of the others, in bytes, without what is known of nodes.
    pub kept_bytes: u64,
    /// How many lines of the audit log went.
    pub audit_lines: u64,
}

/// What [`crate::Store::compact`] gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// The file's size before, in bytes.
    pub before: u64,
    /// The file's size after, in bytes.
    pub after: u64,
}
