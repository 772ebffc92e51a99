//! What is written down, and how: a length, a checksum and postcard bytes a record.

use cm_modules::{
    custom::Call,
    former::{Former, Item},
};
use cm_wire::{Digest, Notice};
use serde::{Deserialize, Serialize};

/// What is written down. New kinds of records are added at the end: the encoding is positional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A run writes for the first time.
    Began {
        /// Its id.
        run: String,
        /// Who runs it.
        holder: String,
        /// Seconds since 1970.
        time: u64,
    },
    /// A thing is about to be changed for the first time in a run.
    Before {
        /// The thing.
        item: Item,
        /// What it was.
        former: Former,
        /// The run.
        run: String,
        /// Seconds since 1970.
        time: u64,
    },
    /// A task wants these things, and is about to change them or found them as it wants them.
    Touched {
        /// Who wants them.
        owner: Owner,
        /// The things.
        items: Vec<Item>,
        /// What is owed to services when they change.
        owes: Vec<(String, Owes)>,
        /// Their contents and values are never shown.
        sensitive: bool,
        /// The run.
        run: String,
        /// Seconds since 1970.
        time: u64,
    },
    /// What a thing is after a run changed it.
    After {
        /// The thing.
        item: Item,
        /// What it is now; its content is not kept.
        now: Former,
        /// The run.
        run: String,
    },
    /// A service owes a restart or reload.
    Owed {
        /// The service's unit.
        service: String,
        /// What it owes.
        notice: Owes,
        /// The task whose change made it so.
        because: String,
        /// The run.
        run: String,
    },
    /// A service has nothing owed any more.
    Paid {
        /// The service's unit.
        service: String,
    },
    /// A task changed nothing after all: what was owed because of it is not.
    Forgiven {
        /// The task.
        because: String,
        /// The run.
        run: String,
    },
    /// A transaction of the package manager begins; what comes along is told from this snapshot.
    Packages {
        /// The kept snapshot of all packages and accounts.
        snapshot: Digest,
        /// Who wants it.
        owners: Vec<Owner>,
        /// The run.
        run: String,
        /// Seconds since 1970.
        time: u64,
    },
    /// The transaction has ended, and what came along is written down.
    PackagesDone,
    /// Things are what they were before `cm` touched them, or belong to others now.
    Released {
        /// The things.
        items: Vec<Item>,
        /// The roles that want them no more; none: nobody does.
        roles: Option<Vec<String>>,
    },
    /// A run came to its end.
    Ended {
        /// The run.
        run: String,
    },
    /// Contents that had to go to make room.
    Dropped {
        /// The contents.
        contents: Vec<Digest>,
    },
    /// How the module that manages a thing is asked: it is about to change it.
    Module {
        /// The key of its setting.
        key: String,
        /// How it is asked.
        call: Call,
    },
}

/// A task of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The role.
    pub role: String,
    /// The task's id.
    pub task: String,
}

/// A [`Notice`] as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owes {
    /// A reload.
    Reload,
    /// A restart.
    Restart,
}

impl From<Notice> for Owes {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Reload => Self::Reload,
            Notice::Restart => Self::Restart,
        }
    }
}

impl From<Owes> for Notice {
    fn from(owes: Owes) -> Self {
        match owes {
            Owes::Reload => Self::Reload,
            Owes::Restart => Self::Restart,
        }
    }
}

/// Appends a record's bytes.
///
/// # Errors
/// When it cannot be encoded.
pub fn push(bytes: &mut Vec<u8>, record: &Record) -> Result<(), postcard::Error> {
    let body = postcard::to_extend(record, Vec::new())?;
    // Records are far below 4 GiB: contents are kept apart.
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(&blake3::hash(&body).as_bytes()[..4]);
    bytes.extend(body);
    Ok(())
}

/// Takes a whole record off the front; none where it is cut off or damaged.
#[must_use]
pub fn take(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let size = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let checksum = bytes.get(4..8)?;
    let body = bytes.get(8..8usize.checked_add(size)?)?;
    if &blake3::hash(body).as_bytes()[..4] != checksum {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, &bytes[8 + size..]))
}
