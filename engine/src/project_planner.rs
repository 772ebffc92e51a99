//! Catalogs from a repository's roles.

use std::sync::{Arc, OnceLock};

use cm_plan::{FactsBook, HostPlan, Project, Request, Waivers};
use cm_syntax::Style;
use cm_wire::{BARRIER, Facts, Task};

use crate::{HostCatalog, OtherFacts, PlanFailure, Planner, TaskLabel};

/// Compiles the roles of a repository for each host.
pub struct ProjectPlanner {
    /// The repository.
    pub project: Project,
    /// The roles; none: those that each host's groups assign.
    pub roles: Option<Vec<String>>,
    /// Only tasks with one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Nothing that comes before this task.
    pub start_at: Option<String>,
    /// What is orphaned is told; whether it is, depends on nothing else being left out.
    pub orphans: bool,
    /// What is orphaned is taken back, whatever the roles say.
    pub prune: bool,
    /// Whether the checks of `verify:` run too.
    pub checks: bool,
    /// How errors look.
    pub style: Style,
    /// Whether any of the roles looks at facts of other hosts.
    pub other_facts: bool,
    /// The facts of other hosts as templates see them; filled by the first catalog.
    pub book: OnceLock<FactsBook>,
}

impl Planner for ProjectPlanner {
    fn needs_other_facts(&self) -> bool {
        self.other_facts
    }

    fn waivers(&self) -> Option<&Waivers> {
        Some(self.project.waivers())
    }

    fn catalog(&self, host: &str, facts: &Facts, others: &OtherFacts) -> Result<HostCatalog, PlanFailure> {
        let inventory = self.project.inventory();
        let id = inventory
            .host_id(host)
            .ok_or_else(|| PlanFailure { text: format!("host `{host}` is not in the inventory") })?;
        // Made once: no catalog is asked for before the facts of all hosts are there.
        let others = self.book.get_or_init(|| {
            let wanted = others.iter().filter(|_| self.other_facts);
            FactsBook::new(wanted.map(|(name, facts)| (name.clone(), Arc::clone(facts))))
        });
        let settings = inventory.settings(id);
        let request = Request {
            roles: self.roles.as_deref(),
            tags: &self.tags,
            start_at: self.start_at.as_deref(),
            login: settings.ssh.user.as_ref().map(|user| user.value.as_str()),
            ..Request::default()
        };
        let plan = self.project.compile(id, facts, others, &request).map_err(|diagnostics| PlanFailure {
            text: diagnostics.render(self.project.sources(), self.style),
        })?;
        let (whole, mut pruned) = (plan.whole_roles.clone(), plan.pruned_roles.clone());
        let mut catalog = catalog_of(plan, self.checks);
        if self.orphans {
            if self.prune {
                pruned.clone_from(&whole);
            }
            (catalog.whole_roles, catalog.prune) = (whole, pruned);
        }
        if let Some(limit) = &self.project.settings().timeout {
            let seconds = u32::try_from(limit.value.as_secs().max(1)).unwrap_or(u32::MAX);
            catalog.tasks.iter_mut().filter(|task| task.timeout == 0).for_each(|task| task.timeout = seconds);
        }
        Ok(catalog)
    }
}

/// The form of the wire: barriers of the graph become nodes behind the tasks, so that the catalog stays linear.
#[must_use]
pub fn catalog_of(plan: HostPlan, checks: bool) -> HostCatalog {
    let HostPlan { mut tasks, contents, secrets, origins, graph, checks_from, .. } = plan;
    let all = tasks.len();
    let count = if checks { all } else { checks_from };
    tasks.truncate(count);
    let labels = tasks
        .iter()
        .zip(&origins)
        .enumerate()
        .map(|(index, (task, origin))| TaskLabel {
            id: task.id.as_str().into(),
            role: Arc::clone(&origin.role),
            place: Arc::clone(&origin.place),
            check: index >= checks_from,
            added: false,
        })
        .collect();
    // Numbers of tasks fit u32; checks that are left out come last, so only barriers move.
    let moved = |node: u32| match node as usize {
        node if node < count => Some(node as u32),
        node if node < all => None,
        node => Some((node - all + count) as u32),
    };
    for (node, before) in graph.before().into_iter().enumerate() {
        let after: Vec<u32> = before.into_iter().filter_map(moved).collect();
        if node < count {
            tasks[node].after = after;
        } else if node >= all {
            tasks.push(barrier(after));
        }
    }
    HostCatalog { tasks, labels, contents, redact: secrets, ..HostCatalog::default() }
}

fn barrier(after: Vec<u32>) -> Task {
    Task { after, ..Task::new("", BARRIER) }
}
