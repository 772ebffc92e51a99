//! The formats that lie in the file.
//!
//! The rules, which the tests of [`envelope`] and the golden bytes in `golden` hold:
//! - Every value is an [`envelope`]: a version byte, a checksum, a payload in postcard.
//! - Postcard is positional, so a payload's struct never changes. A new shape is a new struct
//!   (`RunV2`) with a new version byte; the old one stays, and is turned into the new when read.
//! - Whoever adds a version raises [`FORMAT`]. An older `cm` then refuses the whole file instead
//!   of reading around what it does not understand or dropping it when it writes.
//! - A newer `cm` reads everything older; the file's number is raised by its first write.

mod audit;
mod bytes_field;
mod codes;
mod envelope;
mod facts;
#[cfg(test)]
mod golden;
mod host;
mod node;
mod packing;
mod resource;
mod rollout;
mod run;
mod run_hosts;
mod text_limit;

use crate::{StateError, tables::ReadTables};

pub(crate) use envelope::{Stored, decode, encode, get, put, verify};
pub(crate) use facts::{FactsDigest, StoredFacts};
pub(crate) use host::{StoredHost, TaskList, TaskListDigest, pack_host};
pub(crate) use resource::{Lesson, LessonsLearned, StoredResources};
pub(crate) use rollout::StoredRollout;
pub(crate) use run::StoredRun;
pub(crate) use run_hosts::PlannedHosts;

/// The newest format of the file as a whole that this program reads and writes.
pub(crate) const FORMAT: u32 = 2;

/// Why a payload could not be turned into a record.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

impl From<postcard::Error> for Malformed {
    fn from(error: postcard::Error) -> Self {
        Self(error.to_string())
    }
}

impl Malformed {
    /// The error for a value at `key` of the tables.
    pub(crate) fn at(self, tables: &dyn ReadTables, what: &str, key: &[u8]) -> StateError {
        StateError::Damaged {
            path: tables.place().to_owned(),
            detail: format!("{what} `{}` cannot be read: {}", key.escape_ascii(), self.0),
        }
    }
}
