//! The messages of a session: one direction an enum.
//!
//! The agent speaks first ([`FromAgent::Hello`]); the controller answers with `Begin`, `Tasks`…, `Seal`,
//! or `Bye`. After `Seal` the agent runs what it has; tasks may be appended until then.

use serde::{Deserialize, Serialize};

use crate::{Begin, Digest, Event, Facts, Task};

/// From controller to agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Opens a run.
    Begin(Begin),
    /// The next tasks of the graph.
    Tasks(Vec<Task>),
    /// No more tasks follow.
    Seal,
    /// The next piece of a content that was asked for; pieces come in order.
    Content {
        /// Which content.
        digest: Digest,
        /// The piece.
        bytes: Vec<u8>,
        /// Whether it is the last one.
        last: bool,
    },
    /// A content that was asked for cannot be had.
    NoContent {
        /// Which content.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// The controller is alive.
    Ping,
    /// Start no new task; end those that run.
    Cancel,
    /// The session is over.
    Bye,
}

/// From agent to controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromAgent {
    /// The first message.
    Hello(Box<Facts>),
    /// What happened, in order.
    Events(Vec<Event>),
    /// Contents that the node lacks.
    Need(Vec<Digest>),
    /// The agent is alive and at work.
    Alive,
    /// The run cannot begin.
    Refused(Refusal),
    /// All tasks have ended and the journal is written.
    Done,
}

/// Why a run cannot begin on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another run holds the node and did not end in time.
    Locked {
        /// Who holds it, as a sentence.
        holder: String,
    },
    /// The node's own state cannot be used (read-only, full, not ours).
    State {
        /// Why.
        reason: String,
    },
    /// The controller said something that makes no sense.
    Protocol {
        /// What.
        reason: String,
    },
}
