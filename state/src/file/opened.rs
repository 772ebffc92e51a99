//! Opening the file without being surprised by what it is.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};

use crate::StateError;

/// The first bytes of every redb file (its design document, "Super header").
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// What the file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// An open file that is a redb database by its first bytes.
pub(super) struct Opened {
    pub(super) file: File,
    device: u64,
    inode: u64,
}

/// Opens the file; none: there is none.
pub(super) fn open(path: &Path, access: Access) -> Result<Option<Opened>, StateError> {
    let mut options = fs::OpenOptions::new();
    // A link could lead anywhere, and a FIFO would block before one could see what it is.
    options
        .read(true)
        .write(access == Access::Write)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) => return refused(path, access, error),
    };
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(foreign(path, kind(&metadata)));
    }
    if metadata.len() == 0 {
        return Err(StateError::Empty { path: path.to_owned() });
    }
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start != MAGIC {
        if MAGIC.starts_with(&start) {
            let detail = format!("only its first {} bytes are left", start.len());
            return Err(StateError::Damaged { path: path.to_owned(), detail });
        }
        return Err(foreign(path, format!("begins with \"{}\"", start.escape_ascii())));
    }
    Ok(Some(Opened { file, device: metadata.dev(), inode: metadata.ino() }))
}

impl Opened {
    /// What tells this file from others.
    pub(super) fn identity(&self) -> Identity {
        (self.device, self.inode)
    }
}

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// What the path leads to, if that is still the file of this identity. Once the file is locked
/// this must be asked: before, someone may have moved it away.
pub(super) fn still_at(path: &Path, identity: Identity) -> Option<fs::Metadata> {
    fs::symlink_metadata(path).ok().filter(|metadata| (metadata.dev(), metadata.ino()) == identity)
}

fn refused(path: &Path, access: Access, error: io::Error) -> Result<Option<Opened>, StateError> {
    // A path that cannot be looked at is told by the error itself.
    let there = fs::symlink_metadata(path).ok();
    match (error.kind(), there) {
        (io::ErrorKind::NotFound, None) => Ok(None),
        (_, Some(metadata)) if !metadata.is_file() => Err(foreign(path, kind(&metadata))),
        (io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, _) => Err(StateError::Denied {
            path: path.to_owned(),
            action: if access == Access::Write { "write" } else { "read" },
            source: error,
        }),
        (io::ErrorKind::NotADirectory, _) => Err(StateError::Create { path: path.to_owned(), source: error }),
        _ if Errno::from_io_error(&error) == Some(Errno::PERM) => {
            Err(StateError::Denied { path: path.to_owned(), action: "write", source: error })
        }
        _ => Err(StateError::Io { path: path.to_owned(), source: error }),
    }
}

fn kind(metadata: &fs::Metadata) -> String {
    let kind = metadata.file_type();
    let name = if kind.is_dir() {
        "is a folder"
    } else if kind.is_symlink() {
        "is a symbolic link, which cm does not follow here"
    } else if kind.is_fifo() {
        "is a FIFO"
    } else if kind.is_socket() {
        "is a socket"
    } else {
        "is a device"
    };
    name.to_owned()
}

fn foreign(path: &Path, found: String) -> StateError {
    StateError::Foreign { path: path.to_owned(), found }
}
