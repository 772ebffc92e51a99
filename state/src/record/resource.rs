//! What is known of a resource on a node: one task's subject.

use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};

use super::{RunId, TaskOutcome, Timestamp};

/// A 32-byte hash of a resource's state; which hash is the caller's affair. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When `cm` changed a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastChange {
    /// When.
    pub at: Timestamp,
    /// By which run.
    pub run: RunId,
}

/// A resource on a node: what is known of it, or what was just learned. What is learned replaces what is known, but a
/// `changed` of none leaves what was known of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// The task's id, such as `file:/etc/hosts`.
    pub id: Arc<str>,
    /// The role it is of.
    pub role: Option<Arc<str>>,
    /// What it should be, as of the last run that had it.
    pub wanted: Option<Digest>,
    /// What it was when looked at last.
    pub seen: Option<Digest>,
    /// How its task came out last.
    pub outcome: TaskOutcome,
    /// When `cm` changed it last; none: never.
    pub changed: Option<LastChange>,
}

/// What was learned of some resources of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeResources {
    /// The node's name.
    pub node: String,
    /// The resources; others of the node stay as they are.
    pub updates: Vec<Resource>,
}
