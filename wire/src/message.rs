//! The messages of a session: one direction an enum.
//!
//! The agent speaks first ([`FromAgent::Hello`]); the controller answers with `Begin`, `Tasks`…, `Seal`,
//! or `Bye`. After `Seal` the agent runs what it has; tasks may be appended until then.

use serde::{Deserialize, Serialize};

use crate::{AddedTask, Begin, Change, Digest, Event, Facts, Task, Watch, Watched, bounded, piece};

/// What an agent sends before its first frame, so that whatever a login shell prints before is told from it.
pub const AGENT_MARK: &[u8] = b"\x01cm-agent-1\n";

/// From controller to agent.
#[expect(clippy::large_enum_variant, reason = "a run begins once; the others are not kept in lists")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Opens a run.
    Begin(Begin),
    /// The next tasks of the graph.
    Tasks(Vec<Task>),
    /// No more tasks follow.
    Seal,
    /// No more tasks follow: they are looked at, and then watched until the controller says good-bye.
    Watch(Watch),
    /// The next piece of a content that was asked for; pieces come in order.
    Content {
        /// Which content.
        digest: Digest,
        /// The piece.
        #[serde(with = "piece")]
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
    /// The host can be reached over a new connection: what a run changed under guard stays.
    Confirm {
        /// The run.
        run: String,
    },
    /// Tell what the journal knows.
    Ledger,
    /// The session is over.
    Bye,
}

/// From agent to controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromAgent {
    /// The first message.
    Hello(Box<Facts>),
    /// What happened, in order.
    Events(#[serde(deserialize_with = "bounded::at_most::<4096, _, _>")] Vec<Event>),
    /// Contents that the node lacks.
    Need(#[serde(deserialize_with = "bounded::at_most::<500_000, _, _>")] Vec<Digest>),
    /// The agent is alive and at work.
    Alive,
    /// The run cannot begin.
    Refused(Refusal),
    /// All tasks have ended and the journal is written.
    Done,
    /// Tasks that the node made itself; they come after those that were sent, in this order.
    Added(#[serde(deserialize_with = "bounded::at_most::<100_000, _, _>")] Vec<AddedTask>),
    /// What the first look found, where [`crate::Looks::Told`] was asked for.
    Looked(#[serde(deserialize_with = "bounded::at_most::<500_000, _, _>")] Vec<u64>),
    /// Guarded changes are made: the controller must come back over a new connection within these seconds.
    ConfirmWanted {
        /// Seconds.
        limit: u32,
    },
    /// Of a watch; after `Done` of its first look.
    Watched(Watched),
    /// Answers [`ToAgent::Confirm`]: whether there was anything left to confirm (false: it was taken back).
    Confirmed(bool),
    /// A task restarts the host now; the run goes on over a new connection.
    Rebooting {
        /// The task's number.
        task: u32,
        /// What it will report: to be sent back in [`crate::Resumed`].
        changes: Vec<Change>,
    },
    /// Answers [`ToAgent::Ledger`]; several may come, `Done` ends them.
    Ledger {
        /// Runs the node knows of.
        #[serde(deserialize_with = "bounded::at_most::<100_000, _, _>")]
        runs: Vec<LedgerRun>,
        /// Things that `cm` changed there.
        #[serde(deserialize_with = "bounded::at_most::<200_000, _, _>")]
        items: Vec<LedgerItem>,
    },
}

/// A run as a node remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRun {
    /// Its id.
    pub run: String,
    /// Who ran it.
    pub holder: String,
    /// Seconds since 1970, by the node's clock.
    pub time: u64,
    /// Whether it came to its end on the node.
    pub ended: bool,
}

/// A thing that `cm` changed on a node, for one task that wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerItem {
    /// The thing: `path:/etc/motd`.
    pub item: String,
    /// The task's id.
    pub task: String,
    /// Its role.
    pub role: String,
    /// The run that changed it last.
    pub run: String,
    /// When, in seconds since 1970 by the node's clock.
    pub time: u64,
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
    /// What is to be taken back cannot be, or not safely.
    Undo {
        /// Why, one sentence a thing.
        #[serde(deserialize_with = "bounded::at_most::<100_000, _, _>")]
        reasons: Vec<String>,
        /// What to do.
        hint: Option<String>,
    },
    /// The node is not as it was when its plan was made.
    Moved {
        /// The tasks that find something else now.
        #[serde(deserialize_with = "bounded::at_most::<500_000, _, _>")]
        tasks: Vec<String>,
    },
    /// The controller said something that makes no sense.
    Protocol {
        /// What.
        reason: String,
    },
}
