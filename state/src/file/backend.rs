//! The storage under redb: the file itself; in tests, one that can fail.

use std::{fs::File, path::Path};

use redb::{Builder, StorageBackend, backends::FileBackend};

use crate::StateError;

use super::explain::explain;

/// How much redb may keep in memory, in bytes. Its default is 1 GiB; a file is open only for
/// one transaction, so there is little to gain from more.
const CACHE: usize = 16 << 20;

/// The library, set up.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// The storage for an open file.
pub(super) fn storage(path: &Path, file: File) -> Result<impl StorageBackend, StateError> {
    let file = FileBackend::new(file).map_err(|error| explain(path, error))?;
    #[cfg(test)]
    let file = super::faulty::FaultyStorage::new(file);
    Ok(file)
}
