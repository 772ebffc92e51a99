//! What is kept of a rollout, and how terminals talk to the one that drives it.
//!
//! The record is in the state database. Beside the database each rollout has a folder with a lock, which its driver holds
//! while it lives, and with the words of operators at other terminals, a file each.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_engine::rollout::Keeper;
use cm_plan::RolloutOverrides;
use cm_rollout::{Command, Rollout, Strategy};
use cm_state::{RedbStore, Store};
use serde::{Deserialize, Serialize};

use super::Crew;
use crate::{failure::Failure, fleet};

/// Changes when older versions could not make sense of it.
const FORMAT: u32 = 1;

/// What was typed, as far as it is needed to choose hosts and texts again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// `[ROLES] on TARGET`.
    pub words: Vec<String>,
    /// `--set`.
    pub set: Vec<String>,
    /// `--limit`.
    pub limit: Option<String>,
    /// `--inventory`.
    pub inventory: Vec<String>,
    /// `--spread`.
    pub spread: Option<String>,
    /// `--order`.
    pub order: Option<String>,
}

impl Asking {
    /// What decides when the roles are read again: the expressions that were typed, and for the rest what was decided at
    /// the beginning, so that what roles disagreed on then is no question now.
    pub fn overrides(&self, decided: &Strategy) -> RolloutOverrides {
        RolloutOverrides {
            spread: self.spread.clone(),
            order: self.order.clone(),
            ..RolloutOverrides::decided(decided)
        }
    }
}

/// A rollout as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    format: u32,
    /// What was typed.
    pub asking: Asking,
    /// What is rolled out, by host: a digest of its tasks.
    pub digests: BTreeMap<String, String>,
    /// Where it stands.
    pub rollout: Rollout,
}

impl Kept {
    /// A new one.
    pub fn new(asking: Asking, digests: BTreeMap<String, String>, rollout: Rollout) -> Self {
        Self { format: FORMAT, asking, digests, rollout }
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// When it was damaged, or is of another version.
    fn read(id: &str, bytes: &[u8]) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |error| Failure::because(format!("the record of rollout {id} is damaged"), &error);
        let Head { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format != FORMAT {
            return Err(Failure::new(format!("rollout {id} was recorded by another version of cm")));
        }
        let kept: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        // The machine has a version of its own, and says so.
        Rollout::from_bytes(&kept.rollout.to_bytes())
            .map_err(|error| Failure::because(format!("rollout {id} cannot be read"), &error))?;
        Ok(kept)
    }

    fn write(&self, store: &RedbStore) -> Result<(), String> {
        let bytes = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        store.put_rollout(&self.rollout.id, &bytes).map_err(|error| error.to_string())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn keep(&self, store: &RedbStore) -> Result<(), Failure> {
        self.write(store).map_err(|why| Failure::new(format!("the rollout cannot be recorded: {why}")))
    }
}

/// All rollouts, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub fn open(store: &RedbStore) -> Result<Vec<Kept>, Failure> {
    let ids = store.rollouts().map_err(fleet::state_failure)?;
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(bytes) = store.rollout(&id).map_err(fleet::state_failure)? {
            all.push(Kept::read(&id, &bytes)?);
        }
    }
    Ok(all)
}

/// Forgets the oldest rollouts until there are no more than so many, as long as they are over; how many that were.
///
/// # Errors
/// When the database cannot be read or written.
pub fn forget_old(store: &RedbStore, state: &Path, keep: usize) -> Result<usize, Failure> {
    let mut forgotten = 0;
    let ids = store.rollouts().map_err(fleet::state_failure)?;
    for id in &ids[..ids.len().saturating_sub(keep)] {
        let Some(bytes) = store.rollout(id).map_err(fleet::state_failure)? else { continue };
        if Kept::read(id, &bytes)?.rollout.ended.is_some() {
            store.forget_rollout(id).map_err(fleet::state_failure)?;
            // Words that nobody heard; a folder that stays is in nobody's way.
            let _ = fs::remove_dir_all(folder_of(state, id));
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// Where the terminals of a rollout meet.
fn folder_of(state: &Path, id: &str) -> PathBuf {
    state.parent().unwrap_or(Path::new(".")).join("rollouts").join(id)
}

/// The rollout of this id, of the beginning or end of one; without an id the newest.
///
/// # Errors
/// When there is none, or several fit.
pub fn find(store: &RedbStore, given: Option<&str>) -> Result<Kept, Failure> {
    let ids = store.rollouts().map_err(fleet::state_failure)?;
    let fits = |id: &&String| given.is_none_or(|given| id.starts_with(given) || id.ends_with(given));
    let found: Vec<&String> = ids.iter().filter(fits).collect();
    let id = match (found.as_slice(), given) {
        ([one], _) => *one,
        ([.., newest], None) => *newest,
        ([], None) => return Err(Failure::new("there was no rollout yet").hint("cm rollout ROLE on TARGET")),
        ([], Some(given)) => {
            return Err(
                Failure::new(format!("there is no rollout `{given}`")).hint("`cm rollout list` has all")
            );
        }
        (several, Some(given)) => {
            let names: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
            return Err(Failure::new(format!("`{given}` fits several rollouts: {}", names.join(", "))));
        }
    };
    let bytes = store.rollout(id).map_err(fleet::state_failure)?;
    let bytes = bytes.ok_or_else(|| Failure::new(format!("rollout {id} was just taken away")))?;
    Kept::read(id, &bytes)
}

/// The folder by which terminals talk to a rollout's driver.
pub struct Control {
    folder: PathBuf,
    /// The driver's lock, while we are it.
    lock: Option<File>,
    /// Words that were handed on and are not kept yet.
    taken: Vec<PathBuf>,
}

impl Control {
    /// The folder of a rollout beside the state database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of(state: &Path, id: &str) -> Result<Self, Failure> {
        let folder = folder_of(state, id);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
            Failure::because(format!("the folder {} cannot be made", folder.display()), &error)
        })?;
        Ok(Self { folder, lock: None, taken: Vec::new() })
    }

    /// Becomes the driver; false: another one lives.
    ///
    /// # Errors
    /// When the lock cannot be used.
    pub fn take(&mut self) -> Result<bool, Failure> {
        let path = self.folder.join("lock");
        let failed =
            |error: std::io::Error| Failure::because(format!("{} cannot be locked", path.display()), &error);
        let mut options = File::options();
        let file =
            options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Says something to the driver that lives; the name of the file by which it is known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn say(&self, command: &Command) -> Result<PathBuf, Failure> {
        let failed = |error: std::io::Error| Failure::because("the rollout's driver cannot be told", &error);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{:020}-{}", now.as_nanos(), std::process::id());
        let (beside, path) =
            (self.folder.join(format!("{name}.tmp")), self.folder.join(format!("{name}.say")));
        let text = serde_json::to_vec(command).map_err(|error| failed(error.into()))?;
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
        file.write_all(&text).and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
        Ok(path)
    }

    /// What was said since, oldest first. What is no command of ours is thrown away.
    fn hear(&mut self) -> Vec<Command> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "say"))
            .filter(|path| !self.taken.contains(path))
            .collect();
        paths.sort();
        let mut commands = Vec::with_capacity(paths.len());
        for path in paths {
            let said = fs::read(&path).ok();
            commands.extend(said.and_then(|said| serde_json::from_slice::<Command>(&said).ok()));
            self.taken.push(path);
        }
        commands
    }

    /// What was heard is kept: it need not be heard again.
    fn forget(&mut self) {
        for path in self.taken.drain(..) {
            // One that cannot be removed is heard again, and refused then.
            let _ = fs::remove_file(path);
        }
    }
}

/// Keeps the record while a rollout is driven.
pub struct Book {
    pub store: RedbStore,
    pub control: Control,
    pub kept: Kept,
    pub crew: Arc<Crew>,
}

impl Keeper for Book {
    fn keep(&mut self, rollout: &Rollout) -> Result<(), String> {
        self.kept.rollout = rollout.clone();
        self.crew.see(rollout);
        self.kept.write(&self.store)
    }

    fn said(&mut self) -> Vec<Command> {
        self.control.hear()
    }

    fn heard(&mut self) {
        self.control.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cm_rollout::{Hooks, Moment, Outcome, Target};

    #[test]
    fn the_oldest_rollouts_that_are_over_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.redb");
        let store = RedbStore::open(state.clone()).unwrap();
        for (id, is_over) in [("r1", true), ("r2", false), ("r3", true), ("r4", true), ("r5", true)] {
            let mut rollout =
                Rollout::new(id, "x", Strategy::default(), Hooks::default(), vec![Target::named("web")])
                    .unwrap();
            rollout.ended = is_over.then_some((Moment(0), Outcome::Done));
            assert!(Control::of(&state, id).is_ok());
            Kept::new(Asking::default(), BTreeMap::new(), rollout).keep(&store).ok().unwrap();
        }
        assert_eq!(forget_old(&store, &state, 5).ok(), Some(0));
        assert_eq!(forget_old(&store, &state, 2).ok(), Some(2));
        assert_eq!(store.rollouts().unwrap(), ["r2", "r4", "r5"]);
        let mut folders: Vec<_> = fs::read_dir(folder.path().join("rollouts"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        folders.sort();
        assert_eq!(folders, ["r2", "r4", "r5"]);
    }
}
