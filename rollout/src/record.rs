//! The record of a rollout: all that is known, and what is under way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    message::{Ticket, Work},
    moment::Moment,
    strategy::{Hooks, Key, Strategy},
};

/// The version of the record's format; a record of another one is refused.
const FORMAT: u32 = 1;

/// A rollout: what is to be done, what was done, and what is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub(crate) format: u32,
    /// Its id.
    pub id: String,
    /// What it rolls out, for people.
    pub title: String,
    /// How.
    pub strategy: Strategy,
    /// Which hooks and gates there are.
    pub hooks: Hooks,
    /// Its nodes, in their order; newcomers at the end. Their places never change.
    pub nodes: Vec<Node>,
    /// Its batches, in their order.
    pub batches: Vec<Batch>,
    /// What is under way.
    pub under_way: BTreeMap<Ticket, Work>,
    /// When it began.
    pub began: Option<Moment>,
    /// The latest moment it heard of.
    pub latest: Moment,
    /// Forward or back.
    pub direction: Direction,
    /// Why it is paused; empty when it is not.
    pub paused: Vec<PauseReason>,
    /// Why it is being aborted.
    pub aborting: Option<String>,
    /// Why it is rolled back.
    pub rolled_back_for: Option<String>,
    /// Whether the rest may follow the first batch.
    pub promoted: bool,
    /// Failures since the error budget was last whole.
    pub failures: usize,
    /// When a node or batch last became done, or a person last let it go on.
    pub progressed: Moment,
    /// Why nothing can be begun at present, though there is something to begin.
    pub blocked: Option<String>,
    /// When it ended, and how.
    pub ended: Option<(Moment, Outcome)>,
    pub(crate) next_ticket: u64,
    /// Whether the targets were computed again since the last node was begun.
    pub(crate) targets_asked: bool,
    /// The size of the fleet that shares are of.
    pub(crate) fleet: usize,
    /// Whether a person has said that what cannot be taken back stays as it is.
    pub(crate) forgiven: bool,
}

/// A record cannot be read.
#[derive(Debug, Error)]
pub enum UnreadableRecord {
    /// Not what was written.
    #[error("the record of the rollout is damaged")]
    Damaged(#[source] serde_json::Error),
    /// Of another version of the program.
    #[error("the record of the rollout has format {0}; this version knows {FORMAT}")]
    Format(u32),
}

impl Rollout {
    pub(crate) const FORMAT: u32 = FORMAT;

    /// The record as bytes, to be kept.
    ///
    /// # Panics
    /// Never: all keys are texts or numbers.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record of texts and numbers is always JSON")
    }

    /// The record that was kept.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableRecord> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let Versioned { format } = serde_json::from_slice(bytes).map_err(UnreadableRecord::Damaged)?;
        if format != FORMAT {
            return Err(UnreadableRecord::Format(format));
        }
        serde_json::from_slice(bytes).map_err(UnreadableRecord::Damaged)
    }
}

/// Where a rollout goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Nodes are upgraded.
    #[default]
    Forward,
    /// What was upgraded is taken back.
    Back,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All targets are upgraded.
    Done,
    /// The error budget held, but some nodes failed or were never reached.
    Incomplete,
    /// It was given up.
    Aborted,
    /// Everything it did was taken back.
    RolledBack,
    /// It was taken back, but for nodes where that failed.
    PartlyRolledBack,
}

/// Why a rollout is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PauseReason {
    /// A person said so.
    Operator {
        /// Who, or why.
        why: String,
    },
    /// A gate could not tell.
    Inconclusive {
        /// The node; none for a batch's gates.
        node: Option<String>,
        /// What the gate saw.
        why: String,
    },
    /// The rollout failed, and pauses then.
    Failure {
        /// What failed.
        why: String,
    },
}

/// A node's part in a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What it is sorted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The number of its batch; none until a later batch takes it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Whether it could be reached when it was last tried.
    pub reachable: bool,
    /// Where it is.
    pub state: NodeState,
    /// Where it goes.
    pub course: Course,
    /// When its state last changed.
    pub since: Moment,
    /// For each hook: whether the node was already so; none while nobody knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub already: Vec<Option<bool>>,
    /// For each hook: whether its `before_node` holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained: Vec<Drain>,
    /// What was done to it.
    pub applied: Applied,
    /// The runs that may have changed it, earliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// Tells the order in which nodes were applied: higher is later.
    #[serde(default)]
    pub applied_as: u64,
    /// Whether it failed, and is to be tried again.
    #[serde(default)]
    pub retry: bool,
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum NodeState {
    /// Not begun.
    Pending,
    /// A hook is asked whether it was already so.
    Asking {
        /// Which hook.
        hook: usize,
    },
    /// A `before_node` runs.
    Before {
        /// Which hook.
        hook: usize,
    },
    /// The catalog is being applied.
    Applying,
    /// Its gates are asked.
    Gating(Gating),
    /// An `after_node` runs.
    After {
        /// Which hook.
        hook: usize,
    },
    /// Upgraded, healthy, in service.
    Done,
    /// Failed; out of service.
    Failed {
        /// Why.
        why: String,
    },
    /// Being taken back.
    RollingBack,
    /// Taken back, in service.
    Restored,
    /// No target any more; never begun.
    Gone,
}

/// What a node in work is on its way to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Course {
    /// The new state.
    #[default]
    Upgrade,
    /// Back into service, as nothing was changed yet.
    Return,
    /// The state before the rollout.
    RollBack,
}

/// Whether a hook's `before_node` holds on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drain {
    /// It has not run, or `after_node` has run since.
    #[default]
    No,
    /// It was begun; nobody knows whether it did its work.
    Tried,
    /// It has run.
    Yes,
}

/// What was done to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// Nothing.
    #[default]
    No,
    /// An apply was begun, and may have changed anything.
    Perhaps,
    /// It was as wanted before.
    Unchanged,
    /// It was changed.
    Changed,
}

/// The state of a gate of a node or a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gating {
    /// When it began.
    pub since: Moment,
    /// Since when all answers were passes.
    pub healthy_since: Option<Moment>,
    /// When it is asked again; none while it is being asked, or held.
    pub again: Option<Moment>,
    /// Why its last answer was no pass.
    pub why: Option<String>,
    /// Whether it was inconclusive, and waits for a person.
    pub held: bool,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its nodes, as places in [`Rollout::nodes`].
    pub nodes: Vec<usize>,
    /// Where it is.
    pub state: BatchState,
    /// When its state last changed.
    pub since: Moment,
}

/// Where a batch is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum BatchState {
    /// Not begun.
    Waiting,
    /// A `before_batch` runs.
    Before {
        /// Which hook.
        hook: usize,
    },
    /// Its nodes are in work.
    Open,
    /// Its gates are asked.
    Gating(Gating),
    /// An `after_batch` runs.
    After {
        /// Which hook.
        hook: usize,
    },
    /// A hook or a gate of it failed; it is tried again when the rollout is resumed.
    Failed {
        /// What goes on when it is tried again.
        at: Box<BatchState>,
        /// Why.
        why: String,
    },
    /// Over.
    Done,
}
