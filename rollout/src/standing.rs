//! What a rollout looks like from outside: one word, and numbers.

use serde::{Deserialize, Serialize};

use crate::{
    message::Command,
    record::{BatchState, Direction, Node, NodeState, Outcome, PauseReason, Rollout},
};

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Not begun.
    Planned,
    /// Nodes are upgraded.
    Running,
    /// There is something to begin, but it must wait.
    Blocked {
        /// For what.
        why: String,
    },
    /// The canary is done, and a person must say `promote`.
    AwaitsPromotion,
    /// Nothing more is begun.
    Paused {
        /// Why; never empty.
        reasons: Vec<PauseReason>,
    },
    /// What is in work goes on to its end, then it is over.
    Aborting {
        /// Why.
        why: String,
    },
    /// What was upgraded is taken back.
    RollingBack {
        /// Why.
        why: String,
    },
    /// Over.
    Ended(Outcome),
}

/// How many nodes are where; their sum is the number of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Not begun.
    pub pending: usize,
    /// In work.
    pub in_work: usize,
    /// Upgraded.
    pub done: usize,
    /// Failed, out of service.
    pub failed: usize,
    /// Taken back.
    pub restored: usize,
    /// No targets any more.
    pub gone: usize,
    /// Of all these, those that cannot be reached.
    pub unreachable: usize,
}

impl Node {
    /// Whether it is being worked on: from its first hook to its last one.
    #[must_use]
    pub fn is_in_work(&self) -> bool {
        matches!(
            self.state,
            NodeState::Asking { .. }
                | NodeState::Before { .. }
                | NodeState::Applying
                | NodeState::Gating(_)
                | NodeState::After { .. }
                | NodeState::RollingBack
        )
    }

    /// Whether it counts against `max_unavailable`: in work, failed, or unreachable.
    #[must_use]
    pub fn is_out(&self) -> bool {
        match self.state {
            NodeState::Gone => false,
            NodeState::Failed { .. } => true,
            _ => self.is_in_work() || !self.reachable,
        }
    }
}

impl Rollout {
    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if let Some((_, outcome)) = self.ended {
            Standing::Ended(outcome)
        } else if self.began.is_none() {
            Standing::Planned
        } else if let Some(why) = &self.aborting {
            Standing::Aborting { why: why.clone() }
        } else if !self.paused.is_empty() {
            Standing::Paused { reasons: self.paused.clone() }
        } else if let (Direction::Back, Some(why)) = (self.direction, &self.rolled_back_for) {
            Standing::RollingBack { why: why.clone() }
        } else if self.awaits_promotion() {
            Standing::AwaitsPromotion
        } else if let Some(why) = &self.blocked {
            Standing::Blocked { why: why.clone() }
        } else {
            Standing::Running
        }
    }

    /// How many nodes are where.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for node in &self.nodes {
            match node.state {
                NodeState::Pending => counts.pending += 1,
                NodeState::Done => counts.done += 1,
                NodeState::Failed { .. } => counts.failed += 1,
                NodeState::Restored => counts.restored += 1,
                NodeState::Gone => counts.gone += 1,
                _ => counts.in_work += 1,
            }
            if !node.reachable && node.state != NodeState::Gone {
                counts.unreachable += 1;
            }
        }
        counts
    }

    /// The names of the nodes that cannot be reached: a driver tries them now and then.
    pub fn unreachable(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .filter(|node| !node.reachable && node.state != NodeState::Gone)
            .map(|node| node.name.as_str())
    }

    /// At most so many nodes are out of service when a node is begun.
    #[must_use]
    pub fn max_unavailable(&self) -> usize {
        self.strategy.max_unavailable_of(self.fleet)
    }

    /// So many nodes may fail.
    #[must_use]
    pub fn max_failures(&self) -> usize {
        self.strategy.max_failures.of_rounded_down(self.fleet)
    }

    /// Whether the first batch is done and only a person's `promote` is missing.
    #[must_use]
    pub fn awaits_promotion(&self) -> bool {
        !self.promoted
            && self.direction == Direction::Forward
            && self.ended.is_none()
            && self.batches.len() > 1
            && self.batches.first().is_some_and(|batch| batch.state == BatchState::Done)
    }

    /// Why a command makes no sense now; none when it does.
    #[must_use]
    pub fn refuses(&self, command: &Command) -> Option<&'static str> {
        let back = self.direction == Direction::Back;
        match (command, self.ended) {
            (Command::RollBack { .. }, Some((_, Outcome::RolledBack))) => Some("it has been rolled back"),
            (Command::RollBack { .. }, _) if self.began.is_none() => Some("it has not begun"),
            (Command::RollBack { .. }, None) if back && self.aborting.is_none() => {
                Some("it is being rolled back")
            }
            (Command::RollBack { .. }, _) => None,
            (_, Some(_)) => Some("it has ended"),
            (Command::Pause { .. }, None) if self.aborting.is_some() => Some("it is being aborted"),
            (Command::Pause { .. }, None) => None,
            (Command::Resume { .. }, None) if self.paused.is_empty() => Some("it is not paused"),
            (Command::Resume { .. }, None) => None,
            (Command::Promote, None) if self.awaits_promotion() => None,
            (Command::Promote, None) if self.promoted => Some("nothing waits for a promotion"),
            (Command::Promote, None) => Some("the first batch is not done yet"),
            (Command::Abort { .. }, None) if self.aborting.is_some() => Some("it is being aborted"),
            (Command::Abort { .. }, None) => None,
        }
    }
}
