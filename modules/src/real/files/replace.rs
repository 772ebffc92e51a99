//! Something new that is made beside its place and takes it in one step.
//!
//! A reader, a crash or a loss of power at any moment finds the old or the new one whole. What a killed
//! run leaves is recognized by its name, see `sweep`.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    os::fd::OwnedFd,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
    process::Pid,
};

use super::{
    FilesState, extended, list, memo, mode_bits,
    parent::{Parent, ids, mounted},
    take::take,
};
use crate::node::{Attributes, Content, Source};

/// How many bits of a run's own are random.
const RANDOM_BITS: u32 = 10;

/// Names of temporary files: `.cm-<16 hexadecimal digits>.tmp`, the first half of them the run's own: 22 bits
/// of the process id (which has no more, proc(5) `pid_max`), then 10 random ones.
#[derive(Default)]
pub(super) struct Names {
    run: OnceLock<u32>,
    next: AtomicU32,
}

impl Names {
    fn run(&self) -> u32 {
        *self.run.get_or_init(|| {
            // The standard library's source of randomness, beside O_EXCL.
            let random = RandomState::new().hash_one(std::process::id()) as u32;
            std::process::id() << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1)
        })
    }

    pub(super) fn next(&self) -> OsString {
        format!(".cm-{:08x}{:08x}.tmp", self.run(), self.next.fetch_add(1, Ordering::Relaxed)).into()
    }

    /// Whether a name is one of a temporary file of any run.
    pub(super) fn is_temporary(name: &OsStr) -> bool {
        name.as_bytes()
            .strip_prefix(b".cm-")
            .and_then(|rest| rest.strip_suffix(b".tmp"))
            .is_some_and(|token| token.len() == 16 && token.iter().all(u8::is_ascii_hexdigit))
    }

    /// The process that made a temporary name, if it still runs. Another one may have got its id.
    pub(super) fn is_maker_alive(name: &OsStr) -> bool {
        let run = name.to_str().and_then(|name| name.get(4..12));
        let run = run.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default();
        let maker = i32::try_from(run >> RANDOM_BITS).ok().and_then(Pid::from_raw);
        maker.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
    }

    /// Whether a temporary name is of this run.
    pub(super) fn is_mine(&self, name: &OsStr) -> bool {
        name.as_bytes()[4..].starts_with(format!("{:08x}", self.run()).as_bytes())
    }
}

/// What is being made beside its place; removed again unless it takes it.
pub(super) struct Replacement<'a> {
    parent: &'a Parent,
    state: &'a FilesState,
    name: OsString,
    /// The new file or directory; a link has none.
    it: Option<OwnedFd>,
    is_directory: bool,
    settled: bool,
}

impl<'a> Replacement<'a> {
    /// An empty file that only its owner can read.
    fn file(parent: &'a Parent, state: &'a FilesState) -> io::Result<Self> {
        state.step()?;
        let mut new = Self::begin(parent, state);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let it = new.with_free_name(|name| {
            Ok(rustix::fs::openat(parent.fd(), name, flags, Mode::RUSR | Mode::WUSR)?)
        })?;
        // Shows a sweep of another process that somebody is at work here.
        let _ = rustix::fs::flock(&it, FlockOperation::NonBlockingLockExclusive);
        new.it = Some(it);
        new.settled = false;
        state.step().map(|()| new)
    }

    /// A file with this content that only its owner can read: the file itself that was received, where it may be taken.
    pub(super) fn holding(parent: &'a Parent, state: &'a FilesState, content: &Content) -> io::Result<Self> {
        if let Content::Given { path, size, .. } = content {
            state.step()?;
            let mut new = Self::begin(parent, state);
            if let Some((it, name)) = take(parent, &state.names, path, *size) {
                (new.it, new.name, new.settled) = (Some(it), name, false);
                return state.step().map(|()| new);
            }
        }
        let mut new = Self::file(parent, state)?;
        new.fill(content)?;
        Ok(new)
    }

    /// An empty directory that only its owner can enter.
    pub(super) fn directory(parent: &'a Parent, state: &'a FilesState) -> io::Result<Self> {
        state.step()?;
        let mut new = Self::begin(parent, state);
        new.is_directory = true;
        new.with_free_name(|name| Ok(rustix::fs::mkdirat(parent.fd(), name, Mode::RWXU)?))?;
        new.settled = false;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let it = rustix::fs::openat(parent.fd(), &new.name, flags, Mode::empty())?;
        // Whoever owns the parent can have put another directory at this name meanwhile; it gets no owner and no
        // mode from us unless it is ours and has nothing in it.
        let stat = rustix::fs::fstat(&it)?;
        let ours = stat.st_uid == rustix::process::geteuid().as_raw();
        if !ours || !list(&it)?.is_empty() {
            new.settled = true;
            return Err(io::Error::other("somebody else replaced the new directory while it was made"));
        }
        new.it = Some(it);
        state.step().map(|()| new)
    }

    /// A symbolic link.
    pub(super) fn link(parent: &'a Parent, state: &'a FilesState, target: &Path) -> io::Result<Self> {
        state.step()?;
        let mut new = Self::begin(parent, state);
        new.with_free_name(|name| Ok(rustix::fs::symlinkat(target, parent.fd(), name)?))?;
        new.settled = false;
        state.step().map(|()| new)
    }

    fn begin(parent: &'a Parent, state: &'a FilesState) -> Self {
        Self { parent, state, name: OsString::new(), it: None, is_directory: false, settled: true }
    }

    fn with_free_name<T>(&mut self, make: impl Fn(&OsStr) -> io::Result<T>) -> io::Result<T> {
        loop {
            self.name = self.state.names.next();
            match make(&self.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                    return Err(self.parent.forbidden());
                }
                other => return other,
            }
        }
    }

    /// Where it is now, when its place is `path`.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        path.with_file_name(&self.name)
    }

    fn it(&self) -> &OwnedFd {
        // Only links have none, and nothing is written to those.
        self.it.as_ref().expect("a file or directory is open")
    }

    /// Writes the content.
    fn fill(&mut self, content: &Content) -> io::Result<()> {
        let mut file = File::from(self.it().try_clone()?);
        match content {
            Content::Bytes(bytes) => file.write_all(bytes)?,
            Content::Held(_) => {
                io::copy(&mut Source::of_content(content)?, &mut file)?;
            }
            Content::Spooled { path, size, .. } | Content::Given { path, size, .. } => {
                let mut spooled = File::open(path)?;
                // The kernel copies (copy_file_range(2), sendfile(2)) where it can.
                let copied = io::copy(&mut spooled, &mut file)?;
                if copied != *size {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("the received content has {copied} bytes instead of {size}"),
                    ));
                }
            }
        }
        self.state.step()
    }

    /// Gives it owner, mode and, where it replaces a file, that file's extended attributes.
    pub(super) fn dress(&mut self, attributes: Attributes, replaces: bool) -> io::Result<()> {
        let it = self.it();
        let Attributes { mode, uid, gid } = attributes;
        let stat = rustix::fs::fstat(it)?;
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            let (uid, gid) = ids(uid, gid);
            rustix::fs::fchown(it, uid, gid)?;
        }
        self.state.step()?;
        if replaces {
            let flags =
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            match rustix::fs::openat(self.parent.fd(), self.parent.name(), flags, Mode::empty()) {
                // An access list of a third user's would let them read what is now given to another.
                Ok(old) if [0, uid, stat.st_uid].contains(&rustix::fs::fstat(&old)?.st_uid) => {
                    extended::copy(&old, it)?;
                }
                Ok(_) => {}
                // A link, a device, a file that the agent may replace but not read.
                Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS | Errno::NODEV | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The mode last: chown(2) takes setuid and setgid away, and an access list sets the mode, too.
        if stat.st_mode & 0o7777 != mode || replaces || mode & 0o7000 != 0 {
            rustix::fs::fchmod(it, mode_bits(mode))?;
        }
        self.state.step()
    }

    /// Gives a link its owner.
    pub(super) fn belong_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(self.parent.fd(), &self.name, flags)?;
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            let (uid, gid) = ids(uid, gid);
            rustix::fs::chownat(self.parent.fd(), &self.name, uid, gid, flags)?;
        }
        self.state.step()
    }

    /// Makes the content last through a loss of power, before the name does.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.is_directory {
            return self.state.step();
        }
        rustix::fs::fsync(self.it())?;
        self.state.step()
    }

    /// Gives the content an mtime by which later changes are told; see `memo`.
    pub(super) fn seal(&self) -> Option<memo::Seal> {
        memo::seal(self.it())
    }

    /// Takes its place, whatever is there (not a directory): the open file or directory, for what is to be known
    /// of it there. A link has none.
    pub(super) fn take_place(mut self) -> io::Result<Option<OwnedFd>> {
        let fd = self.parent.fd();
        match rustix::fs::renameat(fd, &self.name, fd, self.parent.name()) {
            Ok(()) => self.settled = true,
            Err(Errno::BUSY) => return Err(mounted()),
            Err(Errno::PERM) => return Err(self.parent.forbidden()),
            Err(error) => return Err(error.into()),
        }
        self.state.step()?;
        self.parent.sync()?;
        Ok(self.it.take())
    }

    /// Takes its place unless something is there.
    pub(super) fn take_free_place(mut self) -> io::Result<()> {
        let fd = self.parent.fd();
        match rustix::fs::renameat_with(fd, &self.name, fd, self.parent.name(), RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // A file system that cannot (NFS): the look just before must do. A directory never
            // replaces anything but an empty directory.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(fd, &self.name, fd, self.parent.name())?,
            Err(error) => return Err(error.into()),
        }
        self.settled = true;
        self.state.step()?;
        self.parent.sync()
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        if self.settled || self.state.is_killed() {
            return;
        }
        let flags = if self.is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        // Nothing more can be done; the next write to the directory sweeps it.
        let _ = rustix::fs::unlinkat(self.parent.fd(), &self.name, flags);
    }
}

#[cfg(not(test))]
impl FilesState {
    /// A step of a replacement is done; tests make it the last one.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "it fails in tests")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "tests have a state")]
    fn is_killed(&self) -> bool {
        false
    }
}

/// Ends a replacement after a given step, as an error or as a kill that runs no clean-up.
#[cfg(test)]
#[derive(Default)]
pub(in crate::real) struct Faults {
    /// Steps left until the fault, plus one; 0: none.
    pub(in crate::real) after: AtomicU32,
    /// The fault is a kill.
    pub(in crate::real) kill: std::sync::atomic::AtomicBool,
    /// It struck.
    pub(in crate::real) struck: std::sync::atomic::AtomicBool,
}

#[cfg(test)]
impl FilesState {
    fn step(&self) -> io::Result<()> {
        if self.faults.after.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        if self.faults.after.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.faults.struck.store(true, Ordering::Relaxed);
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }

    fn is_killed(&self) -> bool {
        self.faults.struck.load(Ordering::Relaxed) && self.faults.kill.load(Ordering::Relaxed)
    }
}
