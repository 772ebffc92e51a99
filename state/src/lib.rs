//! What `cm` remembers: nodes, resources, runs, rollouts and the audit log.
//!
//! Everything goes through the [`Store`] trait. [`RedbStore`] keeps it in one file that several
//! processes share by opening it briefly; [`MemoryStore`] keeps it for the length of a test. Both
//! run the same record logic over a few ordered tables of bytes.
//!
//! Public record types are what callers hold; what lies in the file are the separate types of
//! `stored`, each with a version, so that the formats outlive the code. Secrets must be replaced
//! before anything comes here: this crate stores what it is given.

mod error;
mod file;
mod ledger;
mod memory;
mod record;
mod store;
mod stored;
mod tables;

pub use error::StateError;
pub use file::{DEFAULT_LOCK_WAIT, RedbStore};
pub use memory::MemoryStore;
pub use record::*;
pub use store::Store;
