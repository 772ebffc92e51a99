//! The append-only log of who did what.

use serde::Serialize;

use super::{RunId, Timestamp};

/// Something to be written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it was done.
    pub at: Timestamp,
    /// Who did it, such as `anna@desk`.
    pub who: String,
    /// What was done, in words.
    pub what: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it.
    pub who: String,
    /// What was done.
    pub what: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
}
