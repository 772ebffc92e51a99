//! What was applied on this node last: each task as it was wanted when it last ended well.
//!
//! The journal knows what `cm` changed; this knows what `cm` vouched for, also where nothing had to be changed.
//! With it a node can say whether something that differs was changed behind our back or whether only the
//! repository moved on, whichever controller asks. It is read only where something differs or was applied, and
//! written only where something new was applied.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use cm_wire::{Digest, Task, Value};
use serde::{Deserialize, Serialize};

/// Names the format in the file's first bytes.
const MAGIC: &[u8; 8] = b"cmappl01";
/// Bytes of the checksum that follows.
const CHECKSUM: usize = 16;

/// All tasks that were applied, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppliedTasks {
    /// The tasks.
    pub tasks: BTreeMap<String, Entry>,
}

/// A task that ended well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The roles that want it.
    pub roles: Vec<String>,
    /// All that was wanted, and the edits of its file.
    pub wanted: Digest,
    /// The run that made it so, or was the first to find it so.
    pub run: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Why it does not stand any more, where `cm` itself is the reason.
    pub undone: Option<String>,
    /// What was wanted, so that it can be looked for again; none where it must not be kept.
    pub task: Option<Kept>,
}

/// What a task wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its module.
    pub module: String,
    /// Its parameters.
    pub params: BTreeMap<String, Value>,
    /// The ids of the edits that were part of its content, in order.
    pub edits: Vec<String>,
    /// The user its commands ran as.
    pub run_as: Option<String>,
}

impl AppliedTasks {
    /// Reads the file; one that is not there, or is damaged, knows nothing.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let Ok(bytes) = std::fs::read(path) else { return Self::default() };
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Self::default() };
        let Some((checksum, body)) = rest.split_at_checked(CHECKSUM) else { return Self::default() };
        if &blake3::hash(body).as_bytes()[..CHECKSUM] != checksum {
            return Self::default();
        }
        postcard::from_bytes(body).unwrap_or_default()
    }

    /// Writes the file anew, synced; a reader sees the old or the new one. A file that would say nothing goes.
    ///
    /// # Errors
    /// When it cannot be written; then the old one is still there.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if self.tasks.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let body = postcard::to_extend(self, Vec::new()).map_err(io::Error::other)?;
        let temporary = path.with_extension("new-applied");
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(MAGIC)?;
            file.write_all(&blake3::hash(&body).as_bytes()[..CHECKSUM])?;
            file.write_all(&body)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        })();
        if let Err(error) = written {
            // What could not be written whole takes room that is needed elsewhere.
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The digest of all that a task wants, and the edits of its file.
#[must_use]
pub fn wanted<'a>(task: &'a Task, edits: impl Iterator<Item = &'a Task>) -> Digest {
    let mut hasher = cm_wire::Hasher::default();
    for task in std::iter::once(task).chain(edits) {
        // Plain data of the wire: it was decoded from the same encoding.
        let bytes = postcard::to_extend(&(&task.module, &task.params, &task.run_as), Vec::new());
        let bytes = bytes.unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    hasher.finish()
}

impl Kept {
    /// What may be kept of a task: none of one that is sensitive, or that holds one of these texts.
    #[must_use]
    pub fn of<'a>(
        task: &Task,
        edits: impl Iterator<Item = &'a Task>,
        secrets: &[cm_wire::Secret],
    ) -> Option<Self> {
        if task.sensitive {
            return None;
        }
        let kept = Self {
            module: task.module.clone(),
            params: task.params.clone(),
            edits: edits.map(|edit| edit.id.clone()).collect(),
            run_as: task.run_as.clone(),
        };
        let bytes = postcard::to_extend(&kept, Vec::new()).ok()?;
        let holds = |secret: &cm_wire::Secret| {
            let words = secret.expose().lines().map(str::trim).filter(|word| !word.is_empty());
            words.into_iter().any(|word| bytes.windows(word.len()).any(|part| part == word.as_bytes()))
        };
        (!secrets.iter().any(holds)).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let mut task = Task::new("file:/a", "file");
        task.params.insert("path".into(), "/a".into());
        Entry {
            roles: vec!["web".into()],
            wanted: wanted(&task, std::iter::empty()),
            run: "1".into(),
            time: 7,
            undone: None,
            task: Kept::of(&task, std::iter::empty(), &[]),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_damage_knows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("applied");
        assert_eq!(AppliedTasks::load(&path), AppliedTasks::default());
        let applied = AppliedTasks { tasks: [("file:/a".to_owned(), entry())].into() };
        applied.save(&path).unwrap();
        assert_eq!(AppliedTasks::load(&path), applied);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(AppliedTasks::load(&path), AppliedTasks::default(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(AppliedTasks::load(&path), AppliedTasks::default(), "cut at {at}");
        }
        AppliedTasks::default().save(&path).unwrap();
        assert!(!path.exists());
        AppliedTasks::default().save(&path).unwrap();
    }

    #[test]
    fn what_is_secret_is_not_kept() {
        let mut task = Task::new("user:anna", "user");
        task.params.insert("password".into(), "hunter22".into());
        let secrets = [cm_wire::Secret::new("hunter22".into())];
        assert!(Kept::of(&task, std::iter::empty(), &secrets).is_none());
        assert!(Kept::of(&task, std::iter::empty(), &[cm_wire::Secret::new("other".into())]).is_some());
        task.sensitive = true;
        assert!(Kept::of(&task, std::iter::empty(), &[]).is_none());
    }

    #[test]
    fn what_is_wanted_is_told_by_all_that_matters_and_nothing_else() {
        let mut task = Task::new("file:/a", "file");
        task.params.insert("path".into(), "/a".into());
        let digest = |task: &Task| wanted(task, std::iter::empty());
        let first = digest(&task);
        task.after = vec![1, 2];
        task.retries = 3;
        assert_eq!(digest(&task), first);
        assert_ne!(wanted(&task, std::iter::once(&Task::new("line:x", "line"))), first);
        task.params.insert("mode".into(), "0600".into());
        assert_ne!(digest(&task), first);
    }
}
