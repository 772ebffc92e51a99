//! What an operator says; `refuses` has seen that it makes sense.

use super::Machine;
use crate::{
    BatchState, Command, Direction, NodeState, Notice, PauseReason, Work,
    record::{Applied, Course},
};

impl Machine<'_> {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Pause { why } => self.pause(PauseReason::Operator { why }),
            Command::Resume { retry_failed } => self.resume(retry_failed),
            Command::Promote => {
                self.rollout.promoted = true;
                self.rollout.progressed = self.now;
            }
            Command::Abort { why } => self.abort(why),
            Command::RollBack { why } => self.roll_back(why),
        }
    }

    fn resume(&mut self, retry_failed: bool) {
        self.rollout.paused.clear();
        self.rollout.failures = 0;
        self.rollout.progressed = self.now;
        self.rollout.targets_asked = false;
        self.rollout.forgiven = !retry_failed;
        self.tell(Notice::Resumed);
        for node in &mut self.rollout.nodes {
            if matches!(node.state, NodeState::Failed { .. }) && retry_failed {
                node.retry = true;
                node.course = Course::Upgrade;
            }
        }
        self.release_gates();
        if self.rollout.direction == Direction::Forward {
            for batch in 0..self.rollout.batches.len() {
                self.retry_batch(batch, retry_failed);
            }
        }
    }

    /// Goes on with a batch where it failed.
    fn retry_batch(&mut self, batch: usize, retry_failed: bool) {
        let BatchState::Failed { at, .. } = self.rollout.batches[batch].state.clone() else { return };
        match *at {
            BatchState::Before { hook } => self.open_batch(batch, hook),
            BatchState::Gating(_) => self.gate_batch(batch),
            BatchState::After { hook } => self.close_batch(batch, Some(hook + 1)),
            // No node of the first batch became done: again with them, or on without a canary.
            _ if retry_failed => self.set_batch(batch, BatchState::Open),
            _ => self.settle_batch(batch),
        }
    }

    /// Begins nothing more. What is not changed yet goes back into service.
    pub(super) fn abort(&mut self, why: String) {
        self.rollout.paused.clear();
        self.rollout.aborting = Some(why.clone());
        self.tell(Notice::Aborting { why });
        self.give_up_batch_gates();
        self.cancel(|work| matches!(work, Work::Targets));
        for place in 0..self.rollout.nodes.len() {
            let node = self.node(place);
            node.retry = false;
            match &node.state {
                NodeState::Asking { .. } | NodeState::Before { .. }
                    if node.course == Course::Upgrade && node.applied == Applied::No =>
                {
                    node.course = Course::Return;
                }
                NodeState::Gating(gating) if gating.held => {
                    let why = gating.why.clone().unwrap_or_default();
                    self.fail_node(place, why);
                }
                _ => {}
            }
        }
    }

    /// Turns round. What is being changed is taken back as soon as that has ended.
    pub(super) fn roll_back(&mut self, why: String) {
        self.rollout.paused.clear();
        self.rollout.aborting = None;
        self.rollout.ended = None;
        self.rollout.forgiven = false;
        self.rollout.blocked = None;
        self.rollout.direction = Direction::Back;
        self.rollout.rolled_back_for = Some(why.clone());
        self.rollout.progressed = self.now;
        self.tell(Notice::RollingBack { why });
        self.give_up_batch_gates();
        self.cancel(|work| matches!(work, Work::Targets));
        for place in 0..self.rollout.nodes.len() {
            let node = self.node(place);
            node.retry = false;
            match (&node.state, node.course) {
                (NodeState::Failed { .. }, _) => node.course = Course::Upgrade,
                (NodeState::Asking { .. } | NodeState::Before { .. }, Course::Upgrade) => {
                    let untouched = node.applied == Applied::No;
                    node.course = if untouched { Course::Return } else { Course::RollBack };
                }
                (NodeState::Applying, Course::Upgrade) => node.course = Course::RollBack,
                (NodeState::Gating(_), Course::Upgrade) => {
                    node.course = Course::RollBack;
                    let name = node.name.clone();
                    self.cancel(|work| matches!(work, Work::GateNode { node, .. } if *node == name));
                    self.roll_back_node(place);
                }
                _ => {}
            }
        }
    }
}
