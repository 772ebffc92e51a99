//! The opened directory that holds the last part of a path, and what can be done to that part.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, IFlags, Mode, OFlags, Stat, Uid},
    io::Errno,
};

use super::{
    mode_bits,
    trusted_path::{self, Failure},
};
use crate::node::FileKind;

/// An opened directory and a name in it.
pub(super) struct Parent {
    directory: OwnedFd,
    name: OsString,
    /// It may be passed through but not read: then it cannot be flushed either.
    blind: bool,
}

impl Parent {
    /// Opens the parent of a path. Links in the parent's own parts are followed where they can be trusted.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the root directory"));
        };
        Self::open_with(parent, name.to_owned())
    }

    /// As [`Self::of`], but the root directory is taken, too: as `.` in itself.
    pub(super) fn of_anything(path: &Path) -> io::Result<Self> {
        if path.parent().is_none() { Self::open(path) } else { Self::of(path) }
    }

    /// Opens a directory itself; the name is `.`.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        Self::open_with(directory, OsString::from("."))
    }

    fn open_with(directory: &Path, name: OsString) -> io::Result<Self> {
        let (opened, blind) = match trusted_path::open(directory, OFlags::RDONLY) {
            Err(Failure::System(Errno::ACCESS)) => (trusted_path::open(directory, OFlags::PATH), true),
            other => (other, false),
        };
        match opened {
            Ok(directory) => Ok(Self { directory, name, blind }),
            Err(Failure::System(error)) => Err(error.into()),
            Err(Failure::Distrust(error)) => Err(error),
        }
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// What the directory itself is; names a directory whatever its path.
    pub(super) fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.directory)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// lstat(2) of the name.
    pub(super) fn stat(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens what has the name, a regular file or directory, without waiting for pipes or waking devices.
    pub(super) fn open_itself(&self) -> io::Result<OwnedFd> {
        match self.stat()? {
            Some(stat)
                if matches!(
                    FileType::from_raw_mode(stat.st_mode),
                    FileType::RegularFile | FileType::Directory
                ) => {}
            Some(_) => return Err(FileKind::Other.instead_of("a file or directory")),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?)
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        // O_PATH needs no right to read it and wakes no device; chmod goes through /proc because
        // fchmod(2) refuses such descriptors, and the same path in /proc cannot be swapped.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let it = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&it)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(FileKind::Link.instead_of("a file or directory"));
        }
        self.refuse_borrowed(&stat)?;
        let through_proc = format!("/proc/self/fd/{}", it.as_raw_fd());
        match rustix::fs::chmodat(CWD, through_proc, mode_bits(mode), AtFlags::empty()) {
            Err(Errno::PERM) => Err(self.forbidden()),
            // No /proc: a root without it, such as a container being built.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let it = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
                Ok(rustix::fs::fchmod(it, mode_bits(mode))?)
            }
            other => Ok(other?),
        }
    }

    pub(super) fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let it = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        self.refuse_borrowed(&rustix::fs::fstat(&it)?)?;
        let (uid, gid) = ids(uid, gid);
        // Through the descriptor: what was looked at is what is changed.
        match rustix::fs::chownat(&it, "", uid, gid, AtFlags::EMPTY_PATH) {
            Err(Errno::PERM) => Err(self.forbidden()),
            other => Ok(other?),
        }
    }

    /// Refuses a file of somebody else that has a second name, in a directory of an unprivileged user: they may
    /// have linked it there (link(2)) to get rights to it. Debian's kernels forbid such links, others need not
    /// (proc(5), protected_hardlinks).
    fn refuse_borrowed(&self, stat: &Stat) -> io::Result<()> {
        let single = stat.st_nlink < 2 || FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let own = rustix::process::geteuid();
        if single || !own.is_root() {
            return Ok(());
        }
        let owner = rustix::fs::fstat(&self.directory)?.st_uid;
        if owner == 0 || owner == stat.st_uid {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "it has a second name elsewhere, belongs to user {} and lies in a directory of user {owner}, who may have \
             linked it there; remove it, and it is made anew",
            stat.st_uid
        )))
    }

    /// Why the kernel said EPERM: most often a missing right, but for root a mark of chattr(1) on the
    /// file or its directory.
    pub(super) fn forbidden(&self) -> io::Error {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let it = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty());
        let marks = [it.as_ref().ok().map(AsFd::as_fd), Some(self.directory.as_fd())];
        let marked = marks.into_iter().flatten().any(|fd| {
            rustix::fs::ioctl_getflags(fd)
                .is_ok_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
        });
        if marked {
            // Not "permission denied", for which the hint would be to become root.
            io::Error::other(
                "it is marked immutable or append-only; `chattr -ia` on the node takes that away",
            )
        } else {
            Errno::PERM.into()
        }
    }

    pub(super) fn unlink(&self, directory: bool) -> io::Result<()> {
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&self.directory, &self.name, flags) {
            Err(Errno::BUSY) => Err(mounted()),
            Err(Errno::PERM) => Err(self.forbidden()),
            other => Ok(other?),
        }
    }

    /// Makes what was done to the names of the directory last through a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.blind {
            return Ok(());
        }
        match rustix::fs::fsync(&self.directory) {
            // Some file systems (FUSE, 9p) do not know it for directories.
            Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }
}

pub(super) fn ids(uid: u32, gid: u32) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// Something is a mount point: replacing or removing it would strike what is mounted there.
pub(super) fn mounted() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it is a mount point or otherwise held by the system; `findmnt` shows what is mounted",
    )
}
