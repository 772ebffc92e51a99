//! Who comes when: the order of the targets, and the sizes of the batches.

use std::{cmp::Ordering, collections::BTreeSet};

use crate::strategy::{Key, Order, Size, Strategy, StrategyError, Target};

/// The share of the fleet that may be out of service where nothing else is said.
const DEFAULT_UNAVAILABLE: Size = Size::Percent(25);

/// The batches where nothing else is said.
const DEFAULT_BATCHES: [Size; 3] = [Size::Nodes(1), Size::Percent(25), Size::Percent(100)];

impl Strategy {
    /// Whether it can be followed for these targets.
    pub(crate) fn check(&self, targets: &[Target]) -> Result<(), StrategyError> {
        if targets.is_empty() {
            return Err(StrategyError::NoTargets);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = targets.iter().find(|target| !names.insert(&target.name)) {
            return Err(StrategyError::Twice(twice.name.clone()));
        }
        if let Some(size) = self.batches.iter().find(|size| matches!(size, Size::Nodes(0) | Size::Percent(0)))
        {
            return Err(StrategyError::EmptyBatch(*size));
        }
        if matches!(self.max_unavailable, Some(Size::Nodes(0) | Size::Percent(0))) {
            return Err(StrategyError::NoneUnavailable);
        }
        if self.spread.is_some_and(|spread| spread.max_domains == Some(0) || spread.per_domain == Some(0)) {
            return Err(StrategyError::NoSpread);
        }
        if self.are_totals() {
            for pair in self.batches.windows(2) {
                let falls = match (pair[0], pair[1]) {
                    (Size::Nodes(one), Size::Nodes(other)) => one >= other,
                    (Size::Percent(one), Size::Percent(other)) => one >= other,
                    _ => false,
                };
                if falls || pair[0] == Size::Percent(100) {
                    return Err(StrategyError::NotRising(pair[0], pair[1]));
                }
            }
        }
        Ok(())
    }

    /// Whether the sizes of batches are totals.
    fn are_totals(&self) -> bool {
        self.batches.contains(&Size::Percent(100))
    }

    /// The sizes of batches where nothing is said about them.
    fn batches_or_default(&self) -> Vec<Size> {
        match (&self.batches[..], self.max_unavailable) {
            ([], None) => DEFAULT_BATCHES.to_vec(),
            ([], Some(size)) => vec![size],
            (sizes, _) => sizes.to_vec(),
        }
    }

    /// At most so many of a fleet may be out of service; never none.
    pub(crate) fn max_unavailable_of(&self, fleet: usize) -> usize {
        let size = match (self.max_unavailable, &self.batches[..]) {
            (Some(size), _) => size,
            (None, [size]) => return size.of_rounded_up(fleet).max(1),
            (None, _) => DEFAULT_UNAVAILABLE,
        };
        size.of_rounded_down(fleet).max(1)
    }

    /// The sizes of the batches of `total` nodes; their sum is `total`, and none is empty.
    pub(crate) fn batch_sizes(&self, total: usize) -> Vec<usize> {
        let sizes = self.batches_or_default();
        let totals = sizes.contains(&Size::Percent(100));
        let mut taken = 0;
        let mut batches = Vec::new();
        let mut next = 0;
        while taken < total {
            let Some(size) = sizes.get(next).or(sizes.last()) else { break };
            let wanted = size.of_rounded_up(total);
            let batch = if totals { wanted.saturating_sub(taken) } else { wanted.max(1) };
            let batch = if next >= sizes.len() && totals { total } else { batch }.min(total - taken);
            if batch > 0 {
                batches.push(batch);
                taken += batch;
            }
            next += 1;
        }
        batches
    }

    /// Puts targets in order: those that cannot be reached come last.
    pub(crate) fn sort(&self, targets: &mut [Target]) {
        match self.order {
            Order::Given => {}
            Order::Random { seed } => shuffle(targets, seed),
            Order::ByKey => targets.sort_by(|one, other| compare(one.key.as_ref(), other.key.as_ref())),
        }
        targets.sort_by_key(|target| !target.reachable);
    }
}

fn compare(one: Option<&Key>, other: Option<&Key>) -> Ordering {
    match (one, other) {
        (Some(Key::Number(one)), Some(Key::Number(other))) => one.total_cmp(other),
        (Some(Key::Text(one)), Some(Key::Text(other))) => one.cmp(other),
        (Some(Key::Number(_)), Some(Key::Text(_))) | (Some(_), None) => Ordering::Less,
        (Some(Key::Text(_)), Some(Key::Number(_))) | (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Fisher and Yates over SplitMix64: the same order for the same seed, on every machine and in every version.
fn shuffle(targets: &mut [Target], seed: u64) {
    let mut state = seed;
    for place in (1..targets.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let other = usize::try_from(mixed % (place as u64 + 1)).unwrap_or(0);
        targets.swap(place, other);
    }
}

#[cfg(test)]
mod tests;
