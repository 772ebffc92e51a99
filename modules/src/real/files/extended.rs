//! Extended attributes and access lists that a file keeps when its content is replaced.

use std::{
    ffi::OsStr,
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
};

use rustix::{fs::XattrFlags, io::Errno};

use crate::node::Extended;

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// Gives a new file the extended attributes of the one it replaces.
///
/// Not those that speak of the old content: capabilities (the kernel itself takes them away from a file
/// that is written to) and the signatures of IMA and EVM.
pub(super) fn copy(old: &impl AsFd, new: &impl AsFd) -> io::Result<()> {
    let names = names(old)?;
    let inherited = self::names(new)?;
    if names.is_empty() && inherited.is_empty() {
        return Ok(());
    }
    for name in names.split(|&byte| byte == 0).filter(|name| is_kept(name)) {
        let name = OsStr::from_bytes(name);
        let Some(value) = value(old, name)? else { continue };
        match rustix::fs::fsetxattr(new, name, &value, XattrFlags::empty()) {
            Ok(()) => {}
            // Labels that a process may not give: the new file has the one of its directory.
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP) if name.as_bytes().starts_with(b"security.") => {
            }
            Err(error) => return Err(error.into()),
        }
    }
    // An access list that the new file got from its directory and the old one did not have.
    let has = |list: &[u8]| list.split(|&byte| byte == 0).any(|name| name == ACCESS_LIST);
    if has(&inherited) && !has(&names) {
        rustix::fs::fremovexattr(new, OsStr::from_bytes(ACCESS_LIST))?;
    }
    Ok(())
}

/// Those that are kept, with their values.
pub(super) fn read(file: &impl AsFd) -> io::Result<Extended> {
    let names = names(file)?;
    let mut found = Extended::new();
    for name in names.split(|&byte| byte == 0).filter(|name| is_kept(name)) {
        if let Some(value) = value(file, OsStr::from_bytes(name))? {
            found.insert(name.to_vec(), value);
        }
    }
    Ok(found)
}

/// Gives a file exactly these of those that are kept.
pub(super) fn set(file: &impl AsFd, wanted: &Extended) -> io::Result<()> {
    for name in read(file)?.keys().filter(|name| !wanted.contains_key(*name)) {
        // Labels stay: a process may not take them away.
        if !name.starts_with(b"security.") {
            rustix::fs::fremovexattr(file, OsStr::from_bytes(name))?;
        }
    }
    for (name, value) in wanted {
        match rustix::fs::fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP) if name.starts_with(b"security.") => {}
            other => other?,
        }
    }
    Ok(())
}

fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name == ACCESS_LIST
        || name == b"security.selinux"
        || name == b"security.SMACK64"
}

/// The names, each ended by a NUL byte; none where the file system knows no such attributes.
pub(super) fn names(file: &impl AsFd) -> io::Result<Vec<u8>> {
    // Two calls with a buffer on the stack cost less than asking for the size first: nearly all files
    // have none or few.
    let mut names = vec![0; 1024];
    loop {
        match rustix::fs::flistxattr(file, &mut names[..]) {
            Ok(length) => {
                names.truncate(length);
                return Ok(names);
            }
            Err(Errno::RANGE) if names.len() < 1 << 20 => names.resize(names.len() * 4, 0),
            Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A value; none where it went away meanwhile.
fn value(file: &impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 1024];
    loop {
        match rustix::fs::fgetxattr(file, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            // 64 KiB is the kernel's own limit (XATTR_SIZE_MAX).
            Err(Errno::RANGE) if value.len() < 1 << 20 => value.resize(value.len() * 4, 0),
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
