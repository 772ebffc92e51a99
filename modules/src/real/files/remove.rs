//! Removes a directory and all below it, without leaving its file system and without following a link.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    list,
    parent::{Parent, mounted},
};

/// Removes the parent's name and, where it is a directory, all below it.
pub(super) fn tree(parent: &Parent) -> io::Result<()> {
    let stat = parent.stat()?.ok_or(io::ErrorKind::NotFound)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return parent.unlink(false);
    }
    let directory = open_on_same_mount(&parent.fd(), parent.name())?;
    empty(&directory)?;
    parent.unlink(true)
}

/// Removes everything in a directory.
fn empty(directory: &OwnedFd) -> io::Result<()> {
    for name in list(directory)? {
        match rustix::fs::unlinkat(directory, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR) => {}
            Err(Errno::BUSY) => return Err(at(&name, mounted())),
            Err(error) => return Err(at(&name, error.into())),
        }
        let child = open_on_same_mount(directory, &name).map_err(|error| at(&name, error))?;
        empty(&child).map_err(|error| at(&name, error))?;
        drop(child);
        match rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(at(&name, error.into())),
        }
    }
    Ok(())
}

/// Opens a directory unless something is mounted on it, bind mounts of the same file system included.
fn open_on_same_mount(parent: &impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
        Ok(directory) => Ok(directory),
        Err(Errno::XDEV) => Err(mounted()),
        // A kernel before 5.6, or a container that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            if rustix::fs::fstat(&directory)?.st_dev == rustix::fs::fstat(parent)?.st_dev {
                Ok(directory)
            } else {
                Err(mounted())
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Names the part of the tree that an error is about, outermost first.
fn at(name: &OsStr, error: io::Error) -> io::Error {
    let kind = error.kind();
    let text = error.to_string();
    let text = text.rfind(" (os error").map_or(text.as_str(), |end| &text[..end]).to_owned();
    let separator = if error.get_ref().is_some_and(|inner| inner.is::<Below>()) { "/" } else { ": " };
    io::Error::new(kind, Below(format!("{}{separator}{text}", name.to_string_lossy())))
}

/// An error that already says where below the tree it happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Below(String);
