//! Catalogs that the node's memory has nothing to say to: an apply of the very same that changes nothing again need
//! not read the journal, nor what was applied.
//!
//! A run that found everything as wanted, owed nothing to services, found no orphans and wrote nothing down leaves a
//! digest of all that this came from: the catalog, the agent's own program, and what the file system says of the
//! journal and of what was applied, which nobody else writes. Where the next run comes from the same, its journal is
//! asleep until something differs. A file that is damaged matches nothing.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use cm_wire::{Begin, Digest, Hasher, Task};

use crate::{boot, state_dir::StateDir};

/// Names the format in the file's first bytes; digests follow, the newest first.
const MAGIC: &[u8; 8] = b"cmsetl01";
/// Catalogs at most; those that were settled first go first.
const CATALOGS: usize = 16;
/// Bytes of a digest.
const DIGEST: usize = 32;

/// What a run comes from, and what is known of it.
pub struct Settled {
    state: StateDir,
    catalog: Digest,
    memory: Option<Digest>,
    known: Vec<u8>,
}

impl Settled {
    /// None for runs whose memory always matters.
    pub fn of(begin: &Begin, tasks: &[Task], state: &StateDir) -> Option<Self> {
        if begin.undo.is_some() || begin.resumed.is_some() || begin.paranoid {
            return None;
        }
        let program = fs::read_link("/proc/self/exe").ok()?;
        // Positional encodings of different values differ.
        let body = (program, &begin.whole_roles, &begin.prune, &begin.redact, tasks);
        let catalog = Digest::of(&postcard::to_extend(&body, Vec::new()).ok()?);
        let known = fs::read(state.settled()).unwrap_or_default();
        let mut settled = Self { state: state.clone(), catalog, memory: None, known };
        settled.memory = settled.memory_now();
        Some(settled)
    }

    /// Whether an earlier run of the same left word.
    pub fn is_known(&self) -> bool {
        let Some(wanted) = self.memory else { return false };
        self.kept().any(|known| known == wanted.0)
    }

    /// Leaves word, after a run that found everything as it should be. What cannot be written is found out again.
    pub fn keep(self) {
        // The run itself wrote something down: the next one finds that.
        let Some(memory) = self.memory.filter(|memory| self.memory_now() == Some(*memory)) else { return };
        if self.is_known() {
            return;
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(memory.0);
        self.kept().take(CATALOGS - 1).for_each(|known| bytes.extend(known));
        let temporary = self.state.settled().with_extension("new");
        // No sync: what a crash leaves of it matches nothing, or is whole.
        if fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, self.state.settled())).is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    fn kept(&self) -> impl Iterator<Item = &[u8]> {
        self.known.strip_prefix(MAGIC).unwrap_or_default().chunks_exact(DIGEST)
    }

    /// The catalog over the memory as it is; none where that cannot be told.
    fn memory_now(&self) -> Option<Digest> {
        let mut hasher = Hasher::default();
        hasher.update(&self.catalog.0);
        // After a loss of power files may have their times and not what was written last.
        hasher.update(boot::boot_id().as_bytes());
        for path in [self.state.journal(), self.state.applied()] {
            hasher.update(&identity(path)?);
        }
        Some(hasher.finish())
    }
}

/// What tells one state of a file from another; a file that is not there has one, too.
fn identity(path: PathBuf) -> Option<[u8; 64]> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some([0; 64]),
        Err(_) => return None,
    };
    let numbers = [
        1,
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime().cast_unsigned(),
        found.mtime_nsec().cast_unsigned(),
        found.ctime().cast_unsigned(),
        found.ctime_nsec().cast_unsigned(),
    ];
    let mut bytes = [0; 64];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    Some(bytes)
}
