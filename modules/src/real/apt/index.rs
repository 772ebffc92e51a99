//! apt's index of packages: its age, its refreshing, and what it knows of a name.
//!
//! A plan never refreshes the node's own index but a copy of it in the agent's folder, and from then on
//! reads the copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use cm_wire::Output;

use super::{
    Apt, INDEX_LOCKS,
    output::{self, Policy},
};
use crate::{
    Doing, Problem,
    nearest_name::nearest_name,
    node::{Command, Waiting},
    real::{
        dpkg::Database,
        locks,
        refreshing::{Refreshed, is_fresh, modified},
    },
};

/// How long another refresh of the index may take.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// What was asked of the index in this run.
#[derive(Default)]
pub(in crate::real) struct IndexState(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The copy is read instead of the node's own.
    copy: bool,
    /// What the last refresh complained of.
    complaints: Vec<String>,
    /// Answers, and names that were asked for (an unknown one has no answer).
    policies: BTreeMap<String, Policy>,
    asked: BTreeSet<String>,
    /// All names that anybody asked for in this run: asked for together when the answers are out of date.
    wanted: BTreeSet<String>,
    /// The last refresh of this run.
    refreshed: Option<Refreshed>,
    /// The state of dpkg's database those answers belong to.
    of: Option<Arc<Database>>,
}

impl Known {
    /// Forgets the answers of another state of the index.
    fn read_another(&mut self, copy: bool) {
        self.copy = copy;
        self.complaints.clear();
        self.policies.clear();
        self.asked.clear();
    }
}

impl IndexState {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Poisoned: another look panicked; what it held is only a cache.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Apt<'_> {
    /// What the index knows of these names, asked in one go where it is not yet known.
    pub(super) fn policies(&self, names: &[String]) -> Result<BTreeMap<String, Policy>, Problem> {
        let database = self.database()?;
        let mut known = self.index.lock();
        if !known.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &database)) {
            known.policies.clear();
            known.asked.clear();
            known.of = Some(Arc::clone(&database));
        }
        known.wanted.extend(names.iter().cloned());
        let missing: Vec<String> = if names.iter().all(|name| known.asked.contains(name)) {
            Vec::new()
        } else {
            known.wanted.difference(&known.asked).cloned().collect()
        };
        for missing in missing.chunks(400) {
            let mut argv = vec!["apt-cache".to_owned(), "policy".to_owned()];
            argv.extend(self.query_options(known.copy));
            argv.push("--".to_owned());
            argv.extend(missing.iter().cloned());
            let finished = self
                .commands
                .run(&Command { argv, ..Command::query(&[]) })
                .doing("running `apt-cache policy`")?;
            if !finished.success() {
                return Err(told("`apt-cache policy`", &finished.output));
            }
            let answers = output::policies(&finished.output.stdout);
            let native = format!(":{}", database.native());
            for name in missing {
                let answer = answers
                    .get(name)
                    .cloned()
                    .or_else(|| answers.get(name.strip_suffix(native.as_str())?).cloned());
                known.policies.extend(answer.map(|policy| (name.clone(), policy)));
                known.asked.insert(name.clone());
            }
        }
        Ok(names.iter().filter_map(|name| Some((name.clone(), known.policies.get(name)?.clone()))).collect())
    }

    /// Options of a query: which index to read, and to write no cache of the node's own.
    fn query_options(&self, copy: bool) -> Vec<String> {
        let options = if copy {
            copy_options(self.own)
        } else if self.root.join("var/cache/apt/srcpkgcache.bin").symlink_metadata().is_ok() {
            vec!["Dir::Cache::pkgcache=".to_owned()]
        } else {
            vec!["Dir::Cache::pkgcache=".to_owned(), "Dir::Cache::srcpkgcache=".to_owned()]
        };
        options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect()
    }

    /// Options of a query as the index is read now.
    pub(super) fn current_options(&self) -> Vec<String> {
        let copy = self.index.lock().copy;
        self.query_options(copy)
    }

    /// Refreshes the index, or its copy, where it is missing, older than its sources or than this many
    /// seconds. Only one of the callers does it; the others wait for it.
    pub(in crate::real) fn refresh(
        &self,
        copy: bool,
        older_than: u64,
        deadline: Instant,
    ) -> Result<bool, Problem> {
        let mut known = self.index.lock();
        let own_lists = self.own.join("lists");
        let lists = self.root.join("var/lib/apt/lists");
        let sources = self.sources_changed();
        let fresh = |lists: &Path| is_fresh(refreshed(lists, self.root), sources, older_than);
        if copy && known.copy && fresh(&own_lists) {
            // What this plan reads already.
            return Ok(false);
        }
        // A plan may find the node's own index fresh, or the copy of an earlier plan.
        if fresh(&lists) {
            if known.copy {
                known.read_another(false);
            }
            return Ok(false);
        }
        if copy && fresh(&own_lists) {
            if !known.copy {
                known.read_another(true);
            }
            return Ok(false);
        }
        let last = known.refreshed.as_ref();
        if let Some(answer) = last.and_then(|last| last.answers(copy, sources, older_than)) {
            return answer;
        }
        let result = self.update(&mut known, copy, &lists, &own_lists, deadline);
        // Refreshing itself writes nothing there; a source that comes later is another one.
        known.refreshed = Some(Refreshed::now(copy, sources, result.clone()));
        result.map(|()| true)
    }

    /// Runs `apt-get update`.
    fn update(
        &self,
        known: &mut Known,
        copy: bool,
        lists: &Path,
        own_lists: &Path,
        deadline: Instant,
    ) -> Result<(), Problem> {
        let mut argv = vec!["apt-get".to_owned(), "update".to_owned(), "-q".to_owned()];
        if copy {
            copy_lists(lists, own_lists)
                .doing(format_args!("copying the package index to {}", own_lists.display()))?;
            argv.extend(copy_options(self.own).into_iter().flat_map(|option| ["-o".to_owned(), option]));
        } else {
            let patience = deadline.min(Instant::now() + LOCK_PATIENCE);
            locks::wait(self.root, INDEX_LOCKS, patience, Waiting::default())?;
        }
        let finished = self
            .commands
            .run(&Command { argv, deadline, ..Command::query(&[]) })
            .doing("running `apt-get update`")?;
        known.read_another(copy);
        known.complaints = output::complaints(&finished.output);
        let reached =
            finished.output.stdout.lines().any(|line| line.starts_with("Hit:") || line.starts_with("Get:"));
        if finished.timed_out {
            return Err(Problem::new("`apt-get update` did not end in time")
                .hint("is the package source reachable from the node? a longer `timeout` waits longer")
                .output(finished.output));
        }
        if !reached && (!known.complaints.is_empty() || !finished.success()) {
            return Err(told("`apt-get update`", &finished.output).hint(
                "no package source could be read: `apt-get update` on the node, /etc/apt/sources.list*, proxy and DNS",
            ));
        }
        if !copy {
            // Out of date from now on; where it cannot be removed it does no harm.
            let _ = fs::remove_dir_all(self.own);
        }
        // apt leaves its files' times as the server has them: the folder's own says when it was asked.
        if let Ok(folder) = fs::File::open(if copy { own_lists } else { lists }) {
            let _ = folder.set_modified(SystemTime::now());
        }
        Ok(())
    }

    /// When the sources of packages last changed.
    fn sources_changed(&self) -> Option<SystemTime> {
        let etc = self.root.join("etc/apt");
        // A source whose key has come can be read now.
        let folders = ["sources.list.d", "keyrings", "trusted.gpg.d"].map(|name| etc.join(name));
        let files: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .collect();
        let all = files.into_iter().chain(folders).chain([etc.join("sources.list")]);
        all.filter_map(|path| modified(&path)).max()
    }

    /// Adds what helps with a name that the index does not know.
    pub(super) fn explain_unknown(&self, problem: Problem, name: &str) -> Problem {
        let complaints = self.index.lock().complaints.clone();
        if !complaints.is_empty() {
            return problem
                .hint("the index could not be refreshed completely; apt's words are in the output")
                .output(Output { status: 0, stdout: String::new(), stderr: complaints.join("\n") });
        }
        let near = self.names_like(name);
        match nearest_name(name, near.iter().map(String::as_str)) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint(
                "is the name right for this release? its source may be missing: /etc/apt/sources.list* on the node",
            ),
        }
    }

    /// Known names with the same first letter.
    fn names_like(&self, name: &str) -> Vec<String> {
        let mut argv = vec!["apt-cache".to_owned(), "pkgnames".to_owned()];
        argv.extend(self.current_options());
        argv.push("--".to_owned());
        argv.extend(name.chars().next().map(String::from));
        match self.commands.run(&Command { argv, ..Command::query(&[]) }) {
            Ok(finished) => finished.output.stdout.lines().map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        }
    }
}

/// A failed program with apt's own words.
pub(super) fn told(what: &str, output: &Output) -> Problem {
    let status = output.status;
    let problem = match output::first_error(output) {
        Some(error) => Problem::new(format!("{what} exited with status {status}: {error}")),
        None => Problem::new(format!("{what} exited with status {status}")),
    };
    let complaints = output::complaints(output);
    let stderr = if complaints.is_empty() { output.stderr.clone() } else { complaints.join("\n") };
    let problem = problem.output(Output { status, stdout: String::new(), stderr });
    if output.stderr.contains("Permission denied") || output.stderr.contains("are you root") {
        problem.hint("`become: true` runs the agent as root")
    } else if output.stderr.contains("No space left on device")
        || output.stderr.contains("don't have enough free space")
    {
        problem.hint("the file system is full: `df -h` on the node")
    } else {
        problem
    }
}

/// Options that make apt use the copy of its index below `own`.
fn copy_options(own: &Path) -> Vec<String> {
    let own = own.display();
    vec![
        format!("Dir::State::Lists={own}/lists/"),
        format!("Dir::Cache::pkgcache={own}/pkgcache.bin"),
        // Small: a plan reads it, and it goes when the node's own index is refreshed.
        "Dir::Cache::srcpkgcache=".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::GzipIndexes=true".to_owned(),
        // The agent's folder is closed to apt's own user.
        "APT::Sandbox::User=root".to_owned(),
    ]
}

/// When these lists were last refreshed; none where they name no packages.
fn refreshed(lists: &Path, root: &Path) -> Option<SystemTime> {
    let has_packages = fs::read_dir(lists)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("Packages"));
    let stamp = root.join("var/lib/apt/periodic/update-success-stamp");
    let own_stamp = lists.starts_with(root.join("var/lib/apt")).then_some(stamp);
    let times = [Some(lists.to_owned()), Some(lists.join("partial")), own_stamp];
    times.into_iter().flatten().filter_map(|path| modified(&path)).max().filter(|_| has_packages)
}

/// Copies the node's index with its times, so that refreshing the copy fetches only what has changed.
fn copy_lists(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to.join("partial"))?;
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let data = entry.metadata()?;
        let target: PathBuf = to.join(entry.file_name());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Descriptions and lists of files tell nothing of versions.
        if !data.is_file() || name == "lock" || name.contains("_i18n_") || name.contains("Contents-") {
            continue;
        }
        let modified = data.modified()?;
        let newer =
            fs::metadata(&target).and_then(|there| there.modified()).is_ok_and(|there| there >= modified);
        if newer {
            continue;
        }
        fs::copy(entry.path(), &target)?;
        fs::File::options().write(true).open(&target)?.set_modified(modified)?;
    }
    Ok(())
}
