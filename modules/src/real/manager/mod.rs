//! What all package managers but apt share: reading requests, refreshing the index, predicting and running
//! transactions. A [`Driver`] is what is left of each: its files, its command lines and its words.

mod database;
mod index;
mod resolve;
mod transaction;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use cm_wire::Output;

pub(super) use database::{Database, Entry, split_architecture};
pub(super) use index::{IndexState, newest};

use super::locks::{self, Lock};
use crate::{
    Doing, Problem,
    node::{Command, Commands, Finished, Transaction},
    version_pattern::version_matches,
};

/// What is to come and to go, in the words of a package manager's command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// To be installed, up- or downgraded: `a`, `a-1.0-1`.
    pub(super) install: Vec<String>,
    /// To be removed.
    pub(super) remove: Vec<String>,
    /// Their configuration goes, too.
    pub(super) purge: bool,
    /// Held packages that move all the same.
    pub(super) moved: BTreeSet<String>,
}

impl Words {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty()
    }
}

/// What a package manager says it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simulated {
    /// Packages it would bring or change, with their versions.
    pub(super) installed: BTreeMap<String, String>,
    /// Packages it would take away.
    pub(super) removed: BTreeSet<String>,
}

/// Why a package manager's command failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// For a person.
    pub(super) problem: Problem,
    /// Packages that it names as those it failed at, each with what it said.
    pub(super) broken: BTreeMap<String, String>,
}

/// What one package manager does in its own way.
pub(super) trait Driver {
    /// Its program: `dnf`.
    fn program(&self) -> &'static str;

    /// Its database as it is now.
    fn database(&self) -> Result<Arc<Database>, Problem>;

    /// Orders two versions.
    fn compare(&self, one: &str, other: &str) -> Ordering;

    /// The versions of these names that can be had, the newest first, in the index or its copy in this folder;
    /// without the network. Names that it does not know are left out.
    fn available(
        &self,
        names: &[String],
        copy: Option<&Path>,
    ) -> Result<BTreeMap<String, Vec<String>>, Problem>;

    /// Where the index is.
    fn index_folder(&self) -> PathBuf;

    /// When the index in this folder was last refreshed; none where there is none.
    fn index_time(&self, folder: &Path) -> Option<SystemTime>;

    /// Files and folders whose change makes the index old.
    fn sources(&self) -> Vec<PathBuf>;

    /// Refreshes the index, or its copy in this folder.
    fn update(&self, copy: Option<&Path>, deadline: Instant) -> Result<(), Problem>;

    /// What is locked while it changes packages.
    fn locks(&self) -> &'static [Lock];

    /// The word that asks for a package, in a version.
    fn word(&self, name: &str, version: Option<&str>) -> String;

    /// What it would do. The inner error is its refusal, the outer one that it could not be asked.
    fn simulate(
        &self,
        words: &Words,
        copy: Option<&Path>,
        transaction: &Transaction<'_>,
    ) -> Result<Result<Simulated, Problem>, Problem>;

    /// Does it.
    fn run(&self, words: &Words, transaction: &Transaction<'_>) -> Result<Result<(), Failed>, Problem>;

    /// Holds packages at their versions, or lets them go.
    fn hold(&self, names: &[&str], hold: bool, deadline: Instant) -> Result<(), Problem>;

    /// Marks packages as asked for, or as brought in by others.
    fn mark(&self, names: &[&str], manual: bool, deadline: Instant) -> Result<(), Problem>;

    /// Brings an interrupted transaction to its end; a note of it, none where there was none.
    fn finish_interrupted(&self, _deadline: Instant) -> Result<Option<String>, Problem> {
        Ok(None)
    }
}

/// What was read of a package manager's database and of its index.
#[derive(Default)]
pub(super) struct ManagerState {
    /// The database, with a mark of the state that was read.
    pub(super) database: Cached<String, Database>,
    pub(super) index: IndexState,
}

/// A package manager with what was read of its index.
pub(super) struct Managed<'a> {
    pub(super) driver: &'a dyn Driver,
    /// Where the machine's file system begins: `/`.
    pub(super) root: &'a Path,
    /// The agent's own folder for a copy of the index.
    pub(super) own: &'a Path,
    pub(super) index: &'a IndexState,
}

impl Managed<'_> {
    /// Who is changing packages now.
    pub(in crate::real) fn changed_by(&self) -> Option<String> {
        locks::held(self.root, self.driver.locks())
    }

    /// The newest version of each name that can be had or is installed.
    pub(super) fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        let database = self.driver.database()?;
        let newest = |(name, versions): (String, Vec<String>)| {
            let candidate = versions.into_iter().next()?;
            let installed = database.installed(&name).filter(|package| package.provided_by.is_none());
            let newest = match installed {
                Some(there) if self.driver.compare(&there.version, &candidate) == Ordering::Greater => {
                    there.version
                }
                _ => candidate,
            };
            Some((name, newest))
        };
        Ok(self.versions(names)?.into_iter().filter_map(newest).collect())
    }

    /// The version that a pattern selects.
    pub(super) fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        let versions = self.versions(&[name.to_owned()])?;
        Ok(versions.into_values().flatten().find(|version| version_matches(pattern, version)))
    }
}

/// Runs a query of a package manager.
pub(super) fn query(
    commands: &dyn Commands,
    argv: Vec<String>,
    deadline: Option<Instant>,
) -> Result<Finished, Problem> {
    let doing = format!("running `{}`", argv.first().map_or("", String::as_str));
    let mut command = Command { argv, ..Command::query(&[]) };
    if let Some(deadline) = deadline {
        command.deadline = deadline;
    }
    commands.run(&command).doing(doing)
}

/// Runs a command that changes the node.
pub(super) fn change(
    commands: &dyn Commands,
    argv: Vec<String>,
    deadline: Instant,
) -> Result<Finished, Problem> {
    let doing = format!("running `{}`", argv.first().map_or("", String::as_str));
    commands.run(&Command { argv, ..Command::change(&[], deadline) }).doing(doing)
}

/// A failed program, with the one line that says why, where there is one.
pub(super) fn told(what: &str, finished: &Finished, reason: Option<String>) -> Problem {
    let Finished { output, timed_out } = finished;
    if *timed_out {
        return Problem::new(format!("`{what}` did not end in time and was stopped"))
            .hint("give the task a longer `timeout`; is the source of packages reachable from the node?")
            .output(last_lines(output));
    }
    let status = output.status;
    let message = match reason {
        Some(reason) => format!("`{what}` exited with status {status}: {reason}"),
        None => format!("`{what}` exited with status {status}"),
    };
    let problem = Problem::new(message).output(last_lines(output));
    let said = |words: &str| output.stderr.contains(words) || output.stdout.contains(words);
    if said("superuser privileges") || said("Permission denied") || said("you are root") {
        problem.hint("`become: true` runs the agent as root")
    } else if said("No space left on device") || said("At least") && said("more space needed") {
        problem.hint("the file system is full: `df -h` on the node")
    } else {
        problem
    }
}

/// Lines of an output that are shown.
const LAST_LINES: usize = 20;

/// The end of an output.
fn last_lines(output: &Output) -> Output {
    let end = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    };
    Output { status: output.status, stdout: end(&output.stdout), stderr: end(&output.stderr) }
}

/// Writes a file of the package manager's or the agent's own whole, and synced.
pub(super) fn write_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".cm-{}", std::process::id()));
    let new = PathBuf::from(new);
    if let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let written = io::Write::write_all(&mut file, content).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&new, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&new);
    }
    renamed
}

/// Words of a command line.
pub(super) fn to_words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A value that is read again only when the files it is of have changed.
#[derive(Debug)]
pub(super) struct Cached<S, T>(Mutex<Option<(S, Arc<T>)>>);

impl<S, T> Default for Cached<S, T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<S: PartialEq, T> Cached<S, T> {
    /// The value of this stamp; `read` gives it, with the stamp it has afterwards.
    pub(super) fn get(
        &self,
        stamp: &S,
        read: impl FnOnce() -> Result<(S, T), Problem>,
    ) -> Result<Arc<T>, Problem> {
        // Poisoned: another look panicked; what it held is only a cache.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = &*last
            && known == stamp
        {
            return Ok(Arc::clone(value));
        }
        let (stamp, value) = read()?;
        let value = Arc::new(value);
        *last = Some((stamp, Arc::clone(&value)));
        Ok(value)
    }
}
