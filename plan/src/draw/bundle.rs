//! Edges of one reason that lead from the same tasks to the same tasks become one link.

use std::collections::BTreeMap;

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

/// Makes links of edges. Together they say exactly what the edges say.
pub fn bundle(edges: &[Edge], role: &[usize]) -> Vec<Link> {
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
        links.extend(sources.into_iter().map(|(to, from)| Link { from, to, reason: reason.clone() }));
    }
    links.sort_by(|a, b| (&a.from, &a.to, &a.reason).cmp(&(&b.from, &b.to, &b.reason)));
    links
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
        .flat_map(|from| to.values().map(|to| Link { from: from.clone(), to: to.clone(), reason: reason.clone() }))
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
        let links = bundle(&edges, &[0; 5]);
        let shown: Vec<_> = links.iter().map(|link| (link.from.as_slice(), link.to.as_slice())).collect();
        assert_eq!(shown, [(&[0, 1][..], &[2, 3][..]), (&[4], &[2]), (&[4], &[3])]);
        assert!(links[0].is_joint() && !links[1].is_joint());
    }

    proptest! {
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
            for link in bundle(&edges, &role) {
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
