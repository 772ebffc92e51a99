//! Cycles: finding them, and telling one as a person would.

use petgraph::{algo::tarjan_scc, graph::DiGraph};

use super::{Graph, Reason};

/// What the roles say contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tasks wait for each other in a circle")]
pub struct CycleError {
    /// The shortest circle: each step's `to` is the next one's `from`.
    pub steps: Vec<CycleStep>,
}

/// One edge of a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleStep {
    /// The task that comes first.
    pub from: usize,
    /// The task that comes after it.
    pub to: usize,
    /// Why.
    pub reason: Reason,
}

/// The sets of nodes (tasks, then barriers) that reach each other, each sorted.
pub(super) fn knots(graph: &Graph) -> Vec<Vec<usize>> {
    // Nearly every graph has none, which is cheaper to see than what the knots are.
    if is_straight(graph) {
        return Vec::new();
    }
    let before = graph.before();
    let mut structure: DiGraph<(), (), u32> =
        DiGraph::with_capacity(before.len(), before.iter().map(Vec::len).sum());
    for _ in &before {
        structure.add_node(());
    }
    let mut selfish = Vec::new();
    for (node, list) in before.iter().enumerate() {
        for &earlier in list {
            if earlier as usize == node {
                selfish.push(vec![node]);
            }
            structure.add_edge(earlier.into(), (node as u32).into(), ());
        }
    }
    let mut knots: Vec<Vec<usize>> = tarjan_scc(&structure)
        .into_iter()
        .filter(|knot| knot.len() > 1)
        .map(|knot| {
            let mut knot: Vec<usize> = knot.into_iter().map(petgraph::graph::NodeIndex::index).collect();
            knot.sort_unstable();
            knot
        })
        .collect();
    knots.extend(selfish);
    knots.sort();
    knots
}

/// Whether all nodes can be put into a row.
fn is_straight(graph: &Graph) -> bool {
    let barriers =
        || graph.barriers.iter().enumerate().map(|(index, barrier)| (graph.tasks + index, barrier));
    let each_edge = |mut edge: Box<dyn FnMut(usize, usize) + '_>| {
        graph.edges.iter().for_each(|one| edge(one.from, one.to));
        for (node, barrier) in barriers() {
            barrier.from.iter().for_each(|&from| edge(from, node));
            barrier.after.iter().for_each(|&other| edge(graph.tasks + other, node));
            barrier.to.iter().for_each(|&to| edge(node, to));
        }
    };
    let nodes = graph.tasks + graph.barriers.len();
    // What comes after each node: `after[starts[node]..starts[node + 1]]`.
    let mut starts = vec![0usize; nodes + 1];
    let mut waits = vec![0u32; nodes];
    each_edge(Box::new(|from, to| {
        starts[from + 1] += 1;
        waits[to] += 1;
    }));
    for node in 0..nodes {
        starts[node + 1] += starts[node];
    }
    let mut after = vec![0usize; starts[nodes]];
    let mut free = starts.clone();
    each_edge(Box::new(|from, to| {
        after[free[from]] = to;
        free[from] += 1;
    }));
    let mut ready: Vec<usize> = (0..nodes).filter(|&node| waits[node] == 0).collect();
    let mut placed = 0;
    while let Some(node) = ready.pop() {
        placed += 1;
        for &next in &after[starts[node]..starts[node + 1]] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push(next);
            }
        }
    }
    placed == nodes
}

/// The shortest circle of the graph, if it has one.
pub(super) fn find(graph: &Graph) -> Option<CycleError> {
    let knot = knots(graph).into_iter().next()?;
    let edges: Vec<_> = graph
        .task_edges()
        .into_iter()
        .filter(|edge| knot.binary_search(&edge.from).is_ok() && knot.binary_search(&edge.to).is_ok())
        .collect();
    let tasks: Vec<usize> = knot.into_iter().filter(|&node| node < graph.tasks).collect();
    let best = tasks.iter().filter_map(|&start| circle_through(start, &edges)).min_by_key(Vec::len)?;
    Some(CycleError { steps: best })
}

fn circle_through(start: usize, edges: &[super::Edge]) -> Option<Vec<CycleStep>> {
    let mut came: std::collections::HashMap<usize, &super::Edge> = std::collections::HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let first = edges.partition_point(|edge| edge.from < node);
        for edge in edges[first..].iter().take_while(|edge| edge.from == node) {
            if edge.to == start {
                let mut steps = vec![CycleStep { from: edge.from, to: edge.to, reason: edge.reason.clone() }];
                let mut at = edge.from;
                while at != start {
                    // Every node but the start was reached by an edge.
                    let step = came[&at];
                    steps.push(CycleStep { from: step.from, to: step.to, reason: step.reason.clone() });
                    at = step.from;
                }
                steps.reverse();
                return Some(steps);
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = came.entry(edge.to) {
                entry.insert(edge);
                queue.push_back(edge.to);
            }
        }
    }
    None
}
