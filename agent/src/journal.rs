//! The node's memory: former states, who changed what, and what is owed. Append-only, synced before a change.
//!
//! A record is a length, a checksum and postcard bytes. A record cut off by a crash ends the file: it is
//! dropped at the next start, since the change it announced did not happen yet.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use cm_modules::Thing;
use cm_wire::Notice;
use serde::{Deserialize, Serialize};

use crate::former::Former;

/// Names the format in the file's first bytes.
const MAGIC: &[u8; 8] = b"cmjrnl01";

/// What is written down. New kinds of records are added at the end: the encoding is positional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A thing is about to be changed for the first time.
    Before {
        /// A stable name of the thing: `path:/etc/motd`.
        thing: String,
        /// What it was.
        former: Former,
        /// The run.
        run: String,
        /// Seconds since 1970.
        time: u64,
    },
    /// A task is about to change things.
    Touched {
        /// The task's id.
        task: String,
        /// Its role.
        role: String,
        /// The things' stable names.
        things: Vec<String>,
        /// The run.
        run: String,
        /// Seconds since 1970.
        time: u64,
    },
    /// A service owes a restart or reload.
    Owed {
        /// The service's unit.
        service: String,
        /// What it owes.
        notice: Owes,
        /// The task whose change made it so.
        because: String,
        /// The run.
        run: String,
    },
    /// A service has nothing owed any more.
    Paid {
        /// The service's unit.
        service: String,
    },
}

/// A [`Notice`] as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owes {
    /// A reload.
    Reload,
    /// A restart.
    Restart,
}

impl From<Notice> for Owes {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Reload => Self::Reload,
            Notice::Restart => Self::Restart,
        }
    }
}

impl From<Owes> for Notice {
    fn from(owes: Owes) -> Self {
        match owes {
            Owes::Reload => Self::Reload,
            Owes::Restart => Self::Restart,
        }
    }
}

/// A thing's stable name in the journal.
#[must_use]
pub fn name_of(thing: &Thing) -> String {
    match thing {
        Thing::Path(path) => format!("path:{}", exact(path)),
        Thing::User(name) => format!("user:{name}"),
        Thing::Group(name) => format!("group:{name}"),
        Thing::Package(name) => format!("package:{name}"),
        Thing::Repository(name) => format!("repository:{name}"),
        Thing::Unit(name) | Thing::Service(name) => format!("unit:{name}"),
        Thing::Mount(path) => format!("mount:{}", exact(path)),
        Thing::Setting(kind, key) => format!("{}:{key}", kind.word()),
        Thing::Other(name) => name.clone(),
    }
}

/// A path as text without two paths sharing one: bytes that are no UTF-8 are written out, in quotes.
fn exact(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

/// The open journal.
pub struct Journal {
    inner: Mutex<Inner>,
}

struct Inner {
    path: PathBuf,
    /// None: read only (a plan, or nothing written yet).
    file: Option<File>,
    /// Where the last whole record ends.
    end: u64,
    known: HashSet<String>,
    owed: BTreeMap<String, Vec<(Notice, String)>>,
}

impl Journal {
    /// Reads the journal; one that is not there yet is empty.
    ///
    /// # Errors
    /// When it cannot be read or is not a journal.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut inner =
            Inner { path: path.to_owned(), file: None, end: 0, known: HashSet::new(), owed: BTreeMap::new() };
        match File::open(path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                inner.end = inner.replay(&bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// A journal that is kept nowhere: for users without one, and plans.
    #[must_use]
    pub fn empty() -> Self {
        let inner =
            Inner { path: PathBuf::new(), file: None, end: 0, known: HashSet::new(), owed: BTreeMap::new() };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What a service owes, with the tasks that made it so.
    #[must_use]
    pub fn owed(&self, service: &str) -> Vec<(Notice, String)> {
        self.inner().owed.get(service).cloned().unwrap_or_default()
    }

    /// Services that owe something.
    #[must_use]
    pub fn debtors(&self) -> Vec<String> {
        self.inner().owed.keys().cloned().collect()
    }

    /// Whether a thing's former state is already kept.
    #[must_use]
    pub fn knows(&self, thing: &str) -> bool {
        self.inner().known.contains(thing)
    }

    /// Writes records and syncs them; when this returns they outlive a power cut.
    ///
    /// # Errors
    /// When they cannot be written; then the change they announce must not happen.
    pub fn write(&self, records: &[Record]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner();
        let mut bytes = Vec::new();
        if inner.end == 0 {
            bytes.extend(MAGIC);
        }
        for record in records {
            let body = postcard::to_extend(record, Vec::new()).map_err(io::Error::other)?;
            // Records are far below 4 GiB: contents are kept apart.
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend(&blake3::hash(&body).as_bytes()[..4]);
            bytes.extend(body);
        }
        inner.append(&bytes)?;
        records.iter().for_each(|record| inner.note(record));
        Ok(())
    }
}

impl Inner {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
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
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Half a record must not stand before the next one.
            let _ = file.set_len(self.end);
            let _ = file.seek(SeekFrom::Start(self.end));
            return Err(error);
        }
        self.end += bytes.len() as u64;
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
            return Err(io::Error::other(format!(
                "{} is not a journal of this cm; move it away if nothing is to be rolled back from it",
                self.path.display()
            )));
        };
        while let Some((record, after)) = next_record(rest) {
            self.note(&record);
            rest = after;
        }
        Ok((bytes.len() - rest.len()) as u64)
    }

    fn note(&mut self, record: &Record) {
        match record {
            Record::Before { thing, .. } => {
                self.known.insert(thing.clone());
            }
            Record::Touched { .. } => {}
            Record::Owed { service, notice, because, .. } => {
                let owed = self.owed.entry(service.clone()).or_default();
                let entry = ((*notice).into(), because.clone());
                if !owed.contains(&entry) {
                    owed.push(entry);
                }
            }
            Record::Paid { service } => {
                self.owed.remove(service);
            }
        }
    }
}

fn next_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let size = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let checksum = bytes.get(4..8)?;
    let body = bytes.get(8..8usize.checked_add(size)?)?;
    if &blake3::hash(body).as_bytes()[..4] != checksum {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, &bytes[8 + size..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(service: &str, because: &str) -> Record {
        Record::Owed {
            service: service.into(),
            notice: Owes::Restart,
            because: because.into(),
            run: "r".into(),
        }
    }

    #[test]
    fn what_is_owed_is_remembered_until_it_is_paid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        journal.write(&[owed("nginx.service", "file:/a"), owed("nginx.service", "file:/a")]).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.owed("nginx.service"), [(Notice::Restart, "file:/a".to_owned())]);
        journal.write(&[Record::Paid { service: "nginx.service".into() }]).unwrap();
        assert!(Journal::open(&path).unwrap().debtors().is_empty());
    }

    #[test]
    fn a_record_cut_anywhere_is_dropped_and_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::open(&path).unwrap().write(&[owed("a", "1")]).unwrap();
        let first = std::fs::read(&path).unwrap();
        Journal::open(&path).unwrap().write(&[owed("b", "2")]).unwrap();
        let both = std::fs::read(&path).unwrap();
        for cut in first.len()..both.len() {
            std::fs::write(&path, &both[..cut]).unwrap();
            let journal = Journal::open(&path).unwrap();
            assert_eq!(journal.debtors(), ["a"], "cut at {cut}");
            journal.write(&[owed("c", "3")]).unwrap();
            assert_eq!(Journal::open(&path).unwrap().debtors(), ["a", "c"], "cut at {cut}");
        }
        for cut in 0..MAGIC.len() {
            std::fs::write(&path, &both[..cut]).unwrap();
            assert!(Journal::open(&path).unwrap().debtors().is_empty());
        }
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, "something else").unwrap();
        assert!(Journal::open(&path).is_err());
    }
}
