//! Tables in a redb file that several processes share.
//!
//! redb lets one process write at a time and holds its lock as long as the file is open. So a
//! transaction here is: open, do, close; and whoever finds the file locked tries again shortly.

mod backend;
mod create;
mod explain;
#[cfg(test)]
mod faulty;
mod format;
mod guard;
mod holders;
mod opened;
mod overlay;
mod redb_store;
mod redb_tables;
mod seal;
#[cfg(test)]
mod tests;
mod waiting;

pub use redb_store::RedbStore;
pub use waiting::DEFAULT_LOCK_WAIT;
