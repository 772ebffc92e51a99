//! The index of packages: its age, its refreshing, and what was asked of it in this run.
//!
//! A plan never refreshes the node's own index but a copy of it in the agent's folder, and from then on
//! reads the copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use super::Managed;
use crate::{
    Doing, Problem,
    real::refreshing::{Refreshed, is_fresh, modified},
};

/// What was asked of the index in this run.
#[derive(Default)]
pub(in crate::real) struct IndexState(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The copy is read instead of the node's own.
    copy: bool,
    /// Answers, and names that were asked for (an unknown one has no answer).
    versions: BTreeMap<String, Vec<String>>,
    asked: BTreeSet<String>,
    /// All names that anybody asked for in this run: asked for together when the answers are out of date.
    wanted: BTreeSet<String>,
    /// The last refresh of this run.
    refreshed: Option<Refreshed>,
}

impl Known {
    /// Forgets the answers of another state of the index.
    fn read_another(&mut self, copy: bool) {
        self.copy = copy;
        self.versions.clear();
        self.asked.clear();
    }
}

impl IndexState {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Poisoned: another look panicked; what it held is only a cache.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Managed<'_> {
    /// What the index knows of these names, asked in one go where it is not yet known.
    pub(super) fn versions(&self, names: &[String]) -> Result<BTreeMap<String, Vec<String>>, Problem> {
        let mut known = self.index.lock();
        known.wanted.extend(names.iter().cloned());
        if !names.iter().all(|name| known.asked.contains(name)) {
            let missing: Vec<String> = known.wanted.difference(&known.asked).cloned().collect();
            for missing in missing.chunks(400) {
                let copy = known.copy.then(|| self.copy_folder());
                let found = self.driver.available(missing, copy.as_deref())?;
                known.versions.extend(found);
                known.asked.extend(missing.iter().cloned());
            }
        }
        Ok(names.iter().filter_map(|name| Some((name.clone(), known.versions.get(name)?.clone()))).collect())
    }

    /// Forgets what the index said, because packages changed.
    pub(super) fn forget_versions(&self) {
        let mut known = self.index.lock();
        let copy = known.copy;
        known.read_another(copy);
    }

    fn copy_folder(&self) -> PathBuf {
        self.own.join("index")
    }

    /// The copy of the index, where that is what is read now.
    pub(super) fn copy(&self) -> Option<PathBuf> {
        self.index.lock().copy.then(|| self.copy_folder())
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
        let folder = self.copy_folder();
        let sources = newest(&self.driver.sources());
        let fresh = |folder: &Path| is_fresh(self.driver.index_time(folder), sources, older_than);
        if copy && known.copy && fresh(&folder) {
            return Ok(false);
        }
        // A plan may find the node's own index fresh, or the copy of an earlier plan.
        if fresh(&self.driver.index_folder()) {
            if known.copy {
                known.read_another(false);
            }
            return Ok(false);
        }
        if copy && fresh(&folder) {
            known.read_another(true);
            return Ok(false);
        }
        let last = known.refreshed.as_ref();
        if let Some(answer) = last.and_then(|last| last.answers(copy, sources, older_than)) {
            return answer;
        }
        let result = if copy {
            copy_index(&self.driver.index_folder(), &folder)
                .doing(format_args!("copying the package index to {}", folder.display()))
                .and_then(|()| self.driver.update(Some(&folder), deadline))
        } else {
            self.driver.update(None, deadline)
        };
        if result.is_ok() {
            known.read_another(copy);
            // Some leave their files' times as the server has them: the folder's own says when it was asked.
            let refreshed = if copy { folder.clone() } else { self.driver.index_folder() };
            if let Ok(folder) = fs::File::open(refreshed) {
                let _ = folder.set_modified(SystemTime::now());
            }
            if !copy {
                // Out of date from now on; where it cannot be removed it does no harm.
                let _ = fs::remove_dir_all(&folder);
            }
        }
        known.refreshed = Some(Refreshed::now(copy, sources, result.clone()));
        result.map(|()| true)
    }
}

/// When the newest of these files, folders and what is in the folders was written.
pub(in crate::real) fn newest(paths: &[PathBuf]) -> Option<SystemTime> {
    let inside = paths
        .iter()
        .flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()));
    let all: Vec<PathBuf> = paths.iter().cloned().chain(inside).collect();
    all.iter().filter_map(|path| modified(path)).max()
}

/// Copies an index with its times, so that refreshing the copy fetches only what has changed; packages that
/// were fetched stay where they are.
fn copy_index(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() && name != "packages" && name != "pkg" {
            copy_index(&entry.path(), &target)?;
        } else if kind.is_file() && !name.ends_with(".pid") && !name.ends_with(".lck") {
            let modified = entry.metadata()?.modified()?;
            let newer =
                fs::metadata(&target).and_then(|there| there.modified()).is_ok_and(|there| there >= modified);
            if !newer {
                fs::copy(entry.path(), &target)?;
                fs::File::options().write(true).open(&target)?.set_modified(modified)?;
            }
        }
    }
    Ok(())
}
