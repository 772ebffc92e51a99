//! What things were before a change, and how they become it again: the ground of rollback and cleanup.
//!
//! [`capture()`] looks at a thing, [`restore()`] makes a resource that brings a captured state back. Both work
//! by the kind of thing, not by module: so whatever a module names in [`crate::Resource::keeps`] can be
//! taken back.

mod capture;
mod item;
mod restore;

use cm_wire::Digest;
use serde::{Deserialize, Serialize};

pub use capture::{Keep, capture};
pub use item::Item;
pub use restore::{Manner, Phase, phase, restore};

use crate::node::Extended;

/// The state of a thing at one moment. Stored in journals: new kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Former {
    /// It was not there.
    Absent,
    /// A regular file.
    File(FormerFile),
    /// A directory (not what was in it).
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Extended attributes.
        extended: Extended,
    },
    /// A symbolic link.
    Link {
        /// Where it pointed, as bytes.
        target: Vec<u8>,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A device, socket or pipe: never touched by `cm`, told for the record.
    Special,
    /// An installed package.
    Package {
        /// Its version.
        version: String,
        /// It was asked for by somebody.
        manual: bool,
        /// It was held.
        held: bool,
    },
    /// A user account.
    User {
        /// User id.
        uid: u32,
        /// Primary group id.
        gid: u32,
        /// Comment field.
        comment: String,
        /// Home directory.
        home: String,
        /// Login shell.
        shell: String,
        /// Supplementary groups, sorted.
        groups: Vec<String>,
        /// The field of shadow(5), where it could be read.
        password: Option<String>,
    },
    /// A group.
    Group {
        /// Group id.
        gid: u32,
        /// Members.
        members: Vec<String>,
    },
    /// A systemd unit.
    Unit {
        /// `LoadState`.
        load: String,
        /// `ActiveState`.
        active: String,
        /// `UnitFileState`.
        file: String,
    },
    /// A setting that had a value; one that had none is [`Former::Absent`].
    Setting(String),
    /// Nothing is known of it.
    Unknown,
    /// A package that was removed and had left its configuration.
    Configuration,
}

/// A regular file at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerFile {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Nanoseconds since 1970.
    pub modified: i128,
    /// Length in bytes.
    pub size: u64,
    /// Its content, kept under this name where `kept` says so.
    pub content: Digest,
    /// Whether the content is kept.
    pub kept: bool,
    /// Extended attributes.
    pub extended: Extended,
}

impl Former {
    /// Whether two states are the same to somebody who cares what is on the node: times, whether a content
    /// is kept, and whether a service happens to run do not count.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => {
                (a.mode, a.uid, a.gid, a.content, &a.extended)
                    == (b.mode, b.uid, b.gid, b.content, &b.extended)
            }
            (Self::Unit { file: a, load: x, .. }, Self::Unit { file: b, load: y, .. }) => {
                a == b && (x == "masked") == (y == "masked")
            }
            // Names of versions count, who asked for a package does not.
            (Self::Package { version: a, .. }, Self::Package { version: b, .. }) => a == b,
            (Self::Group { gid: a, .. }, Self::Group { gid: b, .. }) => a == b,
            _ => self == other,
        }
    }

    /// The kept content, with its length.
    #[must_use]
    pub fn kept(&self) -> Option<(Digest, u64)> {
        match self {
            Self::File(file) if file.kept => Some((file.content, file.size)),
            _ => None,
        }
    }

    /// A word for it in messages.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::File(_) => "file",
            Self::Directory { .. } => "directory",
            Self::Link { .. } => "link",
            Self::Special => "special file",
            Self::Package { .. } | Self::User { .. } | Self::Group { .. } => "present",
            Self::Unit { .. } => "unit",
            Self::Setting(_) => "set",
            Self::Unknown => "unknown",
            Self::Configuration => "removed",
        }
    }
}

#[cfg(test)]
mod tests;
