//! When what was touched is looked at: soon, but not in the middle of a change, and never so often that looks
//! become a load.
//!
//! No I/O and no clock of its own.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Events gather for so long: a file is written, then given its mode, then renamed. Kernel events are not even
/// listened to meanwhile, so that whatever is going on wakes nobody more often than this.
pub const CALM: Duration = Duration::from_millis(200);
/// Where things do not calm down they are looked at after this time all the same.
const LONGEST: Duration = Duration::from_millis(600);
/// After a look that took a second there is rest for four: looks take a fifth of a processor at most.
const REST: u32 = 4;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(20);

/// What was touched and not looked at.
#[derive(Debug)]
pub struct Pace {
    touched: BTreeSet<u32>,
    first: Option<Instant>,
    last: Instant,
    rest: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self { touched: BTreeSet::new(), first: None, last: now, rest: now }
    }

    /// Something happened to these.
    pub fn touch(&mut self, who: impl IntoIterator<Item = u32>, now: Instant) {
        let mut any = false;
        self.touched.extend(who.into_iter().inspect(|_| any = true));
        if any {
            self.first.get_or_insert(now);
            self.last = now;
        }
    }

    /// When a look is due; none: nothing was touched.
    pub fn due(&self) -> Option<Instant> {
        let first = self.first?;
        Some((self.last + CALM).min(first + LONGEST).max(self.rest))
    }

    /// What is due now; it is no longer kept here.
    pub fn take(&mut self, now: Instant) -> Option<BTreeSet<u32>> {
        if self.due()? > now {
            return None;
        }
        self.first = None;
        Some(std::mem::take(&mut self.touched))
    }

    /// Puts back what could not be looked at, to be tried again after this time.
    pub fn put_off(&mut self, who: BTreeSet<u32>, now: Instant, by: Duration) {
        self.touch(who, now);
        self.rest = self.rest.max(now + by);
    }

    /// A look has taken from here to there.
    pub fn looked(&mut self, from: Instant, to: Instant) {
        self.rest = to + to.saturating_duration_since(from).saturating_mul(REST).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_look_comes_when_things_are_calm_or_have_lasted_too_long() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.due(), None);
        pace.touch([1], start);
        assert_eq!(pace.take(start + 100 * MS), None);
        pace.touch([2], start + 100 * MS);
        assert_eq!(pace.take(start + 250 * MS), None, "it has gone on");
        assert_eq!(pace.take(start + 300 * MS), Some([1, 2].into()));
        assert_eq!(pace.due(), None);
        for step in 0..10 {
            pace.touch([1], start + 1000 * MS + step * 100 * MS);
        }
        assert_eq!(pace.due(), Some(start + 1600 * MS), "it never calms down");
    }

    #[test]
    fn looks_that_take_long_come_seldom() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.looked(start, start + 1000 * MS);
        pace.touch([1], start + 1100 * MS);
        assert_eq!(pace.due(), Some(start + 5000 * MS));
        pace.looked(start, start + 60_000 * MS);
        assert_eq!(pace.due(), Some(start + 80_000 * MS));
    }

    #[test]
    fn nothing_touched_is_nothing_due() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.touch([], start);
        assert_eq!(pace.due(), None);
        pace.put_off([4].into(), start, 500 * MS);
        assert_eq!(pace.take(start + 400 * MS), None);
        assert_eq!(pace.take(start + 500 * MS), Some([4].into()));
    }
}
