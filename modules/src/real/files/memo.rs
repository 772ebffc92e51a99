//! What files held when they were last hashed or written: a file that is the same since needs no hash.
//!
//! The same is a file of which device, inode, size, mtime and ctime are what they were. The kernel sets a ctime at
//! every change and nobody can set it back, but it does so in ticks of some milliseconds (some file systems: of
//! seconds): a change in the tick of the one before leaves the ctime as it is. So, as git does with its index, an
//! entry is only made
//!
//! - of a file that had been at rest for [`REST`] when its hashing began, or
//! - of one that was written here with a [`seal`]: an mtime between two ticks, which no change in the same tick gives.
//!
//! What is left: a change within the tick of our own rename whose author sets the very mtime again; pages that were
//! mapped and dirty before the hash and are written to after it; and a clock that is set back to the very nanosecond.
//! A loss of power may leave a file its times and not its content, so entries count only until the next boot.

use std::{
    collections::HashMap,
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use cm_wire::Digest;
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_OMIT};

use crate::node::{FileKind, Stat};

/// A file is at rest this long after its last change, in nanoseconds: longer than a tick of any file system's clock.
const REST: i64 = 2_500_000_000;
/// Entries at most; those that were not asked for the longest go first.
const ENTRIES: usize = 16384;
/// An entry that nobody asked for while the file was written anew so often goes.
const AGE: u8 = 30;
/// Names the format.
const MAGIC: &[u8; 8] = b"cmdgst01";
/// Bytes of an entry in the file.
const ENTRY: usize = 5 * 8 + 32 + 1;
/// Changes with every boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The digests of files, by what the file system says of them.
#[derive(Default)]
pub(in crate::real) struct Memo {
    /// Where they are between runs; none: nowhere, and none are remembered.
    file: Option<PathBuf>,
    /// Whether they spare hashing.
    trusted: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    read: bool,
    boot: [u8; 32],
    entries: HashMap<Key, Entry>,
    /// Something was put in that is not in the file.
    is_new: bool,
}

/// A file, whatever its names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    device: u64,
    inode: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Entry {
    times: Times,
    digest: Digest,
    /// How often the file was written since somebody asked for it.
    age: u8,
    /// It is not in the file.
    is_new: bool,
}

/// What tells one state of a file from another; times in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Times {
    size: u64,
    modified: i64,
    changed: i64,
}

impl Times {
    /// None where they do not fit: centuries from now, or a file system that makes them up.
    fn of(stat: &Stat) -> Option<Self> {
        Some(Self {
            size: stat.size,
            modified: stat.modified.try_into().ok()?,
            changed: stat.changed.try_into().ok()?,
        })
    }
}

impl Key {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.device, inode: stat.inode }
    }
}

impl Memo {
    /// One that is kept in this file; with `trusted` it spares hashing, without it only learns.
    pub(in crate::real) fn kept_in(file: PathBuf, trusted: bool) -> Self {
        Self { file: Some(file), trusted, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Entries are put in whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.read {
            state.read = true;
            if let Some(file) = &self.file {
                state.boot = boot();
                let bytes = read(file).unwrap_or_default();
                state.entries = decode(&bytes, &state.boot).unwrap_or_default();
            }
        }
        state
    }

    /// The digest of a file, if it is what it was when that was taken: by a run before this one, or of a large file.
    pub(super) fn known(&self, stat: &Stat) -> Option<Digest> {
        if !self.trusted || self.file.is_none() || stat.kind != FileKind::File {
            return None;
        }
        let times = Times::of(stat)?;
        let mut state = self.state();
        let entry = state.entries.get_mut(&Key::of(stat))?;
        // What this run wrote is looked at again in earnest, where that takes no time.
        if entry.times != times || entry.is_new && times.size <= super::SMALL {
            return None;
        }
        entry.age = 0;
        Some(entry.digest)
    }

    /// A file that is to be hashed now and may be noted afterwards.
    pub(super) fn resting(&self, stat: &Stat) -> Option<Resting> {
        if self.notes() { Resting::at(stat, now()) } else { None }
    }

    /// Notes what a file held, if it is still what it was.
    pub(super) fn hashed(&self, Resting { key, times }: Resting, after: &Stat, digest: Digest) {
        if Times::of(after) == Some(times) {
            self.note(key, times, digest);
        }
    }

    /// Notes what was written to a file whose mtime is `seal` still, now that it has its name.
    pub(super) fn written(&self, stat: &Stat, seal: Seal, digest: Digest) {
        if let Some(times) = Times::of(stat).filter(|times| times.modified == seal.0) {
            self.note(Key::of(stat), times, digest);
        }
    }

    fn note(&self, key: Key, times: Times, digest: Digest) {
        if !self.notes() {
            return;
        }
        let mut state = self.state();
        let same = |former: &&mut Entry| (former.times, former.digest) == (times, digest);
        if let Some(former) = state.entries.get_mut(&key).filter(same) {
            former.age = 0;
        } else {
            state.entries.insert(key, Entry { times, digest, age: 0, is_new: true });
            state.is_new = true;
        }
    }

    /// Whether anything is noted.
    pub(super) fn notes(&self) -> bool {
        self.file.is_some()
    }

    /// Writes what is new; a reader sees the old or the new file whole.
    pub(in crate::real) fn keep(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // Not read: nothing was asked for.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_new || state.boot == [0; 32] {
            return Ok(());
        }
        let kept = worth_keeping(&state.entries);
        // Else there is no room for what is new.
        if !kept.iter().any(|(_, entry)| entry.is_new) {
            return Ok(());
        }
        let temporary = file.with_extension(format!("{}.new", std::process::id()));
        let bytes = encode(&kept, &state.boot);
        let written = write(&temporary, &bytes).and_then(|()| std::fs::rename(&temporary, file));
        match written {
            Ok(()) => state.is_new = false,
            Err(_) => drop(std::fs::remove_file(&temporary)),
        }
        written
    }
}

/// A file that nobody had changed for [`REST`].
pub(super) struct Resting {
    key: Key,
    times: Times,
}

impl Resting {
    fn at(stat: &Stat, now: i64) -> Option<Self> {
        let times = Times::of(stat)?;
        let rested = times.modified.max(times.changed).checked_add(REST)?;
        (rested <= now).then(|| Self { key: Key::of(stat), times })
    }
}

/// An mtime that no change of the file gives by itself: in between two ticks of the kernel's clock.
#[derive(Clone, Copy)]
pub(super) struct Seal(i64);

/// Gives an open file such an mtime, the present one as exactly as it is known; none where the file system does
/// not keep nanoseconds.
pub(super) fn seal(file: &impl AsFd) -> Option<Seal> {
    let now = now();
    let tick = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    // The kernel stamps what is changed from here on with this tick's time or a later one's.
    let now = if nanoseconds(tick) == now { now.checked_sub(1)? } else { now };
    let time =
        Timespec { tv_sec: now.div_euclid(1_000_000_000), tv_nsec: now.rem_euclid(1_000_000_000) as _ };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    rustix::fs::futimens(file, &Timestamps { last_access: omit, last_modification: time }).ok()?;
    let kept = Times::of(&super::stat_of(&rustix::fs::fstat(file).ok()?))?;
    (kept.modified == now).then_some(Seal(now))
}

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Names the time since the last boot; zeroes where it has no name.
fn boot() -> [u8; 32] {
    std::fs::read(BOOT_ID).map_or([0; 32], |id| Digest::of(&id).0)
}

/// The file, if it is one of ours alone and not too large.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    // Flags of open(2) are small and not negative.
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(file)?;
    let metadata = opened.metadata()?;
    let whose = rustix::process::geteuid().as_raw();
    if !metadata.is_file() || metadata.uid() != whose || metadata.mode() & 0o022 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    super::read_up_to(opened, metadata.len(), (MAGIC.len() + 64 + ENTRIES * ENTRY) as u64)
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let _ = std::fs::remove_file(file);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(bytes)
}

/// As many entries as have room, those that were asked for last.
fn worth_keeping(entries: &HashMap<Key, Entry>) -> Vec<(&Key, &Entry)> {
    let mut kept: Vec<(&Key, &Entry)> = entries.iter().filter(|(_, entry)| entry.age < AGE).collect();
    // In the same order each time: not others in every run where there are too many.
    let rank = |(key, entry): &(&Key, &Entry)| (entry.age, key.device, key.inode);
    crate::in_order::sort_by(&mut kept, |one, other| rank(one).cmp(&rank(other)));
    kept.truncate(ENTRIES);
    kept
}

/// The format's name, the boot, the entries, and the hash of all that.
fn encode(kept: &[(&Key, &Entry)], boot: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 64 + kept.len() * ENTRY);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(boot);
    for (key, Entry { times, digest, age, .. }) in kept {
        for number in [key.device, key.inode, times.size] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&times.modified.to_le_bytes());
        bytes.extend_from_slice(&times.changed.to_le_bytes());
        bytes.extend_from_slice(&digest.0);
        bytes.push(age + 1);
    }
    let seal = Digest::of(&bytes);
    bytes.extend_from_slice(&seal.0);
    bytes
}

/// The entries, if they are whole and of this boot.
fn decode(bytes: &[u8], boot: &[u8; 32]) -> Option<HashMap<Key, Entry>> {
    let (bytes, seal) = bytes.split_last_chunk::<32>()?;
    let entries = bytes.strip_prefix(MAGIC)?.strip_prefix(boot)?;
    let (entries, rest) = entries.as_chunks::<ENTRY>();
    if !rest.is_empty() || *boot == [0; 32] || Digest::of(bytes).0 != *seal {
        return None;
    }
    Some(entries.iter().filter_map(entry_of).collect())
}

fn entry_of(bytes: &[u8; ENTRY]) -> Option<(Key, Entry)> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let number = |index: usize| numbers.get(index).map(|number| u64::from_le_bytes(*number));
    let time = |index: usize| numbers.get(index).map(|number| i64::from_le_bytes(*number));
    let times = Times { size: number(2)?, modified: time(3)?, changed: time(4)? };
    let digest = Digest(bytes.get(40..72)?.try_into().ok()?);
    let entry = Entry { times, digest, age: *rest.first()?, is_new: false };
    Some((Key { device: number(0)?, inode: number(1)? }, entry))
}

#[cfg(test)]
mod tests;
