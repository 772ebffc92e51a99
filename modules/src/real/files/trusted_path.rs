//! Opens the directory that something is about to be changed in, without being led astray.
//!
//! Between the look and the change of a root agent, whoever owns a directory on the way can put a link to
//! `/etc` in place of a directory of theirs. So a link that belongs to somebody else than root or the
//! agent's own user is followed only to a directory of that same somebody: there they could have made the
//! change themselves.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// Links followed in one path before it counts as a loop (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Opens a directory to change something in it. `flags` says for what (`RDONLY` or `PATH`).
pub(super) fn open(directory: &Path, flags: OFlags) -> Result<OwnedFd, Failure> {
    let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = rustix::process::geteuid();
    if !own.is_root() {
        // An agent without rights of its own can be led to nothing that its user may not change.
        return Ok(rustix::fs::openat(CWD, directory, flags, Mode::empty())?);
    }
    // Nearly all paths have no link at all: one call.
    match rustix::fs::openat2(CWD, directory, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(directory) => Ok(directory),
        Err(Errno::LOOP | Errno::NOSYS | Errno::PERM) => step_by_step(directory, flags),
        Err(error) => Err(error.into()),
    }
}

/// Why a directory was not opened.
pub(super) enum Failure {
    /// The system said so.
    System(Errno),
    /// A link on the way is not to be trusted.
    Distrust(io::Error),
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

pub(super) fn step_by_step(path: &Path, flags: OFlags) -> Result<OwnedFd, Failure> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || rustix::fs::openat(CWD, "/", step, Mode::empty());
    let mut here =
        if path.is_absolute() { root()? } else { rustix::fs::openat(CWD, ".", step, Mode::empty())? };
    let mut left = parts(path);
    let mut links = 0;
    // Links of others that were followed: the part's name and the owner.
    let mut foreign: Vec<(OsString, u32)> = Vec::new();
    while let Some(part) = left.pop_front() {
        match rustix::fs::openat(&here, &part, step, Mode::empty()) {
            Ok(next) => here = next,
            // Linux says "not a directory" of a link.
            Err(error @ (Errno::NOTDIR | Errno::LOOP)) => {
                let (target, owner) = link(&here, &part)?.ok_or(error)?;
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                if owner != 0 {
                    foreign.push((part, owner));
                }
                let target = Path::new(&target);
                if target.is_absolute() {
                    here = root()?;
                }
                for part in parts(target).into_iter().rev() {
                    left.push_front(part);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let found = rustix::fs::openat(&here, ".", flags, Mode::empty())?;
    let owner = rustix::fs::fstat(&found)?.st_uid;
    match foreign.into_iter().find(|(_, link_owner)| *link_owner != owner) {
        None => Ok(found),
        Some((name, link_owner)) => {
            Err(Failure::Distrust(crate::node::led_astray(&name, path, link_owner, owner)))
        }
    }
}

/// Target and owner of a link; none for something else. Taken through one descriptor, so that both are
/// of the same link.
fn link(directory: &impl AsFd, name: &OsStr) -> Result<Option<(OsString, u32)>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let it = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::statat(&it, "", AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    let target = rustix::fs::readlinkat(&it, "", Vec::new())?;
    Ok(Some((OsString::from_vec(target.into_bytes()), stat.st_uid)))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
