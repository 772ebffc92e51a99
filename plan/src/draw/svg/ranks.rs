//! Which column everything stands in.
//!
//! Tasks stand in even columns and links in odd ones, since links lead from tasks to tasks. A role that waits for
//! another one for whatever reason stands wholly behind it; roles that wait for each other share their columns.

use petgraph::{algo::tarjan_scc, graph::DiGraph};

use super::super::{picture::Picture, reduce::topological};

/// The columns, counted from 0.
pub struct Ranks {
    /// Of each task.
    pub task: Vec<usize>,
    /// Of each link.
    pub link: Vec<usize>,
    /// First and last column of each role's tasks.
    pub span: Vec<(usize, usize)>,
}

/// The nodes of the constraint graph: tasks, then links, then a gate at each end of each group of roles.
struct Nodes {
    tasks: usize,
    links: usize,
    groups: usize,
    /// The group of each role.
    group: Vec<usize>,
}

impl Nodes {
    fn link(&self, link: usize) -> usize {
        self.tasks + link
    }
    fn entry(&self, group: usize) -> usize {
        self.tasks + self.links + group
    }
    fn exit(&self, group: usize) -> usize {
        self.tasks + self.links + self.groups + group
    }
    fn is_link(&self, node: usize) -> bool {
        (self.tasks..self.tasks + self.links).contains(&node)
    }
    /// How many columns one node is behind another at least.
    fn step(&self, from: usize, to: usize) -> usize {
        usize::from(self.is_link(from) || self.is_link(to))
    }
}

impl Ranks {
    /// Ranks by the longest path, then draws what only others wait for towards those.
    pub fn new(picture: &Picture<'_>) -> Self {
        let (nodes, after) = constraints(picture);
        let place = topological(&after);
        let mut order: Vec<usize> = (0..after.len()).collect();
        order.sort_by_key(|&node| place[node]);
        let mut before = vec![Vec::new(); after.len()];
        for (node, later) in after.iter().enumerate() {
            for &later in later.iter().filter(|&&later| place[later] > place[node]) {
                before[later].push(node);
            }
        }
        let mut rank = vec![0_usize; after.len()];
        let earliest = |rank: &[usize], node: usize| {
            before[node].iter().map(|&other| rank[other] + nodes.step(other, node)).max().unwrap_or(0)
        };
        for &node in &order {
            rank[node] = earliest(&rank, node);
        }
        for &node in order.iter().rev() {
            let (ins, outs) = match node.checked_sub(nodes.tasks).and_then(|link| picture.links.get(link)) {
                Some(link) => (link.from.len(), link.to.len()),
                // One of each is the gate.
                None => (before[node].len().saturating_sub(1), after[node].len().saturating_sub(1)),
            };
            let moves = if nodes.is_link(node) { ins <= outs } else { node < nodes.tasks && ins < outs };
            let latest = after[node]
                .iter()
                .filter(|&&later| place[later] > place[node])
                .map(|&later| rank[later].saturating_sub(nodes.step(node, later)))
                .min();
            if let Some(latest) = latest.filter(|_| moves) {
                rank[node] = rank[node].max(latest);
            }
        }
        // What the tasks have left behind follows them; many lines become one as early as they can.
        for &node in &order {
            if let Some(link) = node.checked_sub(nodes.tasks).and_then(|link| picture.links.get(link))
                && link.from.len() >= link.to.len()
            {
                rank[node] = earliest(&rank, node);
            }
        }
        Self::compact(picture, &nodes, &rank)
    }

    /// Without the columns that nothing is left in.
    fn compact(picture: &Picture<'_>, nodes: &Nodes, rank: &[usize]) -> Self {
        let drawn = &rank[..nodes.tasks + nodes.links];
        let mut number = vec![0; drawn.iter().max().map_or(0, |&last| last + 1)];
        for &rank in drawn {
            number[rank] = 1;
        }
        let mut next = 0;
        for slot in &mut number {
            next += std::mem::replace(slot, next);
        }
        let task: Vec<usize> = drawn[..nodes.tasks].iter().map(|&rank| number[rank]).collect();
        let mut span = vec![(usize::MAX, 0); picture.roles.len()];
        for (task, &rank) in task.iter().enumerate() {
            let span = &mut span[picture.role[task]];
            *span = (span.0.min(rank), span.1.max(rank));
        }
        Self { task, link: drawn[nodes.tasks..].iter().map(|&rank| number[rank]).collect(), span }
    }
}

fn constraints(picture: &Picture<'_>) -> (Nodes, Vec<Vec<usize>>) {
    let group = groups(picture);
    let groups = group.iter().max().map_or(0, |&last| last + 1);
    let nodes = Nodes { tasks: picture.tasks.len(), links: picture.links.len(), groups, group };
    let mut after = vec![Vec::new(); nodes.exit(groups)];
    for (task, &role) in picture.role.iter().enumerate() {
        after[nodes.entry(nodes.group[role])].push(task);
        after[task].push(nodes.exit(nodes.group[role]));
    }
    for (index, link) in picture.links.iter().enumerate() {
        let node = nodes.link(index);
        for &from in &link.from {
            after[from].push(node);
        }
        after[node].extend(&link.to);
        let (from, to) = picture.ends(link);
        let (from, to) = (nodes.group[from], nodes.group[to]);
        if from != to {
            after[nodes.exit(from)].push(node);
            after[node].push(nodes.entry(to));
        }
    }
    (nodes, after)
}

/// The group of each role: those that wait for each other are one.
fn groups(picture: &Picture<'_>) -> Vec<usize> {
    let mut roles: DiGraph<(), (), u32> = DiGraph::default();
    let of: Vec<_> = picture.roles.iter().map(|_| roles.add_node(())).collect();
    for link in &picture.links {
        let (from, to) = picture.ends(link);
        roles.update_edge(of[from], of[to], ());
    }
    let mut group = vec![0; of.len()];
    for (number, knot) in tarjan_scc(&roles).into_iter().enumerate() {
        for role in knot {
            group[role.index()] = number;
        }
    }
    group
}
