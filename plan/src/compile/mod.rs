//! From a host's roles to its plan: rendered, merged, named, put in order.

mod arrange;
mod certain;
mod custom;
pub(crate) mod instances;
mod merge;
mod order;
mod prepared;
mod render;

use std::{collections::HashMap, sync::Arc};

use cm_inventory::HostId;
use cm_roles::TaskList;
use cm_syntax::{Diagnostics, Span};
use cm_wire::{Digest, Facts, Secret};

pub(crate) use certain::certain_errors;
pub(crate) use order::Orders;
pub(crate) use prepared::Prepared;

use crate::{
    content::ContentSource,
    facts::{FactsBook, facts_value},
    graph::Graph,
    project::Project,
    scope::HostScope,
};

/// What to compile for a host.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The roles; none: those that the host's groups assign.
    pub roles: Option<&'a [String]>,
    /// Only tasks with one of these tags, with what they need and the services they restart or reload; empty: all.
    pub tags: &'a [String],
    /// Nothing that comes before the task of this id; none: all.
    pub start_at: Option<&'a str>,
    /// Which lists: the tasks with the checks, or the cleanup.
    pub list: TaskList,
    /// Who logs in, where the inventory does not say it; for tasks with `become: false`.
    pub login: Option<&'a str>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { roles: None, tags: &[], start_at: None, list: TaskList::Tasks, login: None }
    }
}

/// What one host is asked for. Nothing is left to decide.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// The host's name.
    pub host: String,
    /// The tasks, in the order written (needed roles first), then the checks of `verify:`. Numbers on the
    /// wire are places in this list. Their `after` is empty: the order is in `graph`.
    pub tasks: Vec<cm_wire::Task>,
    /// How many of `tasks` are no checks: a run that does not verify sends only these.
    pub checks_from: usize,
    /// The contents that `tasks` name.
    pub contents: HashMap<Digest, ContentSource>,
    /// Every secret and sensitive value that went into `tasks`; to be taken out of all that is shown or stored.
    pub secrets: Vec<Secret>,
    /// Where each task was written.
    pub origins: Vec<TaskOrigin>,
    /// The order with the reason of every edge.
    pub graph: Arc<Graph>,
    /// The roles, needed ones first.
    pub roles: Vec<String>,
    /// Roles of which all tasks that this host can have are in `tasks`: what a node knows of them beyond it is orphaned.
    pub whole_roles: Vec<String>,
    /// Of those, the roles that say `prune: true`.
    pub pruned_roles: Vec<String>,
}

/// Where a task was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOrigin {
    /// Its role.
    pub role: Arc<str>,
    /// `roles/web/role.yaml:14:5`.
    pub place: Arc<str>,
    /// The module's key and subject.
    pub span: Span,
}

impl Project {
    /// Compiles what one host is asked for.
    ///
    /// `facts` are the host's own, `others` those of the hosts that templates may ask for.
    ///
    /// # Errors
    /// All that is wrong on this host: templates that fail, values of a wrong type, tasks that
    /// contradict each other, a cycle. The same error of several hosts is equal: see [`gather_failures`](crate::gather_failures).
    pub fn compile(
        &self,
        host: HostId,
        facts: &Facts,
        others: &FactsBook,
        request: &Request<'_>,
    ) -> Result<HostPlan, Diagnostics> {
        let scope = HostScope::new(self.inner.clone(), host, Some(facts_value(facts)), others.clone());
        let instances = instances::resolve(&scope, request.roles)?;
        let drafts = render::tasks(&scope, &instances, request)?;
        let merged = merge::merge(&scope, drafts)?;
        arrange::arrange(&scope, &instances, merged, request)
    }
}
