//! What is drawn, whatever the format: tasks in their roles, and links between them.

use std::collections::BTreeSet;

use super::{
    DrawTask,
    bundle::{Link, bundle, split},
    reduce::reduce,
};
use crate::graph::Graph;

/// Above this many tasks edges are no longer written out and reduced; that takes memory by the square.
const REDUCED: usize = 2_000;

/// What is drawn.
pub struct Picture<'a> {
    /// The tasks.
    pub tasks: &'a [DrawTask<'a>],
    /// The names of the roles, in the order of their first tasks.
    pub roles: Vec<&'a str>,
    /// The role of each task, by place.
    pub role: Vec<usize>,
    /// The links, sorted.
    pub links: Vec<Link>,
}

impl<'a> Picture<'a> {
    /// Sorts out what is to be drawn.
    pub fn new(graph: &Graph, tasks: &'a [DrawTask<'a>]) -> Self {
        let mut roles: Vec<&str> = Vec::new();
        let role: Vec<usize> = tasks
            .iter()
            .map(|task| {
                roles.iter().position(|&name| name == task.role).unwrap_or_else(|| {
                    roles.push(task.role);
                    roles.len() - 1
                })
            })
            .collect();
        let links = if tasks.len() > REDUCED { as_built(graph, &role) } else { reduced(graph, &role) };
        Self { tasks, roles, role, links }
    }

    /// The tasks of a role.
    pub fn members(&self, role: usize) -> impl Iterator<Item = usize> {
        self.role.iter().enumerate().filter(move |&(_, &of)| of == role).map(|(task, _)| task)
    }

    /// The role that a link lies in, if it does not lead from one into another.
    pub fn home(&self, link: &Link) -> Option<usize> {
        let (from, to) = self.ends(link);
        (from == to).then_some(from)
    }

    /// The roles at both ends of a link.
    pub fn ends(&self, link: &Link) -> (usize, usize) {
        // Neither side of a link is empty.
        (self.role[link.from[0]], self.role[link.to[0]])
    }

    /// The classes that occur, in the order of a legend.
    pub fn classes(&self) -> Vec<cm_modules::Class> {
        let found: BTreeSet<_> = self.tasks.iter().map(|task| task.class).collect();
        super::palette::CLASSES.into_iter().filter(|class| found.contains(class)).collect()
    }
}

fn reduced(graph: &Graph, role: &[usize]) -> Vec<Link> {
    let mut edges = graph.task_edges();
    edges.retain(|edge| edge.from < role.len() && edge.to < role.len());
    let (edges, order) = reduce(role.len(), edges);
    bundle(&edges, role, Some(&order))
}

/// Barriers as links: as many strokes as the graph itself has.
fn as_built(graph: &Graph, role: &[usize]) -> Vec<Link> {
    let known =
        |tasks: &[usize]| -> Vec<usize> { tasks.iter().copied().filter(|&task| task < role.len()).collect() };
    let mut edges = graph.edges.clone();
    edges.retain(|edge| edge.from < role.len() && edge.to < role.len() && edge.from != edge.to);
    let mut links = bundle(&edges, role, None);
    for (index, barrier) in graph.barriers.iter().enumerate() {
        links.extend(split(&known(&sources(graph, index)), &known(&barrier.to), &barrier.reason, role));
    }
    links.sort_by(|a, b| (&a.from, &a.to, &a.reason).cmp(&(&b.from, &b.to, &b.reason)));
    links
}

/// The tasks before a barrier, those before earlier barriers too.
fn sources(graph: &Graph, barrier: usize) -> Vec<usize> {
    let (mut seen, mut stack, mut tasks) = (BTreeSet::from([barrier]), vec![barrier], Vec::new());
    while let Some(next) = stack.pop() {
        tasks.extend(&graph.barriers[next].from);
        stack.extend(graph.barriers[next].after.iter().filter(|&&earlier| seen.insert(earlier)));
    }
    tasks
}
