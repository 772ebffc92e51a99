//! A set of hosts as bits, in inventory order: union, intersection and difference are a few words each.

use crate::HostId;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct HostSet {
    words: Vec<u64>,
}

impl HostSet {
    /// The set of the first `count` hosts.
    pub(crate) fn all(count: usize) -> Self {
        (0..count).map(HostId::from_index).collect()
    }

    pub(crate) fn insert(&mut self, host: HostId) {
        let (word, bit) = Self::place(host);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    pub(crate) fn contains(&self, host: HostId) -> bool {
        let (word, bit) = Self::place(host);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (bits, more) in self.words.iter_mut().zip(&other.words) {
            *bits |= more;
        }
    }

    pub(crate) fn keep(&mut self, other: &Self) {
        self.words.truncate(other.words.len());
        for (bits, wanted) in self.words.iter_mut().zip(&other.words) {
            *bits &= wanted;
        }
    }

    pub(crate) fn remove(&mut self, other: &Self) {
        for (bits, unwanted) in self.words.iter_mut().zip(&other.words) {
            *bits &= !unwanted;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|bits| *bits == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// The hosts in inventory order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = HostId> + '_ {
        self.words.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(HostId::from_index(word * 64 + bit))
            })
        })
    }

    fn place(host: HostId) -> (usize, u64) {
        (host.index() / 64, 1 << (host.index() % 64))
    }
}

impl FromIterator<HostId> for HostSet {
    fn from_iter<I: IntoIterator<Item = HostId>>(hosts: I) -> Self {
        let mut set = Self::default();
        for host in hosts {
            set.insert(host);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(a in prop::collection::btree_set(0usize..200, 0..40), b in prop::collection::btree_set(0usize..200, 0..40)) {
            let set = |of: &BTreeSet<usize>| of.iter().map(|index| HostId::from_index(*index)).collect::<HostSet>();
            let back = |of: &HostSet| of.iter().map(|host| host.index()).collect::<Vec<_>>();
            let (mut union, mut common, mut rest) = (set(&a), set(&a), set(&a));
            union.add(&set(&b));
            common.keep(&set(&b));
            rest.remove(&set(&b));
            prop_assert_eq!(back(&union), a.union(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(back(&common), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(back(&rest), a.difference(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(set(&a).len(), a.len());
            prop_assert_eq!(rest.is_empty(), a.is_subset(&b));
            prop_assert!((0..200).all(|i| set(&a).contains(HostId::from_index(i)) == a.contains(&i)));
        }
    }
}
