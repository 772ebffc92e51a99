//! The way forward: batches one after the other, or one behind the other; then whoever joined meanwhile.

use super::Machine;
use crate::{Batch, BatchState, Node, NodeState, Notice, Outcome, Work, record::Course};

impl Node {
    /// Whether it could be begun, if there were room.
    fn is_ready(&self) -> bool {
        self.reachable && self.state == NodeState::Pending
    }

    /// Whether it failed and could be tried again, if there were room.
    fn is_ready_again(&self) -> bool {
        self.reachable && self.retry
    }
}

impl Machine<'_> {
    pub(super) fn set_batch(&mut self, batch: usize, state: BatchState) {
        let batch = &mut self.rollout.batches[batch];
        batch.state = state;
        batch.since = self.now;
    }

    /// A batch cannot go on; it is tried again when the rollout is resumed.
    pub(super) fn fail_batch(&mut self, batch: usize, at: BatchState, why: String) {
        self.set_batch(batch, BatchState::Failed { at: Box::new(at), why: why.clone() });
        self.fail(why);
    }

    /// Begins all that may be begun, closes what is through, and ends when nothing is left.
    pub(super) fn advance_forward(&mut self) {
        self.rollout.blocked = None;
        self.begin_again();
        for batch in 0..self.rollout.batches.len() {
            if self.may_begin(batch) {
                self.begin_batch(batch);
            }
            if self.rollout.batches[batch].state == BatchState::Open {
                self.fill(batch);
                if self.is_through(batch) {
                    self.settle(batch);
                }
            }
            if !self.goes_forward() {
                return;
            }
        }
        let gating = self.rollout.batches.iter().any(|batch| matches!(batch.state, BatchState::Gating(_)));
        if self.is_idle() && !gating && self.goes_forward() && !self.rollout.awaits_promotion() {
            self.close_or_wait();
        }
    }

    /// Whether something may be begun at all.
    fn goes_forward(&self) -> bool {
        self.rollout.direction == crate::Direction::Forward
            && self.rollout.aborting.is_none()
            && self.rollout.paused.is_empty()
            && self.rollout.ended.is_none()
    }

    /// Takes up failed nodes again, whatever their batch.
    fn begin_again(&mut self) {
        for place in 0..self.rollout.nodes.len() {
            if self.goes_forward()
                && self.rollout.nodes[place].is_ready_again()
                && self.no_room(place).is_none()
            {
                self.begin(place, Course::Upgrade);
            }
        }
    }

    /// Begins nodes of an open batch while there is room.
    fn fill(&mut self, batch: usize) {
        let mut full = self.is_full();
        for at in 0..self.rollout.batches[batch].nodes.len() {
            let place = self.rollout.batches[batch].nodes[at];
            if full || !self.goes_forward() {
                return;
            }
            if self.rollout.nodes[place].is_ready() && self.no_room(place).is_none() {
                self.begin(place, Course::Upgrade);
                full = self.is_full();
            }
        }
    }

    /// Whether a batch waits for nothing but room.
    fn is_next(&self, batch: usize) -> bool {
        let batches = &self.rollout.batches;
        if batches[batch].state != BatchState::Waiting
            || !self.goes_forward()
            || self.rollout.awaits_promotion()
        {
            return false;
        }
        let is_over = |batch: &Batch| batch.state == BatchState::Done;
        if batch <= 1 || !self.rollout.strategy.window {
            return batches[..batch].iter().all(is_over);
        }
        // The window slides over the ends of batches, but never past the canary.
        is_over(&batches[0])
            && batches[1..batch].iter().all(|batch| {
                is_over(batch)
                    || matches!(
                        batch.state,
                        BatchState::Open | BatchState::Gating(_) | BatchState::After { .. }
                    ) && !batch.nodes.iter().any(|place| self.rollout.nodes[*place].is_ready())
            })
    }

    /// Whether a batch is next, has somebody to begin with, and there is room for one of them.
    fn may_begin(&mut self, batch: usize) -> bool {
        if !self.is_next(batch) {
            return false;
        }
        self.exchange(batch);
        let nodes = &self.rollout.batches[batch].nodes;
        if !nodes.iter().any(|place| self.rollout.nodes[*place].is_ready()) {
            // Who cannot be reached now is tried again at the end. But there is no canary without a node.
            if batch > 0 {
                self.detach(batch);
                self.set_batch(batch, BatchState::Done);
            }
            return false;
        }
        nodes.iter().any(|place| self.rollout.nodes[*place].is_ready() && self.no_room(*place).is_none())
    }

    /// Puts nodes that can be reached into the places of those that cannot.
    fn exchange(&mut self, batch: usize) {
        for at in 0..self.rollout.batches[batch].nodes.len() {
            let place = self.rollout.batches[batch].nodes[at];
            let node = &self.rollout.nodes[place];
            if node.state != NodeState::Pending || node.reachable {
                continue;
            }
            let later = (batch + 1..self.rollout.batches.len()).find_map(|later| {
                let other = &self.rollout.batches[later];
                let nodes = &self.rollout.nodes;
                let at = other.nodes.iter().position(|place| nodes[*place].is_ready())?;
                (other.state == BatchState::Waiting).then_some((later, at))
            });
            let Some((later, other_at)) = later else { return };
            let other = self.rollout.batches[later].nodes[other_at];
            self.rollout.batches[batch].nodes[at] = other;
            self.rollout.batches[later].nodes[other_at] = place;
            self.rollout.nodes[other].batch = Some(batch);
            self.rollout.nodes[place].batch = Some(later);
        }
    }

    /// Takes out of a batch who was not begun.
    fn detach(&mut self, batch: usize) {
        let nodes = &mut self.rollout.nodes;
        self.rollout.batches[batch].nodes.retain(|place| {
            let stays = nodes[*place].state != NodeState::Pending;
            if !stays {
                nodes[*place].batch = None;
            }
            stays
        });
    }

    fn begin_batch(&mut self, batch: usize) {
        let nodes = &self.rollout.batches[batch].nodes;
        let nodes = nodes.iter().map(|place| self.rollout.nodes[*place].name.clone()).collect();
        self.tell(Notice::BatchBegan { batch, nodes });
        self.open_batch(batch, 0);
    }

    /// Runs the next `before_batch`, or lets nodes in.
    pub(super) fn open_batch(&mut self, batch: usize, from: usize) {
        let hooks = &self.rollout.hooks.hooks;
        match (from..hooks.len()).find(|hook| hooks[*hook].before_batch) {
            Some(hook) => {
                self.set_batch(batch, BatchState::Before { hook });
                self.work(Work::BeforeBatch { batch, hook });
            }
            None => self.set_batch(batch, BatchState::Open),
        }
    }

    /// Whether nothing more will happen to the nodes of an open batch.
    fn is_through(&self, batch: usize) -> bool {
        let nodes = &self.rollout.batches[batch].nodes;
        nodes
            .iter()
            .map(|place| &self.rollout.nodes[*place])
            .all(|node| !node.is_in_work() && !node.is_ready() && !node.is_ready_again())
    }

    /// All nodes of a batch are through.
    fn settle(&mut self, batch: usize) {
        self.detach(batch);
        let nodes = &self.rollout.batches[batch].nodes;
        let done = nodes.iter().any(|place| self.rollout.nodes[*place].state == NodeState::Done);
        let begun = nodes.iter().any(|place| self.rollout.nodes[*place].state != NodeState::Gone);
        if batch == 0 && begun && !done {
            let why = "no node of the first batch became done".to_owned();
            self.fail_batch(batch, BatchState::Open, why);
        } else {
            self.settle_batch(batch);
        }
    }

    /// Asks a batch's gates, if there are any.
    pub(super) fn settle_batch(&mut self, batch: usize) {
        if self.rollout.hooks.batch_gates && !self.rollout.batches[batch].nodes.is_empty() {
            self.gate_batch(batch);
        } else {
            self.close_batch(batch, None);
        }
    }

    /// Runs the next `after_batch`, backwards from before `from`, or ends the batch.
    pub(super) fn close_batch(&mut self, batch: usize, from: Option<usize>) {
        let hooks = &self.rollout.hooks.hooks;
        let from = from.unwrap_or(hooks.len());
        if let Some(hook) = (0..from).rev().find(|hook| hooks[*hook].after_batch) {
            self.set_batch(batch, BatchState::After { hook });
            self.work(Work::AfterBatch { batch, hook });
            return;
        }
        self.set_batch(batch, BatchState::Done);
        self.rollout.progressed = self.now;
        self.tell(Notice::BatchEnded { batch });
        if self.rollout.awaits_promotion() {
            self.tell(Notice::AwaitsPromotion);
        }
    }

    /// Nothing is under way: somebody joined, or cannot be begun, or it is over.
    fn close_or_wait(&mut self) {
        let ready = |node: &Node| node.is_ready() || node.is_ready_again();
        let waiting: Vec<usize> =
            (0..self.rollout.nodes.len()).filter(|place| ready(&self.rollout.nodes[*place])).collect();
        let unopened = self.rollout.batches.iter().any(|batch| batch.state == BatchState::Waiting);
        if !unopened && self.take_in_the_rest() {
            return self.advance_forward();
        }
        if let Some(place) = waiting.first() {
            let why = self.no_room(*place).unwrap_or_else(|| "nothing can be begun".into());
            let may_come_back = self.rollout.unreachable().next().is_some();
            return if may_come_back { self.block(why) } else { self.fail(why) };
        }
        if unopened {
            // Only the first batch waits for somebody who can be reached.
            return self.block("no target can be reached".into());
        }
        if !self.rollout.targets_asked {
            self.rollout.targets_asked = true;
            self.work(Work::Targets);
            return;
        }
        let all =
            self.rollout.nodes.iter().all(|node| matches!(node.state, NodeState::Done | NodeState::Gone));
        self.end(if all { Outcome::Done } else { Outcome::Incomplete });
    }

    /// Something is to be done, and must wait for nodes to come back.
    pub(super) fn block(&mut self, why: String) {
        if self.rollout.blocked.as_ref() != Some(&why) {
            self.rollout.blocked = Some(why.clone());
            self.tell(Notice::Blocked { why });
        }
    }

    /// Makes a batch of those who are in none and can be reached now.
    fn take_in_the_rest(&mut self) -> bool {
        let number = self.rollout.batches.len();
        let mut nodes = Vec::new();
        for (place, node) in self.rollout.nodes.iter_mut().enumerate() {
            if node.batch.is_none() && node.is_ready() {
                node.batch = Some(number);
                nodes.push(place);
            }
        }
        let any = !nodes.is_empty();
        if any {
            self.rollout.batches.push(Batch { nodes, state: BatchState::Waiting, since: self.now });
        }
        any
    }
}
