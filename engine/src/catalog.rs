//! What the engine wants of a planner: one host's catalog once its facts are known.

use std::{collections::HashMap, sync::Arc};

use cm_plan::{ContentSource, Waivers};
use cm_wire::{Digest, Facts, Secret, Task};

use crate::NodeLedger;

/// A host's catalog, ready to send.
#[derive(Debug, Default)]
pub struct HostCatalog {
    /// The graph; tasks refer to each other by their place in it.
    pub tasks: Vec<Task>,
    /// What reports say of each task, in the same order.
    pub labels: Vec<TaskLabel>,
    /// The contents that the tasks name.
    pub contents: HashMap<Digest, ContentSource>,
    /// Texts that must not be shown.
    pub redact: Vec<Secret>,
    /// Roles of which all tasks are here.
    pub whole_roles: Vec<String>,
    /// Of those, the roles whose orphaned things are taken back.
    pub prune: Vec<String>,
    /// What a person should know of how it was made.
    pub notes: Vec<String>,
}

/// What reports say of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLabel {
    /// Its id: `file:/etc/motd`.
    pub id: Arc<str>,
    /// The role it came from.
    pub role: Arc<str>,
    /// Where it is written: `roles/web/role.yaml:14:5`.
    pub place: Arc<str>,
    /// It is a check of a `verify:` list.
    pub check: bool,
    /// The node made it itself, from its journal, to take something back.
    pub added: bool,
}

/// Why a host's catalog cannot be made: the user's errors, ready to show.
#[derive(Debug, Clone)]
pub struct PlanFailure {
    /// The rendered diagnostics.
    pub text: String,
}

/// The facts of other hosts, by name.
pub type OtherFacts = HashMap<String, Arc<Facts>>;

/// Makes catalogs.
pub trait Planner: Send + Sync {
    /// Whether a catalog can depend on the facts of other hosts: then all hosts' facts are gathered first.
    fn needs_other_facts(&self) -> bool;

    /// Whether a node is asked what it remembers before its catalog is made.
    fn needs_ledger(&self) -> bool {
        false
    }

    /// Drift that is known and let be.
    fn waivers(&self) -> Option<&Waivers> {
        None
    }

    /// The catalog of a host that was asked; where it was not, `ledger` is empty.
    ///
    /// # Errors
    /// As [`catalog`](Self::catalog).
    fn catalog_with(
        &self,
        host: &str,
        facts: &Facts,
        others: &OtherFacts,
        _ledger: &NodeLedger,
    ) -> Result<HostCatalog, PlanFailure> {
        self.catalog(host, facts, others)
    }

    /// The catalog of one host.
    ///
    /// # Errors
    /// When its roles do not compile with these facts.
    fn catalog(&self, host: &str, facts: &Facts, others: &OtherFacts) -> Result<HostCatalog, PlanFailure>;
}
