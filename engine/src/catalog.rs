//! What the engine wants of a planner: one host's catalog once its facts are known.

use std::{collections::HashMap, sync::Arc};

use cm_plan::ContentSource;
use cm_wire::{Digest, Facts, Secret, Task};

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

    /// The catalog of one host.
    ///
    /// # Errors
    /// When its roles do not compile with these facts.
    fn catalog(&self, host: &str, facts: &Facts, others: &OtherFacts) -> Result<HostCatalog, PlanFailure>;
}
