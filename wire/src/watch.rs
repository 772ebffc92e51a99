//! What is said while a node is watched for drift: after its first look the agent speaks only when a verdict changes.

use serde::{Deserialize, Serialize};

use crate::{Standing, TaskResult, bounded};

/// Asks to look at everything of a catalog, and to go on watching it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Seconds between looks at everything, which see what no event tells of; 0: never.
    pub look_every: u32,
}

/// What an agent tells of its watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Watched {
    /// The watch stands, and everything was looked at once.
    Standing {
        /// Tasks whose changes no event tells of, by number: only a look at everything sees them.
        #[serde(deserialize_with = "bounded::at_most::<250_000, _, _>")]
        unseen: Vec<u32>,
    },
    /// Verdicts that are no longer what they were when they were last told.
    Verdicts(#[serde(deserialize_with = "bounded::at_most::<4096, _, _>")] Vec<Told>),
    /// Something a person should know: a part that cannot be watched, a run that is waited for.
    Note(String),
}

/// A verdict on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What the look found.
    pub result: TaskResult,
    /// What the node knows of a task that differs.
    pub standing: Option<Box<Standing>>,
}
