//! The store in a file.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};

use redb::{Database, DatabaseError, ReadableDatabase};

use crate::{
    StateError, stored,
    tables::{Direction, ReadTables, Table, Transact, WriteTables},
};

use super::{
    DEFAULT_LOCK_WAIT,
    backend::{InOrder, builder, storage},
    create,
    explain::explain,
    format,
    guard::guarded,
    opened::{self, Access, Identity, Opened},
    overlay::Overlay,
    redb_tables::{NoTables, ReadView, WriteView},
    seal::{self, Seal},
    waiting::Waiting,
};

/// How often a file may be found doubtful right after it was gone over.
const REPAIRS: u32 = 3;

/// A store in a redb file. Nothing is held open between calls; any number of these, in any
/// number of processes and threads, may use one file.
#[derive(Debug)]
pub struct RedbStore {
    path: PathBuf,
    wait: Duration,
    /// Threads of one process queue here instead of polling the file's lock against each other.
    gate: RwLock<()>,
    /// The file that was found to be ours, by device and inode.
    vetted: Mutex<Option<Identity>>,
}

/// What came of one attempt to get at the file.
enum Attempt<R> {
    Done(R),
    /// Someone else is at it.
    Locked,
    /// It must be gone over first: it was not closed in order, or someone else has written to
    /// it.
    Doubtful,
    /// The path leads to another file by now.
    Moved,
}

/// Whether a file that someone else has written to is read all the same.
#[derive(Clone, Copy, PartialEq)]
enum Touched {
    Read,
    Doubt,
}

impl RedbStore {
    /// The store at this path, once what is there has been found usable. Nothing is created: a
    /// file that does not exist reads as empty, and comes into being with the first write (0600,
    /// its folder 0700).
    ///
    /// # Errors
    /// When something is there that is not a state file of `cm`, or cannot be used.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        Self::open_with_wait(path, DEFAULT_LOCK_WAIT)
    }

    /// The same, with a limit of its own for the time to wait for other processes.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn open_with_wait(path: impl Into<PathBuf>, wait: Duration) -> Result<Self, StateError> {
        let store = Self { path: path.into(), wait, gate: RwLock::new(()), vetted: Mutex::new(None) };
        store.read(|_| Ok(()))?;
        Ok(store)
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file: every page's checksum, then every record's. Others wait meanwhile.
    ///
    /// # Errors
    /// [`StateError::Damaged`] names the first thing that does not fit.
    pub fn check(&self) -> Result<(), StateError> {
        if opened::open(&self.path, Access::Read)?.is_none() {
            return Ok(());
        }
        self.exclusively(|path, database| {
            // False: only the map of free pages was wrong, and is mended.
            database.check_integrity().map_err(|error| explain(path, error))?;
            let transaction = database.begin_read().map_err(|error| explain(path, error))?;
            format::check(path, &transaction)?;
            let view = ReadView::open(path, &transaction)?;
            Table::ALL.into_iter().try_for_each(|table| {
                view.scan(table, b"", Direction::Ascending, &mut |key, value| {
                    stored::verify(&view, table, key, value).map(std::ops::ControlFlow::Continue)
                })
            })
        })
    }

    /// The file's size in bytes; 0 where there is none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn size(&self) -> Result<u64, StateError> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(StateError::Io { path: self.path.clone(), source }),
        }
    }

    /// Bytes of the file that hold something. Goes over the whole file, and others wait meanwhile.
    ///
    /// # Errors
    /// When the state cannot be used.
    pub fn used(&self) -> Result<u64, StateError> {
        if opened::open(&self.path, Access::Read)?.is_none() {
            return Ok(0);
        }
        self.exclusively(|path, database| {
            let transaction = database.begin_write().map_err(|error| explain(path, error))?;
            let stats = transaction.stats().map_err(|error| explain(path, error))?;
            transaction.abort().map_err(|error| explain(path, error))?;
            Ok(stats.allocated_pages() * stats.page_size() as u64)
        })
    }

    /// Opens the file for this process alone, making it if need be, and closes it again.
    fn exclusively<R>(
        &self,
        body: impl FnOnce(&Path, &mut Database) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        // A transaction that panicked left nothing behind but the poison.
        let _turn = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.exclusively_in_turn(body)
    }

    fn exclusively_in_turn<R>(
        &self,
        body: impl FnOnce(&Path, &mut Database) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        let mut waiting = Waiting::new(self.wait);
        let mut body = Some(body);
        loop {
            let Some(opened) = opened::open(&self.path, Access::Write)? else {
                guarded(&self.path, || create::create(&self.path))?;
                continue;
            };
            match guarded(&self.path, || self.vet(&opened))? {
                Attempt::Done(()) => {}
                Attempt::Locked | Attempt::Doubtful => {
                    waiting.pause(&self.path)?;
                    continue;
                }
                Attempt::Moved => continue,
            }
            match guarded(&self.path, || self.attempt_write(opened, &mut body))? {
                Attempt::Done(result) => return Ok(result),
                Attempt::Locked | Attempt::Doubtful => waiting.pause(&self.path)?,
                Attempt::Moved => {}
            }
        }
    }

    /// Makes sure that the file is ours, not too new and not damaged, without writing to it:
    /// redb tidies up whatever it opens for writing.
    fn vet(&self, opened: &Opened) -> Result<Attempt<()>, StateError> {
        let path = &self.path;
        let identity = opened.identity();
        let mut vetted = self.vetted.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata =
            opened.file.metadata().map_err(|source| StateError::Io { path: path.clone(), source })?;
        if *vetted == Some(identity) && seal::state(&metadata) == Seal::Intact {
            return Ok(Attempt::Done(()));
        }
        let reopen = |access| Ok(opened::open(path, access)?.filter(|opened| opened.identity() == identity));
        let Some(opened) = reopen(Access::Read)? else { return Ok(Attempt::Moved) };
        let mut look = Some(|_: &dyn ReadTables| Ok(()));
        match self.attempt_read(opened, Touched::Doubt, &mut look)? {
            Attempt::Done(()) => {}
            Attempt::Doubtful => {
                let Some(opened) = reopen(Access::Write)? else { return Ok(Attempt::Moved) };
                let overlay = Overlay::new(storage(path, opened.file, &InOrder::default())?)
                    .map_err(|source| StateError::Io { path: path.clone(), source })?;
                let database = match builder().set_check_integrity_on_open(true).create_with_backend(overlay)
                {
                    Ok(database) => database,
                    Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Attempt::Locked),
                    Err(error) => return Err(explain(path, error)),
                };
                let transaction = database.begin_read().map_err(|error| explain(path, error))?;
                format::check(path, &transaction)?;
            }
            other => return Ok(other),
        }
        *vetted = Some(identity);
        Ok(Attempt::Done(()))
    }

    fn attempt_write<R, F>(&self, opened: Opened, body: &mut Option<F>) -> Result<Attempt<R>, StateError>
    where
        F: FnOnce(&Path, &mut Database) -> Result<R, StateError>,
    {
        let path = &self.path;
        let identity = opened.identity();
        let in_order = InOrder::default();
        // "Create" makes a database of an empty file only, and this one was not empty.
        let mut database = match builder().create_with_backend(storage(path, opened.file, &in_order)?) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Attempt::Locked),
            Err(error) => return Err(explain(path, error)),
        };
        if opened::still_at(path, identity).is_none() {
            return Ok(Attempt::Moved);
        }
        let Some(body) = body.take() else { return Ok(Attempt::Locked) };
        let result = body(path, &mut database);
        in_order.store(true, Ordering::Relaxed);
        // What was committed is durable by now. A file that could not be closed in order says so
        // in its header, and is repaired by whoever opens it next.
        let _ = database.close();
        result.map(Attempt::Done)
    }

    fn attempt_read<R, F>(
        &self,
        opened: Opened,
        touched: Touched,
        body: &mut Option<F>,
    ) -> Result<Attempt<R>, StateError>
    where
        F: FnOnce(&dyn ReadTables) -> Result<R, StateError>,
    {
        let path = &self.path;
        let identity = opened.identity();
        let storage = storage(path, opened.file, &InOrder::default())?;
        let database = match builder().open_read_only_with_backend(storage) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Attempt::Locked),
            Err(DatabaseError::RepairAborted) => return Ok(Attempt::Doubtful),
            Err(error) => return Err(explain(path, error)),
        };
        let Some(metadata) = opened::still_at(path, identity) else { return Ok(Attempt::Moved) };
        let transaction = database.begin_read().map_err(|error| explain(path, error))?;
        format::check(path, &transaction)?;
        if touched == Touched::Doubt && seal::state(&metadata) == Seal::Broken {
            return Ok(Attempt::Doubtful);
        }
        let view = ReadView::open(path, &transaction)?;
        let Some(body) = body.take() else { return Ok(Attempt::Locked) };
        body(&view).map(Attempt::Done)
    }
}

impl Transact for RedbStore {
    fn read<R>(&self, body: impl FnOnce(&dyn ReadTables) -> Result<R, StateError>) -> Result<R, StateError> {
        let _turn = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = Waiting::new(self.wait);
        let mut repairs = 0;
        let mut touched = Touched::Doubt;
        let mut body = Some(body);
        loop {
            let Some(opened) = opened::open(&self.path, Access::Read)? else {
                return match body.take() {
                    Some(body) => body(&NoTables(&self.path)),
                    // The body is taken by the attempt that returns its result.
                    None => unreachable!(),
                };
            };
            match guarded(&self.path, || self.attempt_read(opened, touched, &mut body))? {
                Attempt::Done(result) => return Ok(result),
                Attempt::Locked => waiting.pause(&self.path)?,
                Attempt::Doubtful if repairs == REPAIRS => {
                    let detail = "it needs repair again after each repair".to_owned();
                    return Err(StateError::Damaged { path: self.path.clone(), detail });
                }
                Attempt::Doubtful => {
                    repairs += 1;
                    // Opening it to write goes over it, repairs it, and marks it.
                    match self.exclusively_in_turn(|_, _| Ok(())) {
                        Ok(()) => {}
                        // Who may only read has to make do with the checks of each record; but
                        // one that was not closed in order cannot be read at all.
                        Err(StateError::Denied { .. }) if touched == Touched::Doubt => {}
                        Err(error) => return Err(error),
                    }
                    // Where the mark cannot be kept, once is enough.
                    touched = Touched::Read;
                }
                Attempt::Moved => {}
            }
        }
    }

    fn write<R>(
        &self,
        body: impl FnOnce(&mut dyn WriteTables) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        self.exclusively(|path, database| {
            let mut transaction = database.begin_write().map_err(|error| explain(path, error))?;
            // Else redb goes over all of the file when it opens it after a kill -9, and once more
            // after what was done to be sure of it.
            transaction.set_quick_repair(true);
            format::check_and_raise(path, &transaction)?;
            // An error drops the transaction, which undoes it.
            let result = body(&mut WriteView::open(path, &transaction)?)?;
            transaction.commit().map_err(|error| explain(path, error))?;
            Ok(result)
        })
    }

    fn compact_storage(&self) -> Result<(u64, u64), StateError> {
        if opened::open(&self.path, Access::Read)?.is_none() {
            return Ok((0, 0));
        }
        let before = self.size()?;
        self.exclusively(|path, database| {
            let transaction = database.begin_read().map_err(|error| explain(path, error))?;
            format::check(path, &transaction)?;
            drop(transaction);
            database.compact().map_err(|error| explain(path, error))
        })?;
        Ok((before, self.size()?))
    }
}
