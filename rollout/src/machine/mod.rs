//! What happens next.
//!
//! Every input is taken in (`answer`, `command`), which moves single nodes and batches along. Then everything that may
//! be begun is begun (`forward`, `back`), so that no input can leave something undone that another one made possible.

mod answer;
mod back;
mod begin;
mod command;
mod forward;
mod gate;
mod node;
mod room;
#[cfg(test)]
mod tests;

use crate::{
    Action, BatchState, Direction, Input, Moment, NodeState, Notice, PauseReason, Rollout, Ticket, Work,
};

impl Rollout {
    /// Takes in what happened, and says what is to be done. The record is to be kept before anything of it is done.
    ///
    /// What does not fit (an answer nobody waits for, a command that [`Rollout::refuses`] would name) changes nothing.
    pub fn step(&mut self, now: Moment, input: Input) -> Vec<Action> {
        self.latest = self.latest.max(now);
        let now = self.latest;
        let mut machine = Machine { rollout: self, now, actions: Vec::new() };
        machine.take(input);
        machine.advance();
        let mut actions = machine.actions;
        actions.extend(self.wake());
        actions
    }

    /// All that is under way, for a driver that has just read the record back: each piece of work is to be done again.
    #[must_use]
    pub fn resumed(&self) -> Vec<Action> {
        if let Some((_, outcome)) = self.ended {
            return vec![Action::End(outcome)];
        }
        let under_way =
            self.under_way.iter().map(|(ticket, work)| Action::Do { ticket: *ticket, work: work.clone() });
        under_way.chain(self.wake()).collect()
    }

    /// When time alone makes a difference.
    fn wake(&self) -> Option<Action> {
        let nodes = self.nodes.iter().filter_map(|node| match &node.state {
            NodeState::Gating(gating) => gating.again,
            _ => None,
        });
        let batches = self.batches.iter().filter_map(|batch| match &batch.state {
            BatchState::Gating(gating) => gating.again,
            _ => None,
        });
        nodes.chain(batches).chain(self.overdue_at()).min().map(Action::WakeAt)
    }

    /// When the lack of progress will be a failure.
    fn overdue_at(&self) -> Option<Moment> {
        let waits = self.began.is_none()
            || self.ended.is_some()
            || self.aborting.is_some()
            || !self.paused.is_empty()
            || self.awaits_promotion();
        (!waits).then(|| self.progressed.after(self.strategy.progress_deadline))
    }
}

/// One step in the making.
struct Machine<'a> {
    rollout: &'a mut Rollout,
    now: Moment,
    actions: Vec<Action>,
}

impl Machine<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Start => {
                if self.rollout.began.is_none() {
                    self.rollout.began = Some(self.now);
                    self.rollout.progressed = self.now;
                }
            }
            Input::Reachable { node } => self.set_reachable(&node, true),
            Input::Unreachable { node } => self.set_reachable(&node, false),
            Input::RunBegan { ticket, run } => {
                if let Some(Work::Apply { node, .. }) = self.rollout.under_way.get(&ticket)
                    && let Some(node) = self.rollout.nodes.iter_mut().find(|other| other.name == *node)
                    && !node.runs.contains(&run)
                {
                    node.runs.push(run);
                }
            }
            Input::Answered { ticket, answer } => {
                if let Some(work) = self.rollout.under_way.remove(&ticket) {
                    self.answered(work, answer);
                }
            }
            Input::TimePassed => {}
            Input::Command(command) => {
                if self.rollout.refuses(&command).is_none() {
                    self.command(command);
                }
            }
        }
    }

    /// Begins all that may be begun now.
    fn advance(&mut self) {
        let begun = self.rollout.began.is_some() || self.rollout.aborting.is_some();
        if !begun || self.rollout.ended.is_some() {
            return;
        }
        self.ask_gates_again();
        if self.rollout.overdue_at().is_some_and(|moment| moment <= self.now) {
            self.rollout.progressed = self.now;
            let limit = self.rollout.strategy.progress_deadline;
            let waited = self.rollout.blocked.take();
            let waited = waited.map_or_else(String::new, |why| format!(": {why}"));
            self.fail(format!("nothing became done for {limit:?}{waited}"));
        }
        // A failure on the way turns it round (back, or an end), and only once.
        for _ in 0..3 {
            let before = (self.rollout.direction, self.rollout.aborting.is_some(), self.rollout.paused.len());
            if self.rollout.aborting.is_some() {
                self.advance_abort();
            } else if self.rollout.direction == Direction::Back {
                self.advance_back();
            } else {
                self.advance_forward();
            }
            let after = (self.rollout.direction, self.rollout.aborting.is_some(), self.rollout.paused.len());
            if before == after || self.rollout.ended.is_some() {
                break;
            }
        }
    }

    /// An aborted rollout is over as soon as nothing is under way.
    fn advance_abort(&mut self) {
        if self.is_idle() {
            self.end(crate::Outcome::Aborted);
        }
    }

    /// Whether nothing is under way and no node is waiting for time to pass.
    fn is_idle(&self) -> bool {
        self.rollout.under_way.is_empty() && !self.rollout.nodes.iter().any(crate::Node::is_in_work)
    }

    fn end(&mut self, outcome: crate::Outcome) {
        self.rollout.blocked = None;
        self.rollout.ended = Some((self.now, outcome));
        self.actions.push(Action::End(outcome));
    }

    /// Has a piece of work done.
    fn work(&mut self, work: Work) -> Ticket {
        let ticket = Ticket(self.rollout.next_ticket);
        self.rollout.next_ticket += 1;
        self.rollout.under_way.insert(ticket, work.clone());
        self.actions.push(Action::Do { ticket, work });
        ticket
    }

    /// Gives up the work that fits.
    fn cancel(&mut self, fits: impl Fn(&Work) -> bool) {
        let tickets: Vec<Ticket> =
            self.rollout.under_way.iter().filter(|(_, work)| fits(work)).map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            self.rollout.under_way.remove(&ticket);
            self.actions.push(Action::Cancel { ticket });
        }
    }

    fn tell(&mut self, notice: Notice) {
        self.actions.push(Action::Tell(notice));
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.rollout.nodes.iter().position(|node| node.name == name)
    }

    fn set_reachable(&mut self, name: &str, reachable: bool) {
        if let Some(place) = self.place(name) {
            self.rollout.nodes[place].reachable = reachable;
        }
    }

    /// Begins nothing more until a person has decided.
    fn pause(&mut self, reason: PauseReason) {
        if !self.rollout.paused.contains(&reason) {
            self.rollout.paused.push(reason.clone());
            self.tell(Notice::Paused { reason });
        }
    }
}
