//! A role as read: its parameters, what it needs, its tasks.

use std::{collections::BTreeSet, sync::Arc};

use cm_syntax::{Span, Spanned};

use crate::{
    argument::Argument, files::RoleFiles, param::RoleParam, rollout::RolloutSection, task::Task,
    template::Uses,
};

/// One role, checked as far as it can be without a host.
#[derive(Debug)]
pub struct Role {
    /// Its name: the folder's.
    pub name: Arc<str>,
    /// Where `role.yaml` begins.
    pub span: Span,
    /// What it is for.
    pub description: Option<String>,
    /// Its parameters, in the order written.
    pub params: Vec<RoleParam>,
    /// Their names.
    pub param_names: BTreeSet<String>,
    /// The defaults of parameters that have one, compiled.
    pub defaults: Vec<(String, Argument)>,
    /// Roles that come before it.
    pub needs: Vec<Need>,
    /// Whether `apply` takes back what an earlier version of it put on a node and it no longer wants.
    pub prune: bool,
    /// What it does.
    pub tasks: Vec<Task>,
    /// What `verify` checks.
    pub verify: Vec<Task>,
    /// What is done on decommission.
    pub cleanup: Vec<Task>,
    /// How it is rolled out.
    pub rollout: Option<RolloutSection>,
    /// Its files.
    pub files: RoleFiles,
    /// What all its texts and template files together use.
    pub uses: Uses,
}

/// A role that another one needs.
#[derive(Debug)]
pub struct Need {
    /// Its name.
    pub role: Spanned<String>,
    /// Values for its parameters; their templates see what the needing role sees.
    pub with: Vec<(Spanned<String>, Argument)>,
}

/// The lists of tasks that a role has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskList {
    /// `tasks`.
    Tasks,
    /// `verify`.
    Verify,
    /// `cleanup`.
    Cleanup,
}

impl Role {
    /// One of its lists.
    #[must_use]
    pub fn list(&self, list: TaskList) -> &[Task] {
        match list {
            TaskList::Tasks => &self.tasks,
            TaskList::Verify => &self.verify,
            TaskList::Cleanup => &self.cleanup,
        }
    }

    /// The parameter of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&RoleParam> {
        self.params.iter().find(|param| param.name.value == name)
    }
}
