//! Edges of one reason that lead from the same tasks to the same tasks become one link.

use std::collections::BTreeMap;

use super::reduce::Order;
use crate::graph::{Edge, Reason};

/// All of these come before all of those, for one reason. Each side lies within one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Earlier tasks, sorted; never empty.
    pub from: Vec<usize>,
    /// Later tasks, sorted; never empty.
    pub to: Vec<usize>,
    /// Why.
    pub reason: Reason,
}

impl Link {
    /// Whether it takes fewer strokes as a point of its own than as single edges.
    pub fn is_joint(&self) -> bool {
        self.from.len() * self.to.len() > 3
    }
}

/// More links of one reason than this are not tried against each other.
const TRIED: usize = 24;

/// Makes links of edges; together they make the order that the edges make. With an order at hand, "packages before
/// files" and its like are drawn between whole sets again where single pairs are missing that other edges cover.
pub fn bundle(edges: &[Edge], role: &[usize], order: Option<&Order>) -> Vec<Link> {
    let mut targets: BTreeMap<(usize, usize, &Reason), BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
    for edge in edges {
        let kind = (role[edge.from], role[edge.to], &edge.reason);
        targets.entry(kind).or_default().entry(edge.from).or_default().push(edge.to);
    }
    let mut links = Vec::new();
    for ((.., reason), targets) in targets {
        let mut sources: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for (from, mut to) in targets {
            to.sort_unstable();
            to.dedup();
            sources.entry(to).or_default().push(from);
        }
        let mut made: Vec<Link> =
            sources.into_iter().map(|(to, from)| Link { from, to, reason: reason.clone() }).collect();
        // These hold between whole sets; of others nobody knows whether they hold for a pair that is missing.
        if let (Some(order), Reason::Class(..) | Reason::Check | Reason::Role { .. }) = (order, reason) {
            made = merged(made, order);
        }
        links.append(&mut made);
    }
    links.sort_by(|a, b| (&a.from, &a.to, &a.reason).cmp(&(&b.from, &b.to, &b.reason)));
    links
}

/// As few links as hold together without saying anything that does not hold.
fn merged(mut links: Vec<Link>, order: &Order) -> Vec<Link> {
    let whole = links.iter().skip(1).fold(links[0].clone(), |whole, link| united(&whole, link));
    if holds(&whole, order) {
        return vec![whole];
    }
    let mut at = 0;
    while links.len() <= TRIED && at < links.len() {
        let mergeable = (at + 1..links.len()).find_map(|other| {
            let whole = united(&links[at], &links[other]);
            holds(&whole, order).then_some((other, whole))
        });
        if let Some((other, whole)) = mergeable {
            links[at] = whole;
            links.remove(other);
        } else {
            at += 1;
        }
    }
    links
}

fn united(a: &Link, b: &Link) -> Link {
    let union = |a: &[usize], b: &[usize]| {
        let mut union = [a, b].concat();
        union.sort_unstable();
        union.dedup();
        union
    };
    Link { from: union(&a.from, &b.from), to: union(&a.to, &b.to), reason: a.reason.clone() }
}

fn holds(link: &Link, order: &Order) -> bool {
    link.from.iter().all(|&from| link.to.iter().all(|&to| order.has(from, to)))
}

/// The link between whole sets of tasks, one for each pair of roles.
pub fn split(from: &[usize], to: &[usize], reason: &Reason, role: &[usize]) -> Vec<Link> {
    let by_role = |tasks: &[usize]| {
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &task in tasks {
            sets.entry(role[task]).or_default().push(task);
        }
        for set in sets.values_mut() {
            set.sort_unstable();
            set.dedup();
        }
        sets
    };
    let (from, to) = (by_role(from), by_role(to));
    from.values()
        .flat_map(|from| {
            to.values().map(|to| Link { from: from.clone(), to: to.clone(), reason: reason.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_goes_from_the_same_to_the_same_is_one_link() {
        let reason = Reason::Class("packages", "files");
        let mut edges: Vec<Edge> = [(0, 2), (0, 3), (1, 2), (1, 3), (4, 3)]
            .map(|(from, to)| Edge { from, to, reason: reason.clone() })
            .to_vec();
        edges.push(Edge { from: 4, to: 2, reason: Reason::Needs });
        let links = bundle(&edges, &[0; 5], None);
        let shown: Vec<_> = links.iter().map(|link| (link.from.as_slice(), link.to.as_slice())).collect();
        assert_eq!(shown, [(&[0, 1][..], &[2, 3][..]), (&[4], &[2]), (&[4], &[3])]);
        assert!(links[0].is_joint() && !links[1].is_joint());
    }

    #[test]
    fn a_pair_with_a_stronger_reason_does_not_tear_a_set_apart() {
        let files = Reason::Class("files", "services");
        let mut edges: Vec<Edge> = [(0, 2), (0, 3), (1, 2), (1, 3)]
            .map(|(from, to)| Edge { from, to, reason: files.clone() })
            .to_vec();
        edges[0].reason = Reason::Restarts;
        edges[3].reason = Reason::Restarts;
        let (edges, order) = super::super::reduce::reduce(4, edges);
        let shown: Vec<_> = bundle(&edges, &[0; 4], Some(&order))
            .into_iter()
            .map(|link| (link.from, link.to, link.reason.to_string()))
            .collect();
        let restarts = "restarts".to_owned();
        let (first, second) = ((vec![0], vec![2], restarts.clone()), (vec![1], vec![3], restarts));
        assert_eq!(shown, [first, (vec![0, 1], vec![2, 3], files.to_string()), second]);
    }

    proptest! {
        #[test]
        fn merging_changes_no_order(pairs in prop::collection::btree_set((0..12usize, 0..12usize), 0..60)) {
            let reason = |n: usize| if n.is_multiple_of(5) { Reason::Needs } else { Reason::Check };
            let edges = pairs.into_iter().filter(|(a, b)| a < b);
            let edges: Vec<Edge> = edges.map(|(from, to)| Edge { from, to, reason: reason(from + to) }).collect();
            let (edges, order) = super::super::reduce::reduce(12, edges);
            let told: Vec<Edge> = bundle(&edges, &[0; 12], Some(&order))
                .into_iter()
                .flat_map(|link| {
                    let reason = link.reason.clone();
                    let to = link.to;
                    let pair = move |from: usize| to.clone().into_iter().map(move |to| (from, to)).collect::<Vec<_>>();
                    link.from.into_iter().flat_map(pair).map(move |(from, to)| Edge { from, to, reason: reason.clone() })
                })
                .collect();
            let (_, again) = super::super::reduce::reduce(12, told);
            for (from, to) in (0..12).flat_map(|from| (0..12).map(move |to| (from, to))) {
                prop_assert_eq!(order.has(from, to), again.has(from, to));
            }
        }

        #[test]
        fn links_say_what_the_edges_say(
            pairs in prop::collection::btree_map((0..12usize, 0..12usize), 0..2u8, 0..60),
            role in prop::collection::vec(0..3usize, 12),
        ) {
            let reasons = [Reason::Command, Reason::Check];
            let mut edges: Vec<Edge> = pairs
                .into_iter()
                .map(|((from, to), kind)| Edge { from, to, reason: reasons[usize::from(kind)].clone() })
                .collect();
            let mut told: Vec<Edge> = Vec::new();
            for link in bundle(&edges, &role, None) {
                for &from in &link.from {
                    prop_assert_eq!(role[from], role[link.from[0]]);
                    told.extend(link.to.iter().map(|&to| Edge { from, to, reason: link.reason.clone() }));
                }
                prop_assert!(link.to.iter().all(|&to| role[to] == role[link.to[0]]));
            }
            let key = |edge: &Edge| (edge.from, edge.to);
            edges.sort_by_key(key);
            told.sort_by_key(key);
            prop_assert_eq!(told, edges);
        }
    }
}
