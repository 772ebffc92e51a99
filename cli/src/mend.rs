//! What `cm verify --mend` changes: what was changed behind our back, and nothing that is pending or let be.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cm_engine::{
    HostCatalog, HostReport, OtherFacts, PlanFailure, Planner, ProjectPlanner, VerdictKind, part_of,
};
use cm_wire::{Facts, Outcome};

/// What a verify found, as far as mending goes.
#[derive(Debug, Default)]
pub struct Mendable(HashMap<String, OfHost>);

/// What is to be mended on one host.
#[derive(Clone, Debug, Default)]
struct OfHost {
    /// Tasks that drifted.
    drifted: HashSet<Arc<str>>,
    /// Tasks that are as wanted: what a mended one restarts may be among them.
    right: HashSet<Arc<str>>,
}

impl Mendable {
    /// Takes in what a verify found on a host. Where the repository moved on as well, mending would apply what
    /// nobody asked for: that is left to an apply.
    pub fn add(&mut self, report: &HostReport) {
        let mut found = OfHost::default();
        for result in &report.results {
            let Some(label) = report.labels.get(result.task as usize) else { continue };
            let verdict = report.verdicts.get(&result.task);
            if result.outcome == Outcome::Ok && !label.check {
                found.right.insert(Arc::clone(&label.id));
            } else if verdict
                .is_some_and(|verdict| verdict.kind == VerdictKind::Drift && !verdict.is_waived())
            {
                found.drifted.insert(Arc::clone(&label.id));
            }
        }
        if !found.drifted.is_empty() {
            self.0.insert(report.host.to_string(), found);
        }
    }

    /// Whether a host has something to mend.
    #[must_use]
    pub fn has(&self, host: &str) -> bool {
        self.0.contains_key(host)
    }

    /// How many hosts have something to mend.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.0.len()
    }
}

/// Makes catalogs of what is to be mended.
pub struct MendPlanner {
    /// Makes the whole catalogs.
    pub whole: ProjectPlanner,
    /// What is to be mended.
    pub mendable: Arc<Mendable>,
}

impl Planner for MendPlanner {
    fn needs_other_facts(&self) -> bool {
        self.whole.needs_other_facts()
    }

    fn catalog(&self, host: &str, facts: &Facts, others: &OtherFacts) -> Result<HostCatalog, PlanFailure> {
        let catalog = self.whole.catalog(host, facts, others)?;
        Ok(match self.mendable.0.get(host) {
            Some(found) => mend(catalog, found),
            None => HostCatalog::default(),
        })
    }
}

/// The part of a catalog that mends: what drifted, and the services that are as wanted and hear of it.
fn mend(catalog: HostCatalog, found: &OfHost) -> HostCatalog {
    let drifted = |id: &str| found.drifted.contains(id);
    let told: HashSet<usize> = catalog
        .tasks
        .iter()
        .filter(|task| drifted(&task.id))
        .flat_map(|task| task.notify.iter().map(|notify| notify.task as usize))
        .collect();
    let mut notes: Vec<String> = Vec::new();
    for &index in &told {
        let Some(task) = catalog.tasks.get(index) else { continue };
        if !drifted(&task.id) && !found.right.contains(task.id.as_str()) {
            notes.push(format!(
                "{} is not told of what is mended: it is itself not as wanted, and `cm apply` sees to it",
                task.id
            ));
        }
    }
    notes.sort();
    let part = part_of(catalog, &|index, task| {
        drifted(&task.id) || (told.contains(&index) && found.right.contains(task.id.as_str()))
    });
    HostCatalog { notes, ..part }
}

#[cfg(test)]
mod tests {
    use cm_engine::TaskLabel;
    use cm_wire::{Notice, Notify, Task};

    use super::*;

    #[test]
    fn only_what_drifted_is_changed_and_services_that_are_right_hear_of_it() {
        let ids = ["conf", "pending", "service", "stale"];
        let label = |id: &&str| TaskLabel {
            id: (*id).into(),
            role: "web".into(),
            place: "".into(),
            check: false,
            added: false,
        };
        let notify = [2, 3].map(|task| Notify { task, notice: Notice::Restart }).to_vec();
        let mut tasks: Vec<Task> = ids.iter().map(|id| Task::new(id, "file")).collect();
        tasks[0].notify = notify;
        let catalog =
            HostCatalog { tasks, labels: ids.iter().map(label).collect(), ..HostCatalog::default() };
        let found = OfHost { drifted: ["conf".into()].into(), right: ["service".into()].into() };
        let part = mend(catalog, &found);
        let kept: Vec<&str> = part.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(kept, ["conf", "service"]);
        assert_eq!(part.tasks[0].notify, [Notify { task: 1, notice: Notice::Restart }]);
        assert_eq!(part.notes.len(), 1);
        assert!(part.notes[0].starts_with("stale is not told"), "{:?}", part.notes);
    }
}
