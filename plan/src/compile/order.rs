//! Orders found once: hosts of one kind have the same tasks, and so the same graph.

use std::{
    collections::HashMap,
    hash::{Hash as _, Hasher as _},
    sync::{Arc, Mutex},
};

use cm_wire::Value as Wire;

use super::render::Rendered;
use crate::{
    fast_hash::Fast,
    graph::{self, CycleError, Graph, GraphRole, TaskView},
    scope::lock,
};

/// Different orders that are remembered; more kinds of hosts than this are ordered one by one.
const REMEMBERED: usize = 256;

/// What a task's place in the order depends on.
#[derive(Debug)]
pub(crate) struct OrderTask {
    pub rendered: Arc<Rendered>,
    /// The role's instance, by place.
    pub role: usize,
    pub needs: Vec<usize>,
    pub restarts: Vec<usize>,
    pub reloads: Vec<usize>,
}

/// The orders found so far.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<HashMap<u64, Arc<Ordered>>>);

#[derive(Debug)]
struct Ordered {
    tasks: Vec<OrderTask>,
    roles: Vec<GraphRole>,
    graph: Arc<Graph>,
}

impl OrderTask {
    fn parallel(&self) -> bool {
        self.rendered.params.get("parallel") == Some(&Wire::Bool(true))
    }

    fn same(&self, other: &Self) -> bool {
        self.role == other.role
            && self.needs == other.needs
            && self.restarts == other.restarts
            && self.reloads == other.reloads
            && (Arc::ptr_eq(&self.rendered, &other.rendered)
                || (self.rendered.touches == other.rendered.touches && self.parallel() == other.parallel()))
    }
}

impl Orders {
    /// The order of these tasks.
    pub fn order(&self, tasks: Vec<OrderTask>, roles: Vec<GraphRole>) -> Result<Arc<Graph>, CycleError> {
        let key = key(&tasks);
        let known = lock(&self.0).get(&key).cloned();
        if let Some(known) = known
            && same(&known, &tasks, &roles)
        {
            return Ok(known.graph.clone());
        }
        let views: Vec<TaskView<'_>> = tasks
            .iter()
            .map(|task| TaskView {
                role: task.role,
                touches: &task.rendered.touches,
                needs: &task.needs,
                restarts: &task.restarts,
                reloads: &task.reloads,
                parallel: task.parallel(),
            })
            .collect();
        let graph = Arc::new(graph::of(&views, &roles)?);
        let mut known = lock(&self.0);
        if known.len() < REMEMBERED {
            known.insert(key, Arc::new(Ordered { tasks, roles, graph: graph.clone() }));
        }
        Ok(graph)
    }
}

fn same(known: &Ordered, tasks: &[OrderTask], roles: &[GraphRole]) -> bool {
    known.tasks.len() == tasks.len()
        && known.tasks.iter().zip(tasks).all(|(known, task)| known.same(task))
        && known.roles.len() == roles.len()
        && known
            .roles
            .iter()
            .zip(roles)
            .all(|(known, role)| known.name == role.name && known.needs == role.needs)
}

/// Tells most different lists apart; [`same`] tells the rest.
fn key(tasks: &[OrderTask]) -> u64 {
    let mut hasher = Fast::default();
    for task in tasks {
        task.role.hash(&mut hasher);
        // Paths are hashed part by part, which is slow; the name says as much here.
        task.rendered.name.hash(&mut hasher);
    }
    hasher.finish()
}
