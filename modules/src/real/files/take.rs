//! A received file becomes the new one by its name alone, where that makes no difference: nothing is copied.
//!
//! It makes one where a new file gets something of its directory that a file from elsewhere does not bring: an
//! access list, a label, an attribute of chattr(1). And another file system cannot take it. Then it is copied.

use std::{
    ffi::OsString,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::fs::{CWD, FileType, FlockOperation, IFlags, Mode, OFlags, RenameFlags};

use super::{extended, parent::Parent, replace::Names};

/// What a file gets from its directory when it is made there.
const INHERITED: IFlags = IFlags::COMPRESSED
    .union(IFlags::JOURNALING)
    .union(IFlags::NOATIME)
    .union(IFlags::NOCOW)
    .union(IFlags::NODUMP)
    .union(IFlags::NOTAIL);

/// Moves a file of so many bytes to a temporary name in the directory; none where it must be copied.
pub(super) fn take(parent: &Parent, names: &Names, path: &Path, size: u64) -> Option<(OwnedFd, OsString)> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_nlink == 1
        && u64::try_from(stat.st_size) == Ok(size);
    if !ours || gives_something(parent) || attributes(parent.fd()) != attributes(&file) {
        return None;
    }
    // Shows a sweep of another process that somebody is at work, before it has the name.
    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    loop {
        let name = names.next();
        match rustix::fs::renameat_with(CWD, path, parent.fd(), &name, RenameFlags::NOREPLACE) {
            Ok(()) => return Some((file, name)),
            Err(rustix::io::Errno::EXIST) => {}
            Err(_) => return None,
        }
    }
}

/// Whether what is made in a directory gets an access list or a label.
fn gives_something(parent: &Parent) -> bool {
    // A directory that cannot be asked may do anything.
    extended::names(&parent.fd()).map_or(true, |names| {
        names
            .split(|&byte| byte == 0)
            .any(|name| name == b"system.posix_acl_default" || name.starts_with(b"security."))
    })
}

fn attributes(file: impl AsFd) -> IFlags {
    // A file system that knows none gives none.
    rustix::fs::ioctl_getflags(file).unwrap_or(IFlags::empty()) & INHERITED
}

#[cfg(test)]
mod tests;
