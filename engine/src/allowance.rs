//! How much a node may say to a watch, which has no end: so much at once, and then so much each second.

use std::time::{Duration, Instant};

/// What may be said without end, but only so fast.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: usize,
    most: usize,
    /// What comes back each second.
    each_second: usize,
    since: Instant,
}

impl Allowance {
    /// So much at once, and then so much each second.
    pub fn new(most: usize, each_second: usize) -> Self {
        Self { left: most, most, each_second, since: Instant::now() }
    }

    /// Takes so much of it; whether there was that much.
    pub fn take(&mut self, count: usize) -> bool {
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            self.since += Duration::from_secs(seconds);
            let back = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(self.each_second);
            self.left = self.left.saturating_add(back).min(self.most);
        }
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_with_time_and_not_beyond_the_most() {
        let mut allowance = Allowance::new(10, 5);
        assert!(allowance.take(10));
        assert!(!allowance.take(1));
        allowance.since -= Duration::from_secs(1);
        assert!(allowance.take(5) && !allowance.take(1));
        allowance.since -= Duration::from_secs(1000);
        assert!(!allowance.take(11) && allowance.take(10));
    }
}
