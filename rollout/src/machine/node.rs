//! One node's way: hooks, the change, gates, hooks again.

use super::Machine;
use crate::{
    Direction, Node, NodeState, Notice, Work,
    record::{Applied, Course, Drain},
};

impl Machine<'_> {
    pub(super) fn node(&mut self, place: usize) -> &mut Node {
        &mut self.rollout.nodes[place]
    }

    pub(super) fn set(&mut self, place: usize, state: NodeState) {
        let now = self.now;
        let node = self.node(place);
        node.state = state;
        node.since = now;
    }

    /// Begins a node. The caller has seen that there is room.
    pub(super) fn begin(&mut self, place: usize, course: Course) {
        let node = self.node(place);
        node.course = course;
        node.retry = false;
        self.rollout.targets_asked = false;
        self.prepare(place);
    }

    /// Goes on before the change: the next hook, or the change itself.
    pub(super) fn prepare(&mut self, place: usize) {
        let node = &self.rollout.nodes[place];
        match node.course {
            Course::Return => return self.finish(place),
            Course::Upgrade if self.rollout.aborting.is_some() => {
                // It was tried before, so it is not as it was: it stays out of service.
                let why = "given up before it was tried again".to_owned();
                return self.fail_node(place, why);
            }
            Course::Upgrade | Course::RollBack => {}
        }
        let name = node.name.clone();
        for hook in 0..self.rollout.hooks.hooks.len() {
            let has = self.rollout.hooks.hooks[hook];
            let node = self.node(place);
            if has.already && (has.before_node || has.after_node) && node.already[hook].is_none() {
                self.set(place, NodeState::Asking { hook });
                self.work(Work::AskAlready { node: name, hook });
                return;
            }
            if node.already[hook] == Some(true) || node.drained[hook] == Drain::Yes {
                continue;
            }
            if has.before_node {
                node.drained[hook] = Drain::Tried;
                self.set(place, NodeState::Before { hook });
                self.work(Work::BeforeNode { node: name, hook });
                return;
            }
            node.drained[hook] = Drain::Yes;
        }
        let node = self.node(place);
        if node.course == Course::RollBack {
            self.roll_back_node(place);
        } else {
            let batch = node.batch.unwrap_or_default();
            if node.applied == Applied::No {
                node.applied = Applied::Perhaps;
            }
            self.set(place, NodeState::Applying);
            let ticket = self.work(Work::Apply { node: name, batch });
            self.node(place).applied_as = ticket.0;
        }
    }

    /// Has what was done to a node taken back; it is drained.
    pub(super) fn roll_back_node(&mut self, place: usize) {
        self.set(place, NodeState::RollingBack);
        let node = &self.rollout.nodes[place];
        let work = Work::RollBackNode { node: node.name.clone(), runs: node.runs.clone() };
        self.work(work);
    }

    /// Goes on after the change: the next hook, or the end.
    pub(super) fn finish(&mut self, place: usize) {
        for hook in (0..self.rollout.hooks.hooks.len()).rev() {
            let has = self.rollout.hooks.hooks[hook];
            let node = self.node(place);
            if node.already[hook] == Some(true) || node.drained[hook] == Drain::No {
                continue;
            }
            if has.after_node {
                let name = node.name.clone();
                self.set(place, NodeState::After { hook });
                self.work(Work::AfterNode { node: name, hook });
                return;
            }
            node.drained[hook] = Drain::No;
        }
        let name = self.node(place).name.clone();
        match self.node(place).course {
            Course::Upgrade => {
                self.set(place, NodeState::Done);
                self.rollout.progressed = self.now;
                self.tell(Notice::NodeDone { node: name });
            }
            Course::RollBack => {
                self.set(place, NodeState::Restored);
                self.rollout.progressed = self.now;
                self.tell(Notice::NodeRestored { node: name });
            }
            Course::Return => {
                self.node(place).course = Course::Upgrade;
                self.set(place, NodeState::Pending);
                self.tell(Notice::NodeRestored { node: name });
            }
        }
    }

    /// Leaves a node out of service, and counts it.
    pub(super) fn fail_node(&mut self, place: usize, why: String) {
        let name = self.node(place).name.clone();
        self.set(place, NodeState::Failed { why: why.clone() });
        self.tell(Notice::NodeFailed { node: name.clone(), why: why.clone() });
        let forward = self.rollout.direction == Direction::Forward && self.rollout.aborting.is_none();
        if !forward || self.node(place).course != Course::Upgrade {
            return;
        }
        self.rollout.failures += 1;
        let (failures, budget) = (self.rollout.failures, self.rollout.max_failures());
        if failures > budget {
            let failed =
                if failures == 1 { "1 node failed".into() } else { format!("{failures} nodes failed") };
            self.fail(format!("{failed}, and {budget} may; the last was {name}: {why}"));
        }
    }

    /// The whole rollout has failed. While it is paused a person decides, whatever the strategy says.
    pub(super) fn fail(&mut self, why: String) {
        use crate::{OnFailure, PauseReason};
        if self.rollout.aborting.is_some() || self.rollout.ended.is_some() {
            return;
        }
        let decided = self.rollout.direction == Direction::Back || !self.rollout.paused.is_empty();
        match self.rollout.strategy.on_failure {
            OnFailure::Abort if !decided => self.abort(why),
            OnFailure::RollBack if !decided => self.roll_back(why),
            _ => self.pause(PauseReason::Failure { why }),
        }
    }
}
