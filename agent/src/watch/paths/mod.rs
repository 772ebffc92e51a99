//! Paths that are watched by inotify(7): each target, and every directory on the way to it.
//!
//! A directory on the way tells that a name in it came, went or was replaced; so a file that is replaced by a
//! rename, removed, made again, or made at last below directories that were missing, is seen. The target itself
//! tells of its content and attributes. Links are never followed in the last part of a path.

mod kernel;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use kernel::{Inotify, Kind};

/// Watches of one session at most, whatever the kernel allows: each takes about a kilobyte of its memory.
const WATCHES: usize = 16_384;

/// How deep below a target what happens is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The path itself.
    Itself,
    /// And the entries of the directory there.
    Entries,
    /// And all below.
    All,
}

/// What was found out since the last question.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Numbers of those whose targets may have changed.
    pub who: BTreeSet<u32>,
    /// Events were lost: anything may have changed.
    pub lost: bool,
    /// How many events there were, whomever they concern.
    pub events: usize,
}

/// A part that cannot be watched.
#[derive(Debug, PartialEq, Eq)]
pub struct Unwatched {
    /// The first path of it.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why a path cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The user has no watches left (`fs.inotify.max_user_watches`).
    NoneLeft,
    /// More than [`WATCHES`].
    TooMany,
    /// It may not be read.
    Forbidden,
}

/// A path, and whether what a link there leads to is meant.
type Place = (PathBuf, bool);

/// All paths of a session.
pub struct PathWatch {
    inotify: Inotify,
    /// What is of interest: who asked, and how deep.
    targets: BTreeMap<PathBuf, Vec<(u32, Depth)>>,
    /// What the kernel watches, by the name we know it by.
    places: BTreeMap<Place, i32>,
    names: HashMap<i32, Vec<Place>>,
    /// Targets whose watches must be looked over.
    loose: BTreeSet<PathBuf>,
    /// Directories that came to be below a target.
    new_below: BTreeSet<PathBuf>,
    most: usize,
}

impl PathWatch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the kernel gives no inotify instance.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::new()?,
            targets: BTreeMap::new(),
            places: BTreeMap::new(),
            names: HashMap::new(),
            loose: BTreeSet::new(),
            new_below: BTreeSet::new(),
            most: WATCHES,
        })
    }

    /// Adds a target for somebody; [`PathWatch::arm`] begins to watch it.
    pub fn add(&mut self, path: PathBuf, who: u32, depth: Depth) {
        let whos = self.targets.entry(path.clone()).or_default();
        match whos.iter_mut().find(|(other, _)| *other == who) {
            Some((_, known)) if *known >= depth => return,
            Some((_, known)) => *known = depth,
            None => whos.push((who, depth)),
        }
        self.loose.insert(path);
    }

    /// Watches what is not, or no longer, watched; what cannot be is told, one path for each reason.
    pub fn arm(&mut self) -> Vec<Unwatched> {
        let mut missed = BTreeMap::new();
        for target in std::mem::take(&mut self.loose) {
            let depth = self.targets.get(&target).into_iter().flatten().map(|(_, depth)| *depth).max();
            if let Some(depth) = depth {
                self.arm_target(&target, depth, &mut missed);
            }
        }
        for folder in std::mem::take(&mut self.new_below) {
            self.arm_below(&folder, &mut missed);
        }
        missed.into_iter().map(|(reason, path)| Unwatched { path, reason }).collect()
    }

    /// Takes all events that there are, without waiting.
    ///
    /// # Errors
    /// When the kernel does not tell any more.
    pub fn read(&mut self) -> io::Result<Touched> {
        let mut touched = Touched::default();
        for event in self.inotify.read()? {
            touched.events += 1;
            match event.kind {
                Kind::Lost => {
                    self.start_anew()?;
                    touched.lost = true;
                    return Ok(touched);
                }
                Kind::Gone => self.forget_watch(event.watch),
                kind => {
                    for (folder, _) in self.names.get(&event.watch).cloned().unwrap_or_default() {
                        let path = match &event.name {
                            Some(name) => folder.join(OsStr::from_bytes(name)),
                            None => folder,
                        };
                        self.happened(&path, kind, &mut touched.who);
                    }
                }
            }
        }
        Ok(touched)
    }

    /// How many watches the kernel keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// What poll(2) asks whether there are events.
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// After events were lost nobody knows which of the watches are still those of their paths.
    fn start_anew(&mut self) -> io::Result<()> {
        self.inotify = Inotify::new()?;
        self.places.clear();
        self.names.clear();
        self.new_below.clear();
        self.loose.extend(self.targets.keys().cloned());
        Ok(())
    }

    /// Finds out whom an event concerns, and what must be watched anew because of it.
    fn happened(&mut self, path: &Path, kind: Kind, who: &mut BTreeSet<u32>) {
        let renamed = matches!(kind, Kind::Name { .. });
        if renamed {
            self.forget_below(path);
        }
        // A name above a target leads elsewhere now; what only changed above does not matter to it.
        for (target, whos) in self.targets.range(path.to_owned()..) {
            if !target.starts_with(path) || (target != path && !renamed) {
                break;
            }
            who.extend(whos.iter().map(|(who, _)| *who));
            if renamed {
                self.loose.insert(target.clone());
            }
        }
        for (distance, above) in path.ancestors().enumerate().skip(1) {
            let needed = if distance == 1 { Depth::Entries } else { Depth::All };
            for (asking, depth) in self.targets.get(above).into_iter().flatten() {
                if *depth >= needed {
                    who.insert(*asking);
                }
                if *depth == Depth::All && kind == (Kind::Name { folder: true }) {
                    self.new_below.insert(path.to_owned());
                }
            }
        }
    }

    fn arm_target(&mut self, target: &Path, depth: Depth, missed: &mut BTreeMap<Reason, PathBuf>) {
        let mut above: Vec<&Path> = target.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            if !self.place(folder, kernel::ON_THE_WAY, missed) {
                return;
            }
        }
        if depth == Depth::Itself {
            self.place(target, kernel::TARGET, missed);
        } else if !self.place(target, kernel::WHOLE_FOLDER, missed) {
            // It is no directory, or not yet.
            self.place(target, kernel::TARGET, missed);
        } else if depth == Depth::All {
            self.arm_below(target, missed);
        }
    }

    /// Watches a directory and all directories in it.
    fn arm_below(&mut self, folder: &Path, missed: &mut BTreeMap<Reason, PathBuf>) {
        let mut left = vec![folder.to_owned()];
        while let Some(folder) = left.pop() {
            if !self.place(&folder, kernel::WHOLE_FOLDER, missed) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            // The type of an entry is its own, not that of what a link points to.
            let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            left.extend(folders.map(|entry| entry.path()));
        }
    }

    /// Has the kernel watch a path; whether it does.
    fn place(&mut self, path: &Path, how: kernel::How, missed: &mut BTreeMap<Reason, PathBuf>) -> bool {
        let place = (path.to_owned(), how == kernel::ON_THE_WAY);
        let known = self.places.get(&place).copied();
        if known.is_some() && how == kernel::ON_THE_WAY {
            return true;
        }
        if self.names.len() >= self.most && known.is_none() {
            missed.entry(Reason::TooMany).or_insert_with(|| path.to_owned());
            return false;
        }
        match self.inotify.add(path, how) {
            Ok(watch) => {
                if let Some(before) = known.filter(|before| *before != watch) {
                    self.drop_name(before, &place);
                }
                let names = self.names.entry(watch).or_default();
                if !names.contains(&place) {
                    names.push(place.clone());
                }
                self.places.insert(place, watch);
                true
            }
            Err(error) => {
                let reason = match rustix::io::Errno::from_io_error(&error) {
                    Some(rustix::io::Errno::NOSPC | rustix::io::Errno::NOMEM) => Reason::NoneLeft,
                    Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Reason::Forbidden,
                    // It is not there, or no directory: what is above tells when that changes.
                    _ => return false,
                };
                missed.entry(reason).or_insert_with(|| path.to_owned());
                false
            }
        }
    }

    /// What is watched at a path and below it has another name now, or none.
    fn forget_below(&mut self, path: &Path) {
        let below: Vec<(Place, i32)> = self
            .places
            .range((path.to_owned(), false)..)
            .take_while(|((place, _), _)| place.starts_with(path))
            .map(|(place, watch)| (place.clone(), *watch))
            .collect();
        for (place, watch) in below {
            self.places.remove(&place);
            self.drop_name(watch, &place);
        }
    }

    /// A watch is no longer known by this name; without any it ends.
    fn drop_name(&mut self, watch: i32, place: &Place) {
        let Some(names) = self.names.get_mut(&watch) else { return };
        names.retain(|name| name != place);
        if names.is_empty() {
            self.names.remove(&watch);
            self.inotify.remove(watch);
        }
    }

    /// The kernel has ended a watch: what it watched is gone.
    fn forget_watch(&mut self, watch: i32) {
        for place in self.names.remove(&watch).unwrap_or_default() {
            if self.places.get(&place) == Some(&watch) {
                self.places.remove(&place);
            }
        }
    }
}
