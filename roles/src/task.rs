//! A task of a role, checked and with its templates compiled.

use std::sync::Arc;

use cm_modules::{Module, ParamSchema};
use cm_syntax::{Span, Spanned};

use crate::{argument::Argument, template::Expression, template::TemplateName};

/// The word that names service tasks in `restarts` and `reloads`.
pub const SERVICE: &str = "service";
/// The module that restarts the host, which tasks may ask for in the same way.
pub const REBOOT: &str = "reboot";

/// One task as written: it becomes one task of a host, or several by a list of subjects or `each`, or none by `when`.
pub struct Task {
    /// The module.
    pub module: &'static Module,
    /// Its name on the wire; a check's has `check.` in front.
    pub module_name: Arc<str>,
    /// What it is called in messages: its id as far as it is known without a host.
    pub label: String,
    /// The module's key with its subject.
    pub span: Span,
    /// The file, line and column of the module's key: `roles/web/role.yaml:14:5`.
    pub place: Arc<str>,
    /// The id it gives itself.
    pub id: Option<Argument>,
    /// Its subjects; each makes a task of its own.
    pub subjects: Vec<Argument>,
    /// Its parameters, in the order written.
    pub params: Vec<TaskParam>,
    /// Conditions; all must hold.
    pub when: Vec<When>,
    /// What it is repeated over.
    pub each: Option<Argument>,
    /// Tasks that come before it.
    pub needs: Vec<Reference>,
    /// Services that restart when it changes something.
    pub restarts: Vec<Reference>,
    /// Services that reload when it changes something.
    pub reloads: Vec<Reference>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whose rights its commands run with.
    pub run_as: Option<Spanned<RunAs>>,
    /// Further attempts after a failure.
    pub retries: u16,
    /// Seconds between attempts.
    pub retry_delay: u32,
    /// Seconds one attempt may take; 0: the module's own limit.
    pub timeout: u32,
    /// Seconds after which the node takes the change back unless the controller comes back over a new
    /// connection; 0: it is not guarded.
    pub guard: u32,
    /// Its values and diffs are never shown or stored.
    pub sensitive: bool,
}

/// A parameter of a task.
#[derive(Debug)]
pub struct TaskParam {
    /// What the module says about it.
    pub schema: &'static ParamSchema,
    /// Where its key stands.
    pub key: Span,
    /// What was given.
    pub value: Argument,
}

/// One condition.
#[derive(Debug)]
pub enum When {
    /// Decided when it was written.
    Always(bool),
    /// Decided for each host.
    Expression(Expression),
}

/// What `become` of a task says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// `true`: the rights of the whole run.
    Agent,
    /// `false`: those of the user who logs in.
    Login,
    /// Those of this user.
    User(String),
}

/// A task named by another one.
#[derive(Debug)]
pub struct Reference {
    /// Where it stands.
    pub span: Span,
    /// What names it.
    pub text: ReferenceText,
    /// The tasks it can mean, found when all roles are read; none where that depends on the host.
    pub targets: Vec<Target>,
}

/// How a task is named.
#[derive(Debug)]
pub enum ReferenceText {
    /// As it stands.
    Literal(String),
    /// By a template.
    Template(TemplateName),
}

/// A task of a role, or what one of its subjects makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The role's name.
    pub role: Arc<str>,
    /// The task's place among the role's tasks.
    pub task: usize,
    /// The subject's place; none: all.
    pub subject: Option<usize>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("label", &self.label).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Task {
    /// Whether it is a service task.
    #[must_use]
    pub fn is_service(&self) -> bool {
        [SERVICE, REBOOT].contains(&self.module_name.as_ref())
    }

    /// Whether it makes the same tasks on every host.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.each.is_none()
            && self.id.as_ref().is_none_or(Argument::is_literal)
            && self.subjects.iter().all(Argument::is_literal)
            && self.params.iter().all(|param| param.value.is_literal())
            && self.when.iter().all(|when| matches!(when, When::Always(_)))
    }
}
