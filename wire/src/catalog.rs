//! What the controller asks of one node: the rendered graph and how to run it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Change, Secret, Value};

/// What to do with the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Show what apply would do; change nothing.
    Plan,
    /// Make it so.
    Apply,
    /// Look at everything and run the checks; change nothing.
    Verify,
}

/// Opens a run on a node; the tasks follow in [`crate::ToAgent::Tasks`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The run's id, for the journal.
    pub run: String,
    /// Who runs it, `user@controller`, for the lock's message.
    pub holder: String,
    /// What to do.
    pub mode: Mode,
    /// Whether texts of diffs are wanted.
    pub diff: bool,
    /// Stop starting tasks after the first failure.
    pub fail_fast: bool,
    /// Tasks at work at once; 0 lets the agent choose.
    pub parallel: u16,
    /// Seconds to wait for another run on this node to end.
    pub lock_wait: u32,
    /// Hash contents even where size, mtime and inode are what the journal recorded.
    pub paranoid: bool,
    /// Roles of which all tasks are in this catalog: what the node knows of them beyond it is orphaned.
    pub whole_roles: Vec<String>,
    /// Of those, the roles whose orphaned things are taken back at the end of the run.
    pub prune: Vec<String>,
    /// What the node takes back after the catalog's own tasks; it makes those tasks itself, from its journal.
    pub undo: Option<Undo>,
    /// Bytes that the journal and the contents it keeps may take on the node; 0: the agent's own limit.
    pub journal_limit: u64,
    /// The run goes on after the host was restarted by one of its tasks.
    pub resumed: Option<Resumed>,
    /// Whether what the first look finds is told, or must be what it was in a plan.
    pub looks: Looks,
    /// Texts replaced by `[secret]` in everything the agent sends.
    pub redact: Vec<Secret>,
}

/// What becomes of the first look's findings, a number for each task that is no check: equal numbers, equal findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Looks {
    /// Nothing.
    #[default]
    Untold,
    /// They are told, in [`crate::FromAgent::Looked`].
    Told,
    /// The run is refused before anything is changed unless they are these.
    Expected(Vec<u64>),
}

/// What a node takes back from its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undo {
    /// What a run changed becomes what it was before.
    Run {
        /// Its id.
        run: String,
        /// And all that runs after it changed, elsewhere too.
        later: bool,
        /// Even where somebody else has changed it since.
        force: bool,
    },
    /// What roles put there becomes what it was before `cm` first touched it; none named: all roles.
    Roles(Vec<String>),
}

/// Where a run stood when one of its tasks restarted the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// The task that restarts the host.
    pub task: u32,
    /// The boot id (random(4)) before.
    pub boot_id: String,
    /// What it reports once the host is back.
    pub changes: Vec<Change>,
    /// Tasks that had ended by then, and whether they had changed something.
    pub done: Vec<(u32, Done)>,
}

/// How a task had ended before the host restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// As wanted, nothing changed.
    Ok,
    /// Changed.
    Changed,
    /// Failed, or skipped since another had failed.
    Failed,
}

/// A task that the node made itself, from its journal; numbered after those that were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedTask {
    /// `path:/etc/motd`: what is taken back.
    pub id: String,
    /// The role that had put it there.
    pub role: String,
}

/// The module of a node of the graph that is no task: a point where many tasks wait for many others. It is
/// never reported.
pub const BARRIER: &str = "barrier";

/// One task of a node's graph. Tasks are numbered by their place in the whole sequence sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// `module:subject`, or what the role says; unique on the node.
    pub id: String,
    /// Name of the module in the registry.
    pub module: String,
    /// The role it came from.
    pub role: String,
    /// Other roles that want the very same.
    pub also: Vec<String>,
    /// Rendered parameters, the subject among them under the name the schema gives it.
    pub params: BTreeMap<String, Value>,
    /// Tasks that must have ended well before this one starts, by number.
    pub after: Vec<u32>,
    /// Service tasks to tell when this one changed something.
    pub notify: Vec<Notify>,
    /// Edits of the file this task makes, by number, in order: its wanted content includes them.
    pub edits: Vec<u32>,
    /// Values and diffs are never shown or stored.
    pub sensitive: bool,
    /// Seconds one attempt may take; 0: the module's own limit.
    pub timeout: u32,
    /// Further attempts after a failure.
    pub retries: u16,
    /// Seconds between attempts.
    pub retry_delay: u32,
    /// The user whose rights commands of this task run with; none: the agent's own.
    pub run_as: Option<String>,
    /// Seconds after which the node takes the change back by itself unless the controller has come back over
    /// a new connection; 0: never.
    pub guard: u32,
}

impl Begin {
    /// A run without options.
    #[must_use]
    pub fn new(run: impl Into<String>, holder: impl Into<String>, mode: Mode) -> Self {
        Self {
            run: run.into(),
            holder: holder.into(),
            mode,
            diff: false,
            fail_fast: false,
            parallel: 0,
            lock_wait: 0,
            paranoid: false,
            whole_roles: Vec::new(),
            prune: Vec::new(),
            undo: None,
            journal_limit: 0,
            resumed: None,
            looks: Looks::Untold,
            redact: Vec::new(),
        }
    }
}

impl Task {
    /// A task without parameters, edges and options.
    #[must_use]
    pub fn new(id: &str, module: &str) -> Self {
        Self {
            id: id.to_owned(),
            module: module.to_owned(),
            role: String::new(),
            also: Vec::new(),
            params: BTreeMap::new(),
            after: Vec::new(),
            notify: Vec::new(),
            edits: Vec::new(),
            sensitive: false,
            timeout: 0,
            retries: 0,
            retry_delay: 0,
            run_as: None,
            guard: 0,
        }
    }
}

/// Tells a service task that something it reads has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// The service task's number.
    pub task: u32,
    /// What it must do.
    pub notice: Notice,
}

/// What a changed task asks of a service. Ordered: a restart includes a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Notice {
    /// `systemctl reload`.
    Reload,
    /// `systemctl restart`.
    Restart,
}
