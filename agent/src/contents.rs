//! Contents by digest: asked for once, kept in memory when small, in the spool when large.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard},
};

use cm_modules::{Contents, Problem, node::Content};
use cm_wire::{Digest, FromAgent, Hasher, Task, TreeKind, Value};

use crate::{journal::Journal, outbox::Outbox};

/// Contents up to this many bytes stay in memory.
const IN_MEMORY: u64 = 256 * 1024;
/// Looks ask for contents up to this many bytes, for their diffs.
const DIFFED: u64 = 1024 * 1024;
/// All contents in memory together, in bytes; beyond it even small ones go to the spool.
const MEMORY_BUDGET: u64 = 32 * 1024 * 1024;

/// The contents of a session.
pub struct ContentStore {
    spool: PathBuf,
    outbox: Outbox,
    shelf: Mutex<Shelf>,
    arrived: Condvar,
}

#[derive(Default)]
struct Shelf {
    here: HashMap<Digest, Result<Content, Problem>>,
    asked: HashSet<Digest>,
    /// Sizes the controller has promised; an arriving content may not be larger.
    sizes: HashMap<Digest, u64>,
    arriving: HashMap<Digest, Arriving>,
    in_memory: u64,
    /// Contents that one task alone wants: their spooled files may become what they are for.
    single: HashSet<Digest>,
    /// While gathering, fetching notes what is missing and fails instead of waiting.
    gathering: Option<HashMap<Digest, u64>>,
    closed: bool,
}

struct Arriving {
    target: Target,
    hasher: Hasher,
    size: u64,
}

enum Target {
    Memory(Vec<u8>),
    File(File, PathBuf),
}

/// The message of a fetch that was put off; see [`ContentStore::gather`].
const PUT_OFF: &str = "its content is on the way";

impl ContentStore {
    /// Makes an empty store that spools large contents into this folder.
    #[must_use]
    pub fn new(spool: PathBuf, outbox: Outbox) -> Self {
        Self { spool, outbox, shelf: Mutex::default(), arrived: Condvar::new() }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // A panic while holding the lock leaves maps that are still maps.
        self.shelf.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Says what the tasks of a run want: a content that is wanted once is given away, and asked for again if it is
    /// wanted all the same.
    pub fn expect(&self, tasks: &[Task]) {
        let mut counts = HashMap::new();
        tasks.iter().flat_map(|task| task.params.values()).for_each(|value| count(value, &mut counts));
        self.shelf().single =
            counts.into_iter().filter(|(_, often)| *often == 1).map(|(digest, _)| digest).collect();
    }

    /// From here to [`ContentStore::get_gathered`] nothing waits: what is missing is noted.
    pub fn gather(&self) {
        self.shelf().gathering = Some(HashMap::new());
    }

    /// Asks for all that was noted in one message and waits for it; whether there was anything.
    pub fn get_gathered(&self) -> bool {
        let mut shelf = self.shelf();
        let missing = shelf.gathering.take().unwrap_or_default();
        if missing.is_empty() {
            return false;
        }
        self.ask(&mut shelf, missing.iter().map(|(digest, size)| (*digest, *size)));
        while !shelf.closed && missing.keys().any(|digest| !shelf.here.contains_key(digest)) {
            shelf = self.arrived.wait(shelf).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        true
    }

    /// Whether a problem only says that a content was put off while gathering.
    #[must_use]
    pub fn put_off(problem: &Problem) -> bool {
        problem.message == PUT_OFF
    }

    fn ask(&self, shelf: &mut Shelf, wanted: impl Iterator<Item = (Digest, u64)>) {
        let mut new = Vec::new();
        for (digest, size) in wanted {
            if !shelf.here.contains_key(&digest) && shelf.asked.insert(digest) {
                shelf.sizes.insert(digest, size);
                new.push(digest);
            }
        }
        if !new.is_empty() {
            self.outbox.send(FromAgent::Need(new));
        }
    }

    /// Takes a piece of a content; pieces of one content come in order.
    pub fn receive(&self, digest: Digest, bytes: &[u8], last: bool) {
        let mut shelf = self.shelf();
        if !shelf.asked.contains(&digest) {
            return;
        }
        let outcome = self.take_piece(&mut shelf, digest, bytes, last);
        match outcome {
            Ok(None) => {}
            Ok(Some(content)) => {
                shelf.here.insert(digest, Ok(content));
                self.arrived.notify_all();
            }
            Err(error) => {
                shelf.arriving.remove(&digest);
                shelf.asked.remove(&digest);
                shelf.here.insert(digest, Err(error));
                self.arrived.notify_all();
            }
        }
    }

    fn take_piece(
        &self,
        shelf: &mut Shelf,
        digest: Digest,
        bytes: &[u8],
        last: bool,
    ) -> Result<Option<Content>, Problem> {
        let promised = shelf.sizes.get(&digest).copied().unwrap_or(0);
        let mut arriving = match shelf.arriving.remove(&digest) {
            Some(arriving) => arriving,
            None => self.begin(shelf, digest, promised).map_err(|error| self.spool_error(&error))?,
        };
        arriving.size += bytes.len() as u64;
        if arriving.size > promised {
            return Err(Problem::new("the controller sent more than it promised"));
        }
        arriving.hasher.update(bytes);
        match &mut arriving.target {
            Target::Memory(memory) => memory.extend_from_slice(bytes),
            Target::File(file, _) => file.write_all(bytes).map_err(|error| self.spool_error(&error))?,
        }
        if !last {
            shelf.arriving.insert(digest, arriving);
            return Ok(None);
        }
        if arriving.hasher.finish() != digest {
            return Err(Problem::new("the content changed on the controller while it was sent"));
        }
        Ok(Some(match arriving.target {
            Target::Memory(memory) => Content::Bytes(memory),
            Target::File(_, path) if shelf.single.contains(&digest) => {
                Content::Given { path, digest, size: arriving.size }
            }
            Target::File(_, path) => Content::Spooled { path, digest, size: arriving.size },
        }))
    }

    fn begin(&self, shelf: &mut Shelf, digest: Digest, size: u64) -> io::Result<Arriving> {
        let small = size <= IN_MEMORY && shelf.in_memory + size <= MEMORY_BUDGET;
        let spooled = if small { None } else { Some(self.open_spool(digest)) };
        let target = match spooled {
            Some(Ok((file, path))) => Target::File(file, path),
            // A plan on a node whose disk is full or read-only still shows its diffs.
            Some(Err(error)) if size > DIFFED => return Err(error),
            _ => {
                shelf.in_memory += size;
                // Bounded by the lines above.
                Target::Memory(Vec::with_capacity(size as usize))
            }
        };
        Ok(Arriving { target, hasher: Hasher::default(), size: 0 })
    }

    fn open_spool(&self, digest: Digest) -> io::Result<(File, PathBuf)> {
        let path = self.spool.join(format!("{digest}.{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((file, path))
    }

    fn spool_error(&self, error: &io::Error) -> Problem {
        let problem = Problem::new(format!("cannot keep it in {}: {error}", self.spool.display()));
        match error.kind() {
            io::ErrorKind::StorageFull => problem.hint("the file system is full: `df -h` on the node"),
            io::ErrorKind::ReadOnlyFilesystem => {
                problem.hint("the file system is mounted read-only; `dmesg` on the node may say why")
            }
            _ => problem,
        }
    }

    /// Notes that the controller cannot give a content.
    pub fn refuse(&self, digest: Digest, reason: String) {
        let mut shelf = self.shelf();
        shelf.arriving.remove(&digest);
        shelf.here.insert(digest, Err(Problem::new(reason)));
        self.arrived.notify_all();
    }

    /// Keeps nothing of what has come so far; what is wanted again is asked for again.
    pub fn forget(&self) {
        let mut shelf = self.shelf();
        if shelf.asked.is_empty() {
            return;
        }
        let closed = shelf.closed;
        *shelf = Shelf { closed, ..Shelf::default() };
        drop(shelf);
        self.sweep();
    }

    /// The controller is gone: nobody waits any more.
    pub fn close(&self) {
        self.shelf().closed = true;
        self.arrived.notify_all();
    }

    /// Removes what was spooled by this process, and by processes that no longer are.
    pub fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.spool) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.rsplit('.').next()).unwrap_or_default().to_owned();
            let alive = owner != std::process::id().to_string()
                && std::path::Path::new("/proc").join(&owner).exists();
            if !alive {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Counts the contents that a parameter names.
fn count(value: &Value, counts: &mut HashMap<Digest, u32>) {
    match value {
        Value::Content(content) => *counts.entry(content.digest).or_default() += 1,
        Value::Tree(entries) => {
            for entry in entries {
                if let TreeKind::File { content, .. } = &entry.kind {
                    *counts.entry(content.digest).or_default() += 1;
                }
            }
        }
        Value::List(values) => values.iter().for_each(|value| count(value, counts)),
        Value::Map(values) => values.values().for_each(|value| count(value, counts)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {}
    }
}

impl Contents for ContentStore {
    fn fetch(&self, digest: &Digest, size: u64) -> Result<Content, Problem> {
        let mut shelf = self.shelf();
        loop {
            match shelf.here.get(digest) {
                // It became a file, of a task that is tried again.
                Some(Ok(Content::Given { path, .. })) if !path.exists() => {
                    shelf.here.remove(digest);
                    shelf.asked.remove(digest);
                }
                Some(Ok(content)) => return Ok(content.clone()),
                Some(Err(problem)) => {
                    let message = format!("its content could not be had: {}", problem.message);
                    return Err(Problem { message, ..problem.clone() });
                }
                None => {}
            }
            if shelf.closed {
                return Err(Problem::new("the controller went away before it sent the content"));
            }
            if let Some(gathering) = &mut shelf.gathering {
                gathering.insert(*digest, size);
                return Err(Problem::new(PUT_OFF));
            }
            self.ask(&mut shelf, std::iter::once((*digest, size)));
            shelf = self.arrived.wait(shelf).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn announce(&self, contents: &[(Digest, u64)]) {
        let mut shelf = self.shelf();
        self.ask(&mut shelf, contents.iter().copied());
    }
}

/// Contents that the node has itself from earlier runs, before those of the controller.
pub struct FromJournal<'a> {
    /// Has former contents.
    pub journal: &'a Journal,
    /// Has what the controller sends.
    pub store: &'a ContentStore,
}

impl Contents for FromJournal<'_> {
    fn fetch(&self, digest: &Digest, size: u64) -> Result<Content, Problem> {
        match self.journal.content(digest, size) {
            Some(content) => Ok(content),
            None => self.store.fetch(digest, size),
        }
    }

    fn program(&self, digest: &Digest, size: u64) -> Result<PathBuf, Problem> {
        self.journal.programs().get(digest, || self.store.fetch(digest, size))
    }

    fn announce(&self, contents: &[(Digest, u64)]) {
        let missing: Vec<(Digest, u64)> =
            contents.iter().filter(|(digest, size)| !self.journal.has(digest, *size)).copied().collect();
        if !missing.is_empty() {
            self.store.announce(&missing);
        }
    }
}

#[cfg(test)]
mod tests;
