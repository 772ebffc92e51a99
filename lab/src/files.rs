//! Files and folders written with the mode they are meant to have from their first moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::LabError;

/// Names the file in an error of the file system.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabError {
    let path = path.to_path_buf();
    move |source| LabError::Io { action, path, source }
}

/// Makes a folder and those above it; `mode` is for those that were not there.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), LabError> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("make", path))
}

/// Replaces a file as a whole: its old or its new content is there at any moment.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), LabError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        // The mode given to open is cut by the umask.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content)?;
        fs::rename(&beside, path)
    })();
    written.map_err(|source| {
        let _ = fs::remove_file(&beside);
        LabError::Io { action: "write", path: path.to_path_buf(), source }
    })
}

/// Reads a file that may be absent.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LabError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Removes a file that may be absent.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A lock on a file, given back when this is dropped or its process ends in whatever way.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits until the lock is free.
    pub(crate) fn wait(path: &Path) -> Result<Self, LabError> {
        let file = Self::open(path)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|e| failed("lock", path)(e.into()))?;
        Ok(Self { _file: file })
    }

    /// Waits until nobody holds the lock alone, and holds it together with others.
    pub(crate) fn share(path: &Path) -> Result<Self, LabError> {
        let file = Self::open(path)?;
        flock(&file, FlockOperation::LockShared).map_err(|e| failed("lock", path)(e.into()))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock if nobody holds it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, LabError> {
        let file = Self::open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed("lock", path)(error.into())),
        }
    }

    fn open(path: &Path) -> Result<File, LabError> {
        if let Some(folder) = path.parent() {
            make_folder(folder, 0o755)?;
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed("open", path))
    }
}
