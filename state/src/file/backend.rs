//! The storage under redb: the file itself, marked when it is closed in order; in tests, one
//! that can fail.

use std::{
    fs::File,
    io,
    ops::Bound,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, Builder, StorageBackend, backends::FileBackend};

use crate::StateError;

use super::{explain::explain, seal};

/// How much redb may keep in memory, in bytes. Its default is 1 GiB; a file is open only for
/// one transaction, so there is little to gain from more.
const CACHE: usize = 16 << 20;

/// The library, set up.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// Whether the file may be marked as closed in order, once it is closed. Not before all went
/// well.
pub(super) type InOrder = Arc<AtomicBool>;

/// The storage for an open file.
pub(super) fn storage(path: &Path, file: File, in_order: &InOrder) -> Result<Storage, StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    let handle = file.try_clone().map_err(failed)?;
    let file = FileBackend::new(file).map_err(|error| explain(path, error))?;
    #[cfg(test)]
    let file = super::faulty::FaultyStorage::new(file);
    Ok(Storage { file, handle, in_order: Arc::clone(in_order) })
}

/// A file under redb.
#[derive(Debug)]
pub(super) struct Storage {
    #[cfg(not(test))]
    file: FileBackend,
    #[cfg(test)]
    file: super::faulty::FaultyStorage,
    handle: File,
    in_order: InOrder,
}

/// Hands the locks on to the storage below.
macro_rules! locks_of {
    ($below:ident) => {
        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.$below.try_lock_range(start, end)
        }

        fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.$below.try_lock_shared_range(start, end)
        }

        fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.$below.lock_range(start, end)
        }

        fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.$below.lock_shared_range(start, end)
        }

        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.$below.unlock_range(start, end)
        }

        fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.$below.query_lock_range(start, end)
        }
    };
}

pub(super) use locks_of;

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        if self.in_order.load(Ordering::Relaxed) {
            // While the file is still locked. Without the mark it is gone over next time.
            let _ = seal::set(&self.handle);
        }
        self.file.close()
    }

    locks_of!(file);
}
