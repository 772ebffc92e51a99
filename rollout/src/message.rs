//! What goes into the machine and what comes out of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    moment::Moment,
    record::{Outcome, PauseReason},
    strategy::Target,
};

/// Names one piece of work; its answer bears it, and an answer whose work nobody waits for any more is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Begin. Only the first one counts.
    Start,
    /// A piece of work has ended. Every piece of work is answered, by whatever time limit the driver has for it.
    Answered {
        /// Which.
        ticket: Ticket,
        /// How; one that does not fit the work is taken for [`Answer::Failed`].
        answer: Answer,
    },
    /// An apply (or its repetition) has a run, which a rollback will need. Told before the node is touched.
    RunBegan {
        /// The work, a [`Work::Apply`].
        ticket: Ticket,
        /// The run's id.
        run: String,
    },
    /// A node that could not be reached answers again. A driver tries those of [`crate::Rollout::unreachable`] now and then.
    Reachable {
        /// Its name.
        node: String,
    },
    /// A node cannot be reached.
    Unreachable {
        /// Its name.
        node: String,
    },
    /// The time of the last [`Action::WakeAt`] has come. Harmless at any other time.
    TimePassed,
    /// An operator's word.
    Command(Command),
}

/// What an operator may say at any time, from any terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Begin no more nodes. Those in work go on to their end.
    Pause {
        /// Who, or why.
        why: String,
    },
    /// Go on. What was inconclusive is asked again, and the error budget is whole again.
    Resume {
        /// Whether failed nodes are tried again; else they stay out of service, and count.
        retry_failed: bool,
    },
    /// The canary is good: go on with the rest.
    Promote,
    /// Begin no more nodes, and end. What is not changed yet is put back into service; what is being changed goes on to its end.
    Abort {
        /// Who, or why.
        why: String,
    },
    /// Take back what was upgraded. Also for a rollout that has ended otherwise.
    RollBack {
        /// Who, or why.
        why: String,
    },
}

/// A piece of work. All of them may come twice: after a crash, or when they are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Ask hook number `hook` whether a node was already so: answered by [`Answer::Already`] or [`Answer::Failed`].
    AskAlready {
        /// The node.
        node: String,
        /// Which of [`crate::Hooks::hooks`].
        hook: usize,
    },
    /// Run `before_node` of a hook: [`Answer::Ok`] or [`Answer::Failed`].
    BeforeNode {
        /// The node.
        node: String,
        /// Which of [`crate::Hooks::hooks`].
        hook: usize,
    },
    /// Apply the catalog: [`Answer::Applied`], [`Answer::Failed`] or [`Answer::Unreachable`].
    Apply {
        /// The node.
        node: String,
        /// The number of its batch, from 0.
        batch: usize,
    },
    /// Run all gates of a node: [`Answer::Gate`].
    GateNode {
        /// The node.
        node: String,
        /// Whether it was rolled back (what is to be looked at is then its health alone).
        rolled_back: bool,
    },
    /// Run `after_node` of a hook: [`Answer::Ok`] or [`Answer::Failed`].
    AfterNode {
        /// The node.
        node: String,
        /// Which of [`crate::Hooks::hooks`].
        hook: usize,
    },
    /// Take back what runs of this rollout have done: [`Answer::Ok`], [`Answer::Failed`] or [`Answer::Unreachable`].
    RollBackNode {
        /// The node.
        node: String,
        /// The runs, earliest first; the last one may never have reached the node.
        runs: Vec<String>,
    },
    /// Run `before_batch` of a hook: [`Answer::Ok`] or [`Answer::Failed`].
    BeforeBatch {
        /// The batch, from 0.
        batch: usize,
        /// Which of [`crate::Hooks::hooks`].
        hook: usize,
    },
    /// Run all gates of a batch: [`Answer::Gate`].
    GateBatch {
        /// The batch, from 0.
        batch: usize,
    },
    /// Run `after_batch` of a hook: [`Answer::Ok`] or [`Answer::Failed`].
    AfterBatch {
        /// The batch, from 0.
        batch: usize,
        /// Which of [`crate::Hooks::hooks`].
        hook: usize,
    },
    /// Compute the targets again, and see which can be reached: [`Answer::Targets`] or [`Answer::Failed`].
    Targets,
}

impl Work {
    /// The node it is for.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::AskAlready { node, .. }
            | Self::BeforeNode { node, .. }
            | Self::Apply { node, .. }
            | Self::GateNode { node, .. }
            | Self::AfterNode { node, .. }
            | Self::RollBackNode { node, .. } => Some(node),
            Self::BeforeBatch { .. } | Self::GateBatch { .. } | Self::AfterBatch { .. } | Self::Targets => {
                None
            }
        }
    }
}

/// How a piece of work ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Well.
    Ok,
    /// `already` answered.
    Already(bool),
    /// The catalog was applied.
    Applied {
        /// Whether anything changed.
        changed: bool,
    },
    /// Gates answered.
    Gate(Verdict),
    /// The targets as they are now.
    Targets(Vec<Target>),
    /// Badly.
    Failed {
        /// For a person: what went wrong.
        why: String,
    },
    /// The node could not be reached, or was lost on the way.
    Unreachable {
        /// For a person: what went wrong.
        why: String,
    },
}

/// What gates say. Of several: one failure fails; else one inconclusive answer makes all inconclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All is well.
    Pass,
    /// Something is wrong.
    Fail {
        /// For a person: which gate, and what it saw.
        why: String,
    },
    /// Nobody can tell: the rollout pauses.
    Inconclusive {
        /// For a person: which gate, and what it saw.
        why: String,
    },
}

/// What a driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Do this and answer, all at the same time.
    Do {
        /// To be given back with the answer.
        ticket: Ticket,
        /// What.
        work: Work,
    },
    /// Nobody waits for this any more: it may be stopped. Only gates and [`Work::Targets`] are ever given up.
    Cancel {
        /// Which.
        ticket: Ticket,
    },
    /// Say [`Input::TimePassed`] then; replaces every earlier one.
    WakeAt(Moment),
    /// Tell who watches.
    Tell(Notice),
    /// The rollout is over.
    End(Outcome),
}

/// What is worth a line to whoever watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// The first node of a batch is about to be begun.
    BatchBegan {
        /// From 0.
        batch: usize,
        /// Its nodes.
        nodes: Vec<String>,
    },
    /// All of a batch is over.
    BatchEnded {
        /// From 0.
        batch: usize,
    },
    /// A node is upgraded, healthy and in service.
    NodeDone {
        /// The node.
        node: String,
    },
    /// A node failed and stays out of service.
    NodeFailed {
        /// The node.
        node: String,
        /// Why.
        why: String,
    },
    /// A node is as it was before the rollout, and in service.
    NodeRestored {
        /// The node.
        node: String,
    },
    /// A gate failed and will be tried again until the deadline.
    Unhealthy {
        /// The node; none for a batch.
        node: Option<String>,
        /// Why.
        why: String,
    },
    /// The canary is done; `promote` is waited for.
    AwaitsPromotion,
    /// Nothing more is begun.
    Paused {
        /// Why.
        reason: PauseReason,
    },
    /// It goes on.
    Resumed,
    /// No more nodes are begun; the end comes when those in work are through.
    Aborting {
        /// Why.
        why: String,
    },
    /// What was upgraded is taken back from now on.
    RollingBack {
        /// Why.
        why: String,
    },
    /// Nodes that the targets computed again have brought.
    Joined {
        /// Their names.
        nodes: Vec<String>,
    },
    /// Nothing can be begun for now.
    Blocked {
        /// Why.
        why: String,
    },
}
