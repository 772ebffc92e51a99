//! The node's memory: former states, who changed what, and what is owed. Append-only, synced before a change.
//!
//! A record cut off by a crash ends the file: it is dropped at the next start, since the change it announced
//! did not happen yet. When the file has grown far beyond what it says, it is written anew.

mod kept;
mod ledger;
mod record;

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use cm_modules::{
    Node,
    former::Keep,
    node::{Content, Stat},
};
use cm_wire::Digest;

pub use kept::KeptContents;
pub use ledger::{Claim, Ledger, Memory, OpenTransaction, RunMemory, Version};
pub use record::{Owes, Owner, Record};

use crate::{programs::Programs, state_dir::StateDir};

/// Names the format in the file's first bytes.
const MAGIC: &[u8; 8] = b"cmjrnl02";
/// Names the format before it, which knew no runs: such a journal is set aside, not read.
const FORMER_MAGIC: &[u8; 8] = b"cmjrnl01";
/// Bytes of journal and contents where the controller does not say.
const LIMIT: u64 = 256 * 1024 * 1024;
/// Contents up to this many bytes are read at once; larger ones in pieces.
const IN_MEMORY: u64 = 1024 * 1024;
/// Runs whose states in between are remembered when the journal is written anew.
const RUNS: usize = 200;
/// A journal below this many bytes is not worth writing anew.
const SMALL: u64 = 256 * 1024;

/// The open journal.
pub struct Journal {
    inner: Mutex<Inner>,
    kept: KeptContents,
    programs: Programs,
    applied: PathBuf,
    limit: u64,
}

struct Inner {
    path: PathBuf,
    /// Its file was not read: what it says does not matter unless something is to be changed.
    asleep: bool,
    /// None: read only (a plan, or nothing written yet).
    file: Option<File>,
    /// Where the last whole record ends.
    end: u64,
    /// What is there is of the format before this one.
    outdated: bool,
    ledger: Ledger,
    /// The run's first record, written with its first change.
    opening: Option<Record>,
    /// Bytes of contents, counted when first needed.
    kept: Option<u64>,
}

impl Journal {
    /// Reads the journal; one that is not there yet is empty.
    ///
    /// # Errors
    /// When it cannot be read or is not a journal.
    pub fn open(state: &StateDir, limit: u64) -> io::Result<Self> {
        let journal = Self::asleep(state, limit);
        journal.wake()?;
        Ok(journal)
    }

    /// A journal that says nothing until it is woken, or written to: where an earlier run found that it says
    /// nothing that matters to one that changes nothing (see `settled`).
    #[must_use]
    pub fn asleep(state: &StateDir, limit: u64) -> Self {
        let mut journal = Self::empty_at(state.journal(), state, limit);
        journal.inner.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).asleep = true;
        journal
    }

    /// Reads the journal, where that was put off.
    ///
    /// # Errors
    /// When it cannot be read or is not a journal.
    pub fn wake(&self) -> io::Result<()> {
        self.inner().wake()
    }

    /// Whether it was not read, because nothing asked for it.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.inner().asleep
    }

    /// A journal that says nothing: where it cannot be read, and nothing is to be changed.
    #[must_use]
    pub fn empty(state: &StateDir) -> Self {
        Self::empty_at(state.journal(), state, 0)
    }

    fn empty_at(path: PathBuf, state: &StateDir, limit: u64) -> Self {
        let inner = Inner {
            path,
            asleep: false,
            file: None,
            end: 0,
            outdated: false,
            ledger: Ledger::default(),
            opening: None,
            kept: None,
        };
        Self {
            inner: Mutex::new(inner),
            kept: KeptContents::new(state.kept()),
            programs: Programs::new(state.programs()),
            applied: state.applied(),
            limit: if limit == 0 { LIMIT } else { limit },
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The file beside it that says what was applied.
    #[must_use]
    pub fn applied(&self) -> &Path {
        &self.applied
    }

    /// Names the run that writes from here on.
    pub fn begin(&self, run: &str, holder: &str, time: u64) {
        self.inner().opening = Some(Record::Began { run: run.to_owned(), holder: holder.to_owned(), time });
    }

    /// Reads from what the journal says.
    pub fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.inner().ledger)
    }

    /// Whether a content of this length in bytes is kept.
    #[must_use]
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        std::fs::metadata(self.kept.place(digest)).is_ok_and(|metadata| metadata.len() == size)
    }

    /// A kept content; none where it is not there.
    #[must_use]
    pub fn content(&self, digest: &Digest, size: u64) -> Option<Content> {
        if !self.has(digest, size) {
            return None;
        }
        let path = self.kept.place(digest);
        if size <= IN_MEMORY {
            let bytes = std::fs::read(&path).ok()?;
            return (Digest::of(&bytes) == *digest).then_some(Content::Bytes(bytes));
        }
        Some(Content::Spooled { path, digest: *digest, size })
    }

    /// A kept snapshot.
    #[must_use]
    pub fn snapshot(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.kept.place(digest)).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Keeps bytes that are not a file's: a snapshot.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_bytes(&self, bytes: &[u8]) -> io::Result<Digest> {
        // Before it is there: what no record speaks of yet must not be swept away.
        self.make_room(bytes.len() as u64)?;
        self.kept.keep_bytes(bytes)
    }

    /// Programs of the repository's own modules.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Removes programs that no thing here needs and that were not used of late.
    pub fn sweep_programs(&self) {
        let wanted = self.read(|ledger| ledger.calls.values().map(|call| call.digest).collect());
        self.programs.sweep(&wanted);
    }

    /// Takes records in for this process alone: what a plan supposes.
    pub fn suppose(&self, records: &[Record]) {
        let mut inner = self.inner();
        records.iter().for_each(|record| inner.ledger.note(record));
    }

    /// Writes records and syncs them; when this returns they outlive a power cut.
    ///
    /// # Errors
    /// When they cannot be written; then the change they announce must not happen.
    pub fn write(&self, records: &[Record]) -> io::Result<()> {
        self.append(records, true)
    }

    /// Writes records that a crash may take along.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_soon(&self, records: &[Record]) -> io::Result<()> {
        self.append(records, false)
    }

    fn append(&self, records: &[Record], sync: bool) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner();
        inner.wake()?;
        let opening = inner.opening.take();
        let mut bytes = Vec::new();
        if inner.end == 0 {
            bytes.extend(MAGIC);
        }
        for record in opening.iter().chain(records) {
            record::push(&mut bytes, record).map_err(io::Error::other)?;
        }
        if let Err(error) = inner.append(&bytes, sync) {
            inner.opening = opening;
            return Err(error);
        }
        opening.iter().chain(records).for_each(|record| inner.ledger.note(record));
        Ok(())
    }

    /// Ends the run: writes it down, and writes the journal anew where that is worth it.
    ///
    /// # Errors
    /// When it cannot be written; what was written before stays whole.
    pub fn finish(&self, run: &str) -> io::Result<()> {
        if self.inner().opening.is_some() {
            // The run changed nothing.
            return Ok(());
        }
        self.write_soon(&[Record::Ended { run: run.to_owned() }])?;
        self.make_room(0)?;
        let mut inner = self.inner();
        if inner.end < SMALL.min(self.limit / 4) {
            return Ok(());
        }
        let mut ledger = inner.ledger.clone();
        ledger.forget_old(RUNS);
        let mut bytes = MAGIC.to_vec();
        for record in ledger.records() {
            record::push(&mut bytes, &record).map_err(io::Error::other)?;
        }
        if (bytes.len() as u64) * 2 > inner.end {
            return Ok(());
        }
        inner.replace(&bytes, ledger)?;
        let wanted = inner.ledger.contents();
        drop(inner);
        self.kept.sweep(&wanted);
        Ok(())
    }

    /// Makes room for a content of so many bytes: states in between go first, of the oldest runs. Whether
    /// there is room now.
    fn make_room(&self, bytes: u64) -> io::Result<bool> {
        let mut inner = self.inner();
        inner.wake()?;
        let used = match inner.kept {
            Some(used) => used,
            None => {
                // What no state refers to any more, such as the snapshot of a transaction.
                self.kept.sweep(&inner.ledger.contents());
                self.kept.size()
            }
        };
        let total = used + inner.end;
        if total + bytes <= self.limit {
            inner.kept = Some(used);
            return Ok(true);
        }
        let mut gone = Vec::new();
        let mut freed = 0;
        for (digest, size) in inner.ledger.expendable() {
            if total + bytes - freed <= self.limit || bytes > self.limit {
                break;
            }
            freed += size;
            gone.push(digest);
        }
        inner.kept = Some(used.saturating_sub(freed));
        drop(inner);
        if !gone.is_empty() {
            self.write(&[Record::Dropped { contents: gone.clone() }])?;
            gone.iter().for_each(|digest| self.kept.remove(digest));
        }
        Ok(total + bytes - freed <= self.limit)
    }
}

impl Keep for Journal {
    fn keep(&self, node: &dyn Node, path: &Path, stat: &Stat) -> io::Result<(Digest, bool)> {
        if !self.make_room(stat.size)? {
            return Ok((node.digest(path)?, false));
        }
        let digest = if stat.size <= IN_MEMORY {
            self.kept.keep_bytes(&node.read(path, IN_MEMORY)?)?
        } else {
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            // Flags of open(2) are small and not negative.
            let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
            self.kept.keep_reader(file)?
        };
        let mut inner = self.inner();
        inner.kept = inner.kept.map(|used| used + stat.size);
        Ok((digest, true))
    }
}

impl Inner {
    fn wake(&mut self) -> io::Result<()> {
        if !self.asleep {
            return Ok(());
        }
        match std::fs::read(&self.path) {
            Ok(bytes) => self.end = self.replay(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.asleep = false;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], sync: bool) -> io::Result<()> {
        if self.file.is_none() {
            if self.outdated {
                std::fs::rename(&self.path, self.path.with_extension("01"))?;
                self.outdated = false;
            }
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
            // What a crash left behind the last whole record is cut off.
            file.set_len(self.end)?;
            file.seek(SeekFrom::Start(self.end))?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            self.file = Some(file);
        }
        // Opened just above where it was not.
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let written = file.write_all(bytes).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // Half a record must not stand before the next one.
            let _ = file.set_len(self.end);
            let _ = file.seek(SeekFrom::Start(self.end));
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Writes the whole file anew; a reader sees the old or the new one.
    fn replace(&mut self, bytes: &[u8], ledger: Ledger) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.file = Some(file);
        self.end = bytes.len() as u64;
        self.ledger = ledger;
        Ok(())
    }

    /// Reads all records; the offset behind the last whole one.
    fn replay(&mut self, bytes: &[u8]) -> io::Result<u64> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            if MAGIC.starts_with(bytes) {
                return Ok(0);
            }
            if bytes.starts_with(FORMER_MAGIC) {
                self.outdated = true;
                return Ok(0);
            }
            return Err(io::Error::other(format!(
                "{} is not a journal of this cm; move it away if nothing is to be rolled back from it",
                self.path.display()
            )));
        };
        while let Some((record, after)) = record::take(rest) {
            self.ledger.note(&record);
            rest = after;
        }
        Ok((bytes.len() - rest.len()) as u64)
    }
}

#[cfg(test)]
mod tests;
