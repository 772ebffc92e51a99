//! Gates of nodes and batches: healthy for long enough, before it is too late.

use super::Machine;
use crate::{
    BatchState, Gating, Moment, NodeState, Notice, PauseReason, Strategy, Verdict, Work, record::Course,
};

/// What an answer of a gate means.
enum Meaning {
    /// It is asked again later.
    Wait,
    /// It is healthy.
    Passed,
    /// It is not, and the time is over.
    Failed(String),
    /// Nobody can tell.
    Unknown(String),
}

impl Gating {
    /// A gate that is being asked for the first time.
    pub(super) fn begun(now: Moment) -> Self {
        Self { since: now, healthy_since: None, again: None, why: None, held: false }
    }

    fn hear(&mut self, verdict: Verdict, now: Moment, strategy: &Strategy) -> Meaning {
        match verdict {
            Verdict::Pass => {
                self.why = None;
                let healthy_since = *self.healthy_since.get_or_insert(now);
                let enough = healthy_since.after(strategy.min_healthy_time);
                if enough <= now {
                    return Meaning::Passed;
                }
                self.again = Some(enough.min(now.after(strategy.gate_interval)));
                Meaning::Wait
            }
            Verdict::Fail { why } => {
                self.healthy_since = None;
                self.why = Some(why.clone());
                let deadline = self.since.after(strategy.healthy_deadline);
                if deadline <= now {
                    return Meaning::Failed(why);
                }
                // Once more exactly at the deadline.
                self.again = Some(deadline.min(now.after(strategy.gate_interval)));
                Meaning::Wait
            }
            Verdict::Inconclusive { why } => {
                self.healthy_since = None;
                self.why = Some(why.clone());
                self.held = true;
                Meaning::Unknown(why)
            }
        }
    }
}

impl Machine<'_> {
    /// Asks a node's gates for the first time.
    pub(super) fn gate_node(&mut self, place: usize) {
        self.set(place, NodeState::Gating(Gating::begun(self.now)));
        self.ask_node(place);
    }

    fn ask_node(&mut self, place: usize) {
        let node = &self.rollout.nodes[place];
        let work = Work::GateNode { node: node.name.clone(), rolled_back: node.course == Course::RollBack };
        self.work(work);
    }

    /// Asks a batch's gates for the first time.
    pub(super) fn gate_batch(&mut self, batch: usize) {
        self.set_batch(batch, BatchState::Gating(Gating::begun(self.now)));
        self.work(Work::GateBatch { batch });
    }

    pub(super) fn node_gate_answered(&mut self, place: usize, verdict: Verdict) {
        let now = self.now;
        let node = &mut self.rollout.nodes[place];
        let NodeState::Gating(gating) = &mut node.state else { return };
        let name = node.name.clone();
        let fails = matches!(verdict, Verdict::Fail { .. });
        match gating.hear(verdict, now, &self.rollout.strategy) {
            Meaning::Wait if fails => {
                let why = gating.why.clone().unwrap_or_default();
                self.tell(Notice::Unhealthy { node: Some(name), why });
            }
            Meaning::Wait => {}
            Meaning::Passed => self.finish(place),
            Meaning::Failed(why) => self.fail_node(place, why),
            Meaning::Unknown(why) if self.rollout.aborting.is_some() => self.fail_node(place, why),
            Meaning::Unknown(why) => self.pause(PauseReason::Inconclusive { node: Some(name), why }),
        }
    }

    pub(super) fn batch_gate_answered(&mut self, batch: usize, verdict: Verdict) {
        let now = self.now;
        let BatchState::Gating(gating) = &mut self.rollout.batches[batch].state else { return };
        let fails = matches!(verdict, Verdict::Fail { .. });
        match gating.hear(verdict, now, &self.rollout.strategy) {
            Meaning::Wait if fails => {
                let why = gating.why.clone().unwrap_or_default();
                self.tell(Notice::Unhealthy { node: None, why });
            }
            Meaning::Wait => {}
            Meaning::Passed => self.close_batch(batch, None),
            Meaning::Failed(why) => {
                let at = BatchState::Gating(Gating::begun(now));
                self.fail_batch(batch, at, format!("batch {} is not healthy: {why}", batch + 1));
            }
            Meaning::Unknown(why) => self.pause(PauseReason::Inconclusive { node: None, why }),
        }
    }

    /// Asks again whatever it is time for.
    pub(super) fn ask_gates_again(&mut self) {
        for place in 0..self.rollout.nodes.len() {
            if let NodeState::Gating(gating) = &mut self.rollout.nodes[place].state
                && gating.again.take_if(|again| *again <= self.now).is_some()
            {
                self.ask_node(place);
            }
        }
        for batch in 0..self.rollout.batches.len() {
            if let BatchState::Gating(gating) = &mut self.rollout.batches[batch].state
                && gating.again.take_if(|again| *again <= self.now).is_some()
            {
                self.work(Work::GateBatch { batch });
            }
        }
    }

    /// Asks no batch's gates any more.
    pub(super) fn give_up_batch_gates(&mut self) {
        self.cancel(|work| matches!(work, Work::GateBatch { .. }));
        for batch in &mut self.rollout.batches {
            if let BatchState::Gating(gating) = &mut batch.state {
                gating.again = None;
            }
        }
    }

    /// Asks anew what was inconclusive, with the whole time before it.
    pub(super) fn release_gates(&mut self) {
        let anew = |now| Gating { again: Some(now), ..Gating::begun(now) };
        for node in &mut self.rollout.nodes {
            if let NodeState::Gating(gating) = &mut node.state
                && gating.held
            {
                *gating = anew(self.now);
            }
        }
        for batch in &mut self.rollout.batches {
            if let BatchState::Gating(gating) = &mut batch.state
                && gating.held
            {
                *gating = anew(self.now);
            }
        }
    }
}
