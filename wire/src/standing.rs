//! What a node knows of a task that is not as wanted: what was applied there last, and what has become of it since.

use serde::{Deserialize, Serialize};

use crate::{Change, bounded};

/// Told before the result of a task that differs in a verify.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The last apply of this task; none: it was never applied here.
    pub applied: Option<Applied>,
    /// What is wanted now is not what was wanted then.
    pub moved: bool,
    /// Whether what the last apply left is still there.
    pub touched: Touched,
    /// Traces of who or what changed it, and when.
    #[serde(deserialize_with = "bounded::at_most::<64, _, _>")]
    pub traces: Vec<Trace>,
}

/// An apply of a task that ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The run that made it so, or was the first to find it so.
    pub run: String,
    /// When, in seconds since 1970 by the node's clock.
    pub time: u64,
    /// Why it does not stand any more, where `cm` itself is the reason: a sentence about a later run.
    pub undone: Option<String>,
}

/// Whether somebody else has changed what an apply left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Touched {
    /// Nobody has: it is what was left.
    No,
    /// Somebody has; before: what was left, after: what was found in its place, both where they are known.
    Yes(#[serde(deserialize_with = "bounded::at_most::<10_000, _, _>")] Vec<Change>),
    /// Nothing is known of what was left.
    Unknown,
}

/// What the node itself tells of a thing that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The thing: `path:/etc/motd`.
    pub item: String,
    /// When its content was changed last (`mtime`), in seconds since 1970.
    pub modified: Option<u64>,
    /// When it or its attributes were changed last (`ctime`), in seconds since 1970.
    pub changed: Option<u64>,
    /// The name of its owner.
    pub owner: Option<String>,
    /// What a log of the node says of it: the package manager's, systemd's.
    pub log: Option<String>,
}
