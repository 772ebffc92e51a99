//! Sorting, and maps and sets of what an iterator gives, with little code for each type.
//!
//! The standard library's sort is compiled anew for each type it sorts, 3 KiB at a time, and collecting into a map
//! sorts, too: of such copies were a tenth of the agent that travels to every node. Here positions are sorted, by
//! one copy; what is of a type of its own is the comparison and the moving.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// Sorts; what is equal keeps its order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts by a comparison; what is equal keeps its order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let Some(mut from) = order(items.len(), &mut |one, other| compare(&items[one], &items[other])) else {
        return;
    };
    // Along each cycle of the permutation, every item moves once.
    for start in 0..items.len() {
        let mut at = start;
        while from[at] != start {
            let next = from[at];
            items.swap(at, next);
            from[at] = at;
            at = next;
        }
        from[at] = at;
    }
}

/// For each place, the place of the item that belongs there; none where everything is in order.
#[inline(never)]
fn order(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Option<Vec<usize>> {
    if (1..count).all(|at| compare(at - 1, at).is_le()) {
        return None;
    }
    let mut from: Vec<usize> = (0..count).collect();
    from.sort_by(|&one, &other| compare(one, other));
    Some(from)
}

/// A map of pairs; the last one of a key counts.
pub fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

/// A set.
pub fn set<K: Ord>(items: impl IntoIterator<Item = K>) -> BTreeSet<K> {
    let mut set = BTreeSet::new();
    for item in items {
        set.insert(item);
    }
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(
            mut items in prop::collection::vec((0u8..20, "[a-c]{0,2}"), 0..60)
        ) {
            let mut expected = items.clone();
            let mut whole = items.clone();
            expected.sort_by_key(|item| item.0);
            sort_by(&mut items, |one, other| one.0.cmp(&other.0));
            prop_assert_eq!(&items, &expected);
            expected.sort();
            sort(&mut whole);
            prop_assert_eq!(&whole, &expected);
            prop_assert_eq!(map(items.iter().cloned()), items.iter().cloned().collect());
            prop_assert_eq!(set(items.iter().cloned()), items.into_iter().collect());
        }
    }
}
