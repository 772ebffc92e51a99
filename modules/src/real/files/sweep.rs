//! Takes away what a killed run left half-written.

use std::{collections::BTreeSet, io, sync::Mutex, time::SystemTime};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};

use super::{list, parent::Parent, replace::Names};

/// Seconds after which a leftover that cannot be locked (a directory, a link) counts as left, even where a
/// process has the id of its maker.
const STALE: i64 = 60;

/// The directories that were swept by this run.
#[derive(Default)]
pub(super) struct Swept(Mutex<BTreeSet<(u64, u64)>>);

impl Swept {
    /// Sweeps a directory before the first write of this run to it. What cannot be swept does not
    /// hinder the write.
    pub(super) fn before_writing(&self, parent: &Parent, names: &Names) {
        let Ok(identity) = parent.identity() else { return };
        // A poisoned lock means a panic between two statements that cannot panic.
        let new = self.0.lock().is_ok_and(|mut swept| swept.insert(identity));
        if new {
            let _ = sweep(parent, names);
        }
    }
}

/// Removes leftovers and counts them. One that another process still writes is locked, and stays.
pub(super) fn sweep(parent: &Parent, names: &Names) -> io::Result<usize> {
    let mut removed = 0;
    for name in list(&parent.fd())? {
        if !Names::is_temporary(&name) || names.is_mine(&name) {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(parent.fd(), &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let left = match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                rustix::fs::openat(parent.fd(), &name, flags, Mode::empty()).is_ok_and(|file| {
                    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                })
            }
            FileType::Directory | FileType::Symlink => {
                !Names::is_maker_alive(&name) || now() - stat.st_ctime > STALE
            }
            _ => false,
        };
        let flags = if kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        if left && rustix::fs::unlinkat(parent.fd(), &name, flags).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
