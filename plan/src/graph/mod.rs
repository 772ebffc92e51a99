//! The order of a host's tasks: a graph whose every edge has a reason.
//!
//! Strongest first: (1) what the role says (`needs`, `restarts`, `reloads`) and (5) roles after the roles
//! they need; then (2) what holds a thing before the thing, (4) commands in the order written, (3) packages before
//! files before services. A weaker edge that contradicts stronger ones gives way; strong edges
//! that contradict each other are an error that shows the cycle.
//!
//! "All of these before all of those" is kept as a [`Barrier`], so that the graph of 10,000 tasks stays linear.

mod build;
mod cycle;
mod holds;
mod paths;
mod reason;
mod relax;

pub use build::build;
pub(crate) use build::of;
pub use cycle::{CycleError, CycleStep};
pub(crate) use paths::plain;
pub use reason::Reason;

use cm_modules::Touches;

/// A task as the graph sees it; tasks refer to each other by their place in the list.
#[derive(Clone, Debug)]
pub struct GraphTask {
    /// Its id, for messages.
    pub id: String,
    /// Its role, by place in the list of roles.
    pub role: usize,
    /// What it makes and needs.
    pub touches: Touches,
    /// Tasks it says it needs.
    pub needs: Vec<usize>,
    /// Service tasks it restarts when it changes.
    pub restarts: Vec<usize>,
    /// Service tasks it reloads when it changes.
    pub reloads: Vec<usize>,
    /// A command that says it touches nothing others do.
    pub parallel: bool,
}

/// The same, borrowed, without what is for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskView<'a> {
    pub role: usize,
    pub touches: &'a Touches,
    pub needs: &'a [usize],
    pub restarts: &'a [usize],
    pub reloads: &'a [usize],
    pub parallel: bool,
}

impl GraphTask {
    fn view(&self) -> TaskView<'_> {
        TaskView {
            role: self.role,
            touches: &self.touches,
            needs: &self.needs,
            restarts: &self.restarts,
            reloads: &self.reloads,
            parallel: self.parallel,
        }
    }
}

/// A role as the graph sees it.
#[derive(Clone, Debug, Default)]
pub struct GraphRole {
    /// Its name.
    pub name: String,
    /// Roles it needs, by place.
    pub needs: Vec<usize>,
}

/// One task comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The earlier one.
    pub from: usize,
    /// The later one.
    pub to: usize,
    /// Why.
    pub reason: Reason,
}

/// All of these come before all of those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Tasks before it.
    pub from: Vec<usize>,
    /// Barriers before it, by place.
    pub after: Vec<usize>,
    /// Tasks after it.
    pub to: Vec<usize>,
    /// Why.
    pub reason: Reason,
}

/// The order of a host's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// How many tasks there are.
    pub tasks: usize,
    /// Single edges, sorted, each pair once with its strongest reason.
    pub edges: Vec<Edge>,
    /// Edges between whole sets.
    pub barriers: Vec<Barrier>,
}

impl Graph {
    /// For each node what comes right before it: tasks first, then barriers (numbered on from the tasks).
    #[must_use]
    pub fn before(&self) -> Vec<Vec<u32>> {
        let mut before = vec![Vec::new(); self.tasks + self.barriers.len()];
        // Nodes are numbered in u32 on the wire.
        for edge in &self.edges {
            before[edge.to].push(edge.from as u32);
        }
        for (index, barrier) in self.barriers.iter().enumerate() {
            let node = self.tasks + index;
            before[node].extend(barrier.from.iter().map(|&task| task as u32));
            before[node].extend(barrier.after.iter().map(|&other| (self.tasks + other) as u32));
            for &task in &barrier.to {
                before[task].push(node as u32);
            }
        }
        for list in &mut before {
            list.sort_unstable();
            list.dedup();
        }
        before
    }

    /// For each node whether the task waits for it, directly or through others.
    #[must_use]
    pub fn all_before(&self, task: usize) -> Vec<bool> {
        let before = self.before();
        let mut found = vec![false; before.len()];
        let mut open = vec![task];
        while let Some(node) = open.pop() {
            for &earlier in &before[node] {
                let earlier = earlier as usize;
                if !std::mem::replace(&mut found[earlier], true) {
                    open.push(earlier);
                }
            }
        }
        found
    }

    /// Every edge from task to task, barriers written out; for drawings, where each edge shows its reason.
    #[must_use]
    pub fn task_edges(&self) -> Vec<Edge> {
        let mut edges = self.edges.clone();
        let mut sources: Vec<Option<Vec<usize>>> = vec![None; self.barriers.len()];
        for index in 0..self.barriers.len() {
            let from = self.sources(index, &mut sources);
            let barrier = &self.barriers[index];
            for &from in &from {
                for &to in &barrier.to {
                    edges.push(Edge { from, to, reason: barrier.reason.clone() });
                }
            }
        }
        edges.sort_by_key(|edge| (edge.from, edge.to, edge.reason.rank()));
        edges.dedup_by_key(|edge| (edge.from, edge.to));
        edges
    }

    fn sources(&self, barrier: usize, known: &mut Vec<Option<Vec<usize>>>) -> Vec<usize> {
        if let Some(sources) = &known[barrier] {
            return sources.clone();
        }
        let mut sources = self.barriers[barrier].from.clone();
        for &earlier in &self.barriers[barrier].after {
            sources.extend(self.sources(earlier, known));
        }
        sources.sort_unstable();
        sources.dedup();
        known[barrier] = Some(sources.clone());
        sources
    }
}
