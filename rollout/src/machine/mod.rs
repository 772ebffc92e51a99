//! What happens next.

mod begin;

use crate::{Action, Input, Moment, Rollout};

impl Rollout {
    /// Takes in what happened, and says what is to be done. The record is to be kept before anything of it is done.
    pub fn step(&mut self, now: Moment, input: Input) -> Vec<Action> {
        self.latest = self.latest.max(now);
        if input == Input::Start && self.began.is_none() {
            self.began = Some(self.latest);
        }
        Vec::new()
    }

    /// All that is under way, for a driver that has just read the record back.
    #[must_use]
    pub fn resumed(&self, now: Moment) -> Vec<Action> {
        let _ = now;
        self.under_way
            .iter()
            .map(|(ticket, work)| Action::Do { ticket: *ticket, work: work.clone() })
            .collect()
    }
}
