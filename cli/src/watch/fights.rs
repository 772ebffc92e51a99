//! Who mends what somebody else sets back is in a fight: after a few rounds it is left alone.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Mends of one resource …
const MENDS: usize = 3;
/// … within this time are a fight.
const WITHIN: Duration = Duration::from_secs(600);

/// When what was mended.
#[derive(Debug, Default)]
pub struct Fights {
    mends: HashMap<(String, String), VecDeque<Instant>>,
    told: std::collections::HashSet<(String, String)>,
}

/// What becomes of a resource that has drifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// It is mended.
    Mend,
    /// It was mended too often: from here on it is left alone, which is to be told.
    GiveUp,
    /// It was left alone before.
    Leave,
}

impl Fights {
    /// Whether a resource may be mended now.
    pub fn may(&mut self, host: &str, task: &str, now: Instant) -> Chance {
        let key = (host.to_owned(), task.to_owned());
        let mends = self.mends.entry(key.clone()).or_default();
        while mends.front().is_some_and(|at| now.saturating_duration_since(*at) > WITHIN) {
            mends.pop_front();
        }
        if mends.len() < MENDS {
            self.told.remove(&key);
            Chance::Mend
        } else if self.told.insert(key) {
            Chance::GiveUp
        } else {
            Chance::Leave
        }
    }

    /// Notes that it is mended.
    pub fn mended(&mut self, host: &str, task: &str, now: Instant) {
        self.mends.entry((host.to_owned(), task.to_owned())).or_default().push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_time_within_ten_minutes_is_a_fight() {
        let start = Instant::now();
        let mut fights = Fights::default();
        let minutes = |count: u32| start + Duration::from_secs(60) * count;
        for round in 0..3 {
            assert_eq!(fights.may("a", "x", minutes(round)), Chance::Mend);
            fights.mended("a", "x", minutes(round));
        }
        assert_eq!(fights.may("a", "x", minutes(4)), Chance::GiveUp);
        assert_eq!(fights.may("a", "x", minutes(5)), Chance::Leave);
        assert_eq!(fights.may("a", "y", minutes(5)), Chance::Mend);
        assert_eq!(fights.may("b", "x", minutes(5)), Chance::Mend);
        assert_eq!(fights.may("a", "x", minutes(11)), Chance::Mend, "it has calmed down");
    }
}
