//! The ordered tables of bytes that everything is kept in, and the two traits that a place to
//! keep them (a file, memory) has to offer. Knows nothing of records.

use std::{ops::ControlFlow, path::Path};

use crate::StateError;

/// A table. Its number is its place in arrays of tables; its name is what stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Facts about the store itself.
    Meta,
    /// Run id -> summary.
    Runs,
    /// Run id -> nothing, for runs that are not over.
    OpenRuns,
    /// Run id -> names of the hosts it meant to touch.
    RunHosts,
    /// Run id, NUL, host -> the host's part of the run.
    HostResults,
    /// Run id, NUL, digest -> a list of tasks that many hosts share.
    TaskLists,
    /// Node -> what is known of it.
    Nodes,
    /// Node -> its facts.
    Facts,
    /// Node -> its resources.
    Resources,
    /// Sequence, big-endian -> audit line.
    Audit,
    /// Rollout id -> opaque bytes.
    Rollouts,
}

impl Table {
    pub(crate) const ALL: [Self; 11] = [
        Self::Meta,
        Self::Runs,
        Self::OpenRuns,
        Self::RunHosts,
        Self::HostResults,
        Self::TaskLists,
        Self::Nodes,
        Self::Facts,
        Self::Resources,
        Self::Audit,
        Self::Rollouts,
    ];

    /// The name in the file. Prefixed, so that another program's database is never mistaken
    /// for ours because of a table called `runs`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "cm.meta",
            Self::Runs => "cm.runs",
            Self::OpenRuns => "cm.open-runs",
            Self::RunHosts => "cm.run-hosts",
            Self::HostResults => "cm.host-results",
            Self::TaskLists => "cm.task-lists",
            Self::Nodes => "cm.nodes",
            Self::Facts => "cm.facts",
            Self::Resources => "cm.resources",
            Self::Audit => "cm.audit",
            Self::Rollouts => "cm.rollouts",
        }
    }
}

/// Which end a scan begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// What a scan calls with each key and value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StateError> + 'v;

/// One consistent view of all tables.
pub trait ReadTables {
    /// Where they are kept, for messages.
    fn place(&self) -> &Path;
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Visits the keys that begin with `prefix`, in order.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StateError>;
}

/// The same, with changes that become visible all at once or not at all.
pub trait WriteTables: ReadTables {
    /// Sets the value of a key.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StateError>;
    /// Removes a key, if it is there.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StateError>;
    /// Removes every key that begins with `prefix`.
    fn remove_prefix(&mut self, table: Table, prefix: &[u8]) -> Result<(), StateError>;
}

/// A place to keep tables.
pub trait Transact: Send + Sync {
    /// Runs `body` over a consistent view. A place that does not exist yet reads as empty.
    fn read<R>(&self, body: impl FnOnce(&dyn ReadTables) -> Result<R, StateError>) -> Result<R, StateError>;
    /// Runs `body` and makes its changes durable, unless it returns an error: then nothing has
    /// happened.
    fn write<R>(
        &self,
        body: impl FnOnce(&mut dyn WriteTables) -> Result<R, StateError>,
    ) -> Result<R, StateError>;
    /// Gives unused space back; returns the sizes in bytes before and after.
    fn compact_storage(&self) -> Result<(u64, u64), StateError>;
}

/// The smallest key above every key with this prefix; none: there is no such key.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
