//! Tasks that are the same on every host, compiled when the first host asks for them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use cm_roles::{Roles, TaskList};
use cm_syntax::Diagnostic;

use super::render::Rendered;

/// What a task makes, each with the place of its subject.
pub(crate) type PreparedTask = Result<Vec<(usize, Arc<Rendered>)>, Vec<Diagnostic>>;

/// One slot for each task of each role.
#[derive(Debug)]
pub(crate) struct Prepared(BTreeMap<Arc<str>, [Vec<OnceLock<PreparedTask>>; 3]>);

impl Prepared {
    pub fn new(roles: &Roles) -> Self {
        let slots = |tasks: usize| (0..tasks).map(|_| OnceLock::new()).collect();
        let of = |role: &cm_roles::Role| {
            [slots(role.tasks.len()), slots(role.verify.len()), slots(role.cleanup.len())]
        };
        Self(roles.iter().map(|role| (role.name.clone(), of(role))).collect())
    }

    /// The slot of a task; none for a task that is not among the roles this was made for.
    pub fn slot(&self, role: &str, list: TaskList, task: usize) -> Option<&OnceLock<PreparedTask>> {
        let list = match list {
            TaskList::Tasks => 0,
            TaskList::Verify => 1,
            TaskList::Cleanup => 2,
        };
        self.0.get(role)?[list].get(task)
    }
}
