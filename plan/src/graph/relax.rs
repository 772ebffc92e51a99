//! Weak edges give way where they contradict stronger ones.

use std::collections::{HashMap, HashSet};

use super::{Barrier, Edge, Graph, cycle};

/// Takes out the weakest edges of every circle. Strong edges are known to have none among themselves.
pub(super) fn relax(graph: &mut Graph) {
    loop {
        let knots = cycle::knots(graph);
        if knots.is_empty() {
            return;
        }
        // A barrier within a knot is written out for the tasks of the knot, so that single edges can give way.
        let mut written_out = false;
        for knot in &knots {
            let tasks = graph.tasks;
            for &node in knot.iter().filter(|&&node| node >= tasks) {
                write_out(graph, node - tasks, knot);
                written_out = true;
            }
        }
        if written_out {
            continue;
        }
        for knot in knots {
            untie(graph, &knot);
        }
    }
}

/// Turns the part of a barrier that concerns these tasks into single edges.
fn write_out(graph: &mut Graph, barrier: usize, knot: &[usize]) {
    let inside = |task: &usize| knot.binary_search(task).is_ok();
    let Barrier { from, to, reason, .. } = graph.barriers[barrier].clone();
    let (from_in, from_out): (Vec<usize>, Vec<usize>) = from.iter().partition(|task| inside(task));
    let (to_in, to_out): (Vec<usize>, Vec<usize>) = to.iter().partition(|task| inside(task));
    let mut add = |from: &[usize], to: &[usize]| {
        for &from in from {
            graph.edges.extend(to.iter().map(|&to| Edge { from, to, reason: reason.clone() }));
        }
    };
    add(&from_in, &to);
    add(&from_out, &to_in);
    graph.barriers[barrier].from = from_out;
    graph.barriers[barrier].to = to_out;
}

/// Adds the knot's edges again, strongest first and then as written; one that would close a circle stays out.
fn untie(graph: &mut Graph, knot: &[usize]) {
    let members: HashSet<usize> = knot.iter().copied().collect();
    let (mut inside, mut kept): (Vec<Edge>, Vec<Edge>) =
        graph.edges.drain(..).partition(|edge| members.contains(&edge.from) && members.contains(&edge.to));
    inside.sort_by(|a, b| {
        let key = |edge: &Edge| (edge.reason.rank(), edge.from.max(edge.to), edge.from, edge.to);
        key(a).cmp(&key(b))
    });
    let mut after: HashMap<usize, Vec<usize>> = HashMap::new();
    for edge in inside {
        if edge.from != edge.to && !reaches(&after, edge.to, edge.from) {
            after.entry(edge.from).or_default().push(edge.to);
            kept.push(edge);
        }
    }
    graph.edges = kept;
}

fn reaches(after: &HashMap<usize, Vec<usize>>, from: usize, to: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut stack = vec![from];
    while let Some(node) = stack.pop() {
        if node == to {
            return true;
        }
        for &next in after.get(&node).into_iter().flatten() {
            if seen.insert(next) {
                stack.push(next);
            }
        }
    }
    false
}
