//! Leaves out the edges that a path covers (transitive reduction), with one bit for each pair of tasks.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::graph::{Edge, Reason};

/// Which tasks come before which, near and far; one bit a pair.
pub struct Order {
    words: usize,
    reach: Vec<u64>,
}

impl Order {
    /// Whether a task comes before another.
    pub fn has(&self, from: usize, to: usize) -> bool {
        self.reach[from * self.words + to / 64] & (1 << (to % 64)) != 0
    }
}

/// The edges without those that a path of others covers, and the order they make; `needs`, `restarts` and `reloads`
/// always stay.
///
/// Takes tasks² / 8 bytes and tasks / 64 steps an edge. In a circle, edges that go back stay, outside of the order.
pub fn reduce(tasks: usize, mut edges: Vec<Edge>) -> (Vec<Edge>, Order) {
    let place = places(tasks, &edges);
    let words = tasks.div_ceil(64);
    let mut reach = vec![0_u64; tasks * words];
    // Sources from the last to the first, so that what a task reaches is complete before it is used; targets
    // from the nearest on, so that a path that covers an edge has been seen before the edge.
    edges.sort_by_key(|edge| (Reverse(place[edge.from]), place[edge.to], edge.reason.rank()));
    edges.retain(|edge| {
        if edge.from == edge.to || place[edge.to] < place[edge.from] {
            return edge.from != edge.to;
        }
        let (word, bit) = (edge.from * words + edge.to / 64, 1_u64 << (edge.to % 64));
        if reach[word] & bit != 0 {
            return matches!(edge.reason, Reason::Needs | Reason::Restarts | Reason::Reloads);
        }
        for at in 0..words {
            reach[edge.from * words + at] |= reach[edge.to * words + at];
        }
        reach[word] |= bit;
        true
    });
    edges.sort_by_key(|edge| (edge.from, edge.to, edge.reason.rank()));
    edges.dedup_by_key(|edge| (edge.from, edge.to));
    (edges, Order { words, reach })
}

/// The place of each task in an order that keeps all edges (as long as they form no circle), as written otherwise.
fn places(tasks: usize, edges: &[Edge]) -> Vec<usize> {
    let mut after = vec![Vec::new(); tasks];
    for edge in edges {
        after[edge.from].push(edge.to);
    }
    topological(&after)
}

/// The place of each node in a topological order, the lowest number first where there is a choice; where only a circle
/// is left, its lowest number goes first.
pub fn topological(after: &[Vec<usize>]) -> Vec<usize> {
    let mut waits = vec![0_usize; after.len()];
    for &node in after.iter().flatten() {
        waits[node] += 1;
    }
    let mut ready: BinaryHeap<_> =
        waits.iter().enumerate().filter(|&(_, &waits)| waits == 0).map(|(node, _)| Reverse(node)).collect();
    let mut place = vec![usize::MAX; after.len()];
    let mut stuck = 0..after.len();
    let mut next = 0;
    while let Some(node) =
        ready.pop().map(|Reverse(node)| node).or_else(|| stuck.find(|&node| place[node] == usize::MAX))
    {
        if place[node] != usize::MAX {
            continue;
        }
        place[node] = next;
        next += 1;
        for &later in &after[node] {
            waits[later] = waits[later].saturating_sub(1);
            if waits[later] == 0 && place[later] == usize::MAX {
                ready.push(Reverse(later));
            }
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn edge(from: usize, to: usize, reason: Reason) -> Edge {
        Edge { from, to, reason }
    }

    fn pairs(edges: &[Edge]) -> Vec<(usize, usize)> {
        edges.iter().map(|edge| (edge.from, edge.to)).collect()
    }

    /// Every pair that the edges order, near and far.
    fn reachable(tasks: usize, edges: &[Edge]) -> HashSet<(usize, usize)> {
        let mut found = HashSet::new();
        for start in 0..tasks {
            let mut stack = vec![start];
            while let Some(node) = stack.pop() {
                for edge in edges.iter().filter(|edge| edge.from == node) {
                    if found.insert((start, edge.to)) {
                        stack.push(edge.to);
                    }
                }
            }
        }
        found
    }

    #[test]
    fn a_covered_edge_goes_unless_the_role_says_it() {
        let weak = Reason::Class("packages", "files");
        let all = vec![edge(0, 1, weak.clone()), edge(1, 2, Reason::Command), edge(0, 2, weak)];
        assert_eq!(pairs(&reduce(3, all.clone()).0), [(0, 1), (1, 2)]);
        let mut said = all;
        said[2].reason = Reason::Needs;
        assert_eq!(pairs(&reduce(3, said).0), [(0, 1), (0, 2), (1, 2)]);
    }

    #[test]
    fn a_circle_is_neither_endless_nor_lost() {
        let circle =
            vec![edge(0, 1, Reason::Needs), edge(1, 2, Reason::Command), edge(2, 0, Reason::Command)];
        assert_eq!(reduce(3, circle.clone()).0, circle);
    }

    proptest! {
        #[test]
        fn nothing_is_ordered_more_or_less_than_before(
            wanted in prop::collection::vec((0..40usize, 0..40usize, 0..4u8), 0..200),
            shuffled in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let edges: Vec<Edge> = wanted
                .into_iter()
                .filter(|(a, b, _)| a != b)
                .map(|(a, b, kind)| {
                    let reason = [Reason::Needs, Reason::Command, Reason::Check, Reason::Repository];
                    // Upward in the shuffled numbering: no circles, yet no order that the numbers give away.
                    edge(shuffled[a.min(b)], shuffled[a.max(b)], reason[usize::from(kind)].clone())
                })
                .collect();
            let (reduced, known) = reduce(40, edges.clone());
            let order = reachable(40, &edges);
            prop_assert_eq!(&reachable(40, &reduced), &order);
            for pair in (0..40).flat_map(|from| (0..40).map(move |to| (from, to))) {
                prop_assert_eq!(known.has(pair.0, pair.1), order.contains(&pair));
            }
            for kept in reduced.iter().filter(|edge| edge.reason != Reason::Needs) {
                let covered = (0..40).any(|via| order.contains(&(kept.from, via)) && order.contains(&(via, kept.to)));
                prop_assert!(!covered, "{:?} is covered by a path", kept);
            }
            for said in edges.iter().filter(|edge| edge.reason == Reason::Needs) {
                prop_assert!(reduced.iter().any(|edge| (edge.from, edge.to) == (said.from, said.to)));
            }
        }
    }
}
