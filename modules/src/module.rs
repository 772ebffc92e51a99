//! What every module is: a schema, and for each task a resource that can be looked at and changed.

use std::time::{Duration, Instant};

use cm_wire::{Change, Digest, Mode, Notice, Output};

use crate::{Node, ParamError, Params, Schema, Sign, Touches, node::Content};

/// An entry of the registry: one kind of task.
pub struct Module {
    /// What it takes.
    pub schema: &'static Schema,
    /// Makes a resource of rendered parameters; all validation that needs no node happens here.
    pub compile: fn(&Params) -> Result<Box<dyn Resource>, ParamError>,
}

impl Module {
    /// Makes a resource of rendered parameters, [`Schema::constants`] among them, once the schema's own checks
    /// have passed.
    ///
    /// # Errors
    /// The first parameter that is wrong.
    pub fn resource(&self, params: &Params) -> Result<Box<dyn Resource>, ParamError> {
        if let Some(custom) = self.schema.custom {
            (custom.check)(params)?;
        }
        (self.compile)(params)
    }
}

/// One thing of a node in its wanted state.
///
/// The agent looks at every resource once at the start of a run; that look decides what a task reports.
/// Changing happens when the graph allows it, after another look if anything it rests on has changed.
/// In a plan `change` runs too, on a [`crate::Overlay`] that keeps the effects in memory: so a plan
/// takes the very path that apply takes.
pub trait Resource: Send + Sync {
    /// What it makes and rests on.
    fn touches(&self) -> Touches;

    /// Names what looks want to read in one go.
    fn prefetch(&self, _wants: &mut Prefetch) {}

    /// Compares the node with what is wanted.
    ///
    /// Something missing underneath (a parent, a user, a package) is a difference, not an error: a
    /// later task's look happens before an earlier one's change.
    ///
    /// # Errors
    /// When the node cannot be read at all.
    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem>;

    /// Makes it so. Called after a look that found a difference; looks itself at what it must know.
    ///
    /// # Errors
    /// When it cannot be done. What was there is still whole.
    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem>;

    /// Everything a change would touch now, for the journal, which keeps its state before: called after a
    /// look that found a difference and before the change. What cannot be read here fails in the change.
    fn keeps(&self, _context: &Context<'_>) -> Vec<crate::Thing> {
        self.touches().makes
    }

    /// What tells, while `cm verify --watch` lasts, that a look may answer differently: asked for at the start of
    /// the watch, again after events, and only ever with a node that is not changed.
    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        Sign::of_touches(&self.touches())
    }

    /// Edits the text of the file it is part of; none for a resource that is not such an edit.
    ///
    /// The answer is the whole new text. Editing twice gives the same as editing once. The context is that
    /// of the task that makes the file where there is one.
    fn edit(&self, _text: &[u8], _context: &Context<'_>) -> Option<Result<Vec<u8>, Problem>> {
        None
    }

    /// Several resources with the same key that are ready at once are changed by one call of
    /// [`Resource::change_together`]; none: each alone.
    fn batch(&self) -> Option<&'static str> {
        None
    }

    /// Changes several resources of one batch key as one transaction: `self` and then the others. The
    /// answer has one entry for each, in that order, so that one that is impossible fails alone.
    fn change_together(
        &self,
        others: &[&dyn Resource],
        context: &Context<'_>,
    ) -> Vec<Result<Effect, Problem>> {
        let first = self.change(context);
        std::iter::once(first).chain(others.iter().map(|other| other.change(context))).collect()
    }

    /// Nothing else may run on the node while this does: it takes the node down.
    fn alone(&self) -> bool {
        false
    }

    /// For the batch transaction of others: what this resource asks for, as its module understands it.
    fn as_any(&self) -> Option<&dyn std::any::Any> {
        None
    }
}

/// The answer of a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Nothing to change.
    AsWanted,
    /// These attributes differ; never empty.
    Differs(Vec<Change>),
    /// It can only be known when everything before it has ended (a command's guard); asked again then.
    Later,
    /// Not even a plan can know, because earlier tasks that would change something decide it.
    Unknown,
}

impl Seen {
    /// [`Seen::AsWanted`] where the list is empty.
    #[must_use]
    pub fn from_changes(changes: Vec<Change>) -> Self {
        if changes.is_empty() { Self::AsWanted } else { Self::Differs(changes) }
    }
}

/// What a change did beyond reaching the wanted state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effect {
    /// An action (a command) says itself whether it changed anything; none: it did what the look found.
    pub changed: Option<bool>,
    /// What it printed, where it ran something the user wrote.
    pub output: Option<Output>,
    /// The resource has no state to look at again (a command).
    pub final_: bool,
    /// What a person should know of how it was done: a unit that cannot reload was restarted instead.
    pub notes: Vec<String>,
    /// The host must restart now; the run goes on when it is back.
    pub restarts_host: bool,
}

/// Why a look or a change failed: the thing, the cause and what to do, apart.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What failed and why, a fragment that starts in lower case.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What the failing command printed.
    pub output: Option<Box<Output>>,
}

impl Problem {
    /// A problem described by a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, output: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what a command printed.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = Some(Box::new(output));
        self
    }
}

/// Turns an I/O error into a [`Problem`] that names the thing.
pub trait Doing<T> {
    /// `doing` says what was tried on what: `reading /etc/motd`.
    ///
    /// # Errors
    /// The same failure, told.
    fn doing(self, doing: impl std::fmt::Display) -> Result<T, Problem>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: impl std::fmt::Display) -> Result<T, Problem> {
        self.map_err(|error| {
            let problem = Problem::new(format!("{doing}: {}", describe(&error)));
            match error.kind() {
                std::io::ErrorKind::StorageFull => {
                    problem.hint("the file system is full: `df -h` on the node")
                }
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    problem.hint("the file system is mounted read-only; `dmesg` on the node may say why")
                }
                std::io::ErrorKind::PermissionDenied => problem.hint("`become: true` runs the agent as root"),
                _ => problem,
            }
        })
    }
}

/// An I/O error without the ` (os error 2)` that helps nobody.
fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// Contents that travel by digest.
pub trait Contents: Send + Sync {
    /// Gets a content, from the node's own store or from the controller; blocks until it is there.
    ///
    /// # Errors
    /// When the controller cannot give it.
    fn fetch(&self, digest: &Digest, size: u64) -> Result<Content, Problem>;

    /// The path of a file of this machine that holds a content and may be executed by the agent's own user alone.
    ///
    /// # Errors
    /// When the content cannot be had, or nothing can be executed here.
    fn program(&self, _digest: &Digest, _size: u64) -> Result<std::path::PathBuf, Problem> {
        Err(Problem::new("no program can be put here"))
    }

    /// Says early that these (with their sizes in bytes) will be needed, so that they come in one round trip.
    fn announce(&self, _contents: &[(Digest, u64)]) {}
}

/// What a resource may use while it looks and changes.
pub struct Context<'a> {
    /// The machine, or its image in memory in a plan.
    pub node: &'a dyn Node,
    /// What the run does.
    pub mode: Mode,
    /// Contents by digest.
    pub contents: &'a dyn Contents,
    /// Whether texts of diffs are wanted.
    pub diff: bool,
    /// Texts and values are not shown.
    pub sensitive: bool,
    /// This is the look at the start of a run: nothing has changed yet.
    pub at_start: bool,
    /// Tasks before this one have changed something in this run (in a plan: would have).
    pub disturbed: bool,
    /// Restarts and reloads asked of this (service) task: what, and because of which task.
    pub notices: &'a [(Notice, String)],
    /// Edits that follow this (file) task and are part of its wanted content, in order.
    pub edits: &'a [&'a dyn Resource],
    /// When the attempt must have ended.
    pub deadline: Instant,
    /// The user commands of this task run as.
    pub run_as: Option<&'a str>,
    /// Takes output of a running command as it comes.
    pub live: &'a (dyn Fn(cm_wire::Stream, &str) + Sync),
    /// Whether the run is being stopped; waiting loops end then.
    pub stopping: &'a (dyn Fn() -> bool + Sync),
}

impl Context<'_> {
    /// What is left of the attempt's time.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether this runs on the image of a plan.
    #[must_use]
    pub fn planning(&self) -> bool {
        self.mode == Mode::Plan
    }
}

/// What the looks of a run want to read in one go.
#[derive(Debug, Default)]
pub struct Prefetch {
    /// systemd units, with suffix.
    pub units: Vec<String>,
    /// Packages whose candidate versions are needed.
    pub candidates: Vec<String>,
}
