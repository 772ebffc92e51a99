//! How much of the past is kept.

use serde::Serialize;

use super::{RunId, Timestamp};

/// Which runs may go. A run goes when either rule says so; a running one and the newest finished
/// one never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Keep this many of the newest runs; none: no such rule.
    pub keep_newest: Option<usize>,
    /// Drop runs that began before this; none: no such rule.
    pub started_before: Option<Timestamp>,
}

/// What [`crate::Store::prune`] took away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The runs, newest first.
    pub runs: Vec<RunId>,
}

/// What [`crate::Store::compact`] gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// The file's size before, in bytes.
    pub before: u64,
    /// The file's size after, in bytes.
    pub after: u64,
}
