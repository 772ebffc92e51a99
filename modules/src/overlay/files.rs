//! Files of an overlay: changes in memory over those of the node below; and of the empty node.
//!
//! Paths are resolved through links as the kernel does it, so that a file written through a linked
//! directory is found again by its other name.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::{OsStr, OsString},
    io::{self, Read},
    ops::Bound,
    path::{Component, Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use cm_wire::Digest;

use super::{Empty, Overlay};
use crate::{
    Problem,
    node::{Attributes, Content, Extended, FileKind, Files, Source, Stat, Validate, led_astray},
    real::read_spooled,
};

/// Links followed in one path before it counts as a loop (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Inode numbers of what exists only in memory start here.
const FIRST_INODE: u64 = 1 << 62;

/// What a path is resolved for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Nothing is changed.
    Look,
    /// What is there is changed: links of others are not trusted.
    Change,
    /// Something is made: directories that may yet appear are assumed, too.
    Make,
}

/// What has changed over the node below.
#[derive(Default)]
pub(super) struct FilesLayer {
    changes: Mutex<Changes>,
    /// By mount point, what a mount of this layer hides: the changes at it and below it.
    hidden: Mutex<BTreeMap<PathBuf, Changes>>,
    made: AtomicU64,
    /// Extended attributes of what is in the changes, where they are not as below.
    extended: Mutex<BTreeMap<PathBuf, Extended>>,
}

/// By path without links in its parents. What is not here is as below, unless something above it is
/// here and not [`Body::Below`]: that hides all of the node below under it.
type Changes = BTreeMap<PathBuf, Option<Entry>>;

/// Something that is there; none in [`Changes`] for what is gone.
#[derive(Clone, Debug)]
struct Entry {
    stat: Stat,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// What the node below has at this path, with other attributes perhaps.
    Below,
    /// A file that was written.
    File(Content),
    /// A directory that was made; nothing of the node below shows in it.
    Directory,
    /// A link that was made.
    Link(PathBuf),
    /// What is at this path, shown here by a bind mount.
    Bound(PathBuf),
}

impl FilesLayer {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        // Every change of the map is one call; it is whole even where a thread panicked.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something new at this path or below it has none of the old one's.
    fn forget_extended(&self, place: &Path) {
        let mut extended = self.extended.lock().unwrap_or_else(PoisonError::into_inner);
        extended.retain(|path, _| !path.starts_with(place));
    }

    fn hidden(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Changes>> {
        // The same.
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stat(&self, kind: FileKind, attributes: Attributes, size: u64) -> Stat {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
        Stat {
            kind,
            mode: attributes.mode & 0o7777,
            uid: attributes.uid,
            gid: attributes.gid,
            size,
            device: 0,
            inode: FIRST_INODE + self.made.fetch_add(1, Ordering::Relaxed),
            modified: now,
            changed: now,
        }
    }
}

impl Overlay<'_> {
    /// What is at a path whose parents have no links.
    fn entry(&self, changes: &Changes, path: &Path) -> io::Result<Option<Entry>> {
        if let Some(entry) = changes.get(path) {
            return Ok(entry.clone());
        }
        let nearest = path.ancestors().skip(1).find_map(|ancestor| changes.get(ancestor));
        match nearest {
            None | Some(Some(Entry { body: Body::Below, .. })) => {
                Ok(self.below.stat(path)?.map(|stat| Entry { stat, body: Body::Below }))
            }
            Some(_) => Ok(None),
        }
    }

    fn link_target(&self, path: &Path, entry: &Entry) -> io::Result<PathBuf> {
        match &entry.body {
            Body::Link(target) => Ok(target.clone()),
            _ => self.below.read_link(path),
        }
    }

    /// The path of a directory without links. Where something is made and may yet appear, directories
    /// that are missing are taken to be there from now on.
    fn resolve(&self, changes: &mut Changes, directory: &Path, purpose: Purpose) -> io::Result<PathBuf> {
        let mut found = PathBuf::from("/");
        let mut left: VecDeque<OsString> = parts(directory);
        let mut links = 0;
        let wary = purpose != Purpose::Look && self.own_ids().0 == 0;
        let mut foreign: Vec<(OsString, u32)> = Vec::new();
        while let Some(part) = left.pop_front() {
            if part == ".." {
                found.pop();
                continue;
            }
            let next = found.join(&part);
            match self.entry(changes, &next)? {
                Some(entry) if entry.stat.kind == FileKind::Link => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(rustix::io::Errno::LOOP.into());
                    }
                    if wary && entry.stat.uid != 0 {
                        foreign.push((part, entry.stat.uid));
                    }
                    let target = self.link_target(&next, &entry)?;
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    for part in parts(&target).into_iter().rev() {
                        left.push_front(part);
                    }
                }
                Some(entry) if entry.stat.kind == FileKind::Directory => {
                    found = if let Body::Bound(source) = entry.body { source } else { next };
                }
                Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
                None if purpose == Purpose::Make && self.anything_may_appear() => {
                    let root = Attributes { mode: 0o755, uid: 0, gid: 0 };
                    let stat = self.files.stat(FileKind::Directory, root, 0);
                    changes.insert(next.clone(), Some(Entry { stat, body: Body::Directory }));
                    found = next;
                }
                None => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        if !foreign.is_empty() {
            let owner = self.entry(changes, &found)?.map_or(0, |entry| entry.stat.uid);
            if let Some((name, link_owner)) = foreign.into_iter().find(|(_, other)| *other != owner) {
                return Err(led_astray(&name, directory, link_owner, owner));
            }
        }
        Ok(found)
    }

    /// The path with its parents resolved.
    fn place(&self, changes: &mut Changes, path: &Path, purpose: Purpose) -> io::Result<PathBuf> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(PathBuf::from("/"));
        };
        Ok(self.resolve(changes, parent, purpose)?.join(name))
    }

    /// What is at a path, and the path with its parents resolved.
    fn find(&self, path: &Path) -> io::Result<(PathBuf, Entry)> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Look)?;
        let place = through_bind(&changes, place);
        match self.entry(&changes, &place)? {
            Some(entry) => Ok((place, entry)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn find_file(&self, path: &Path) -> io::Result<(PathBuf, Entry)> {
        let (place, entry) = self.find(path)?;
        if entry.stat.kind == FileKind::File {
            Ok((place, entry))
        } else {
            Err(entry.stat.kind.instead_of("a file"))
        }
    }

    /// What the layer holds of a file, with the path it has below; none: what is below holds.
    pub(super) fn content_at(&self, path: &Path) -> io::Result<(PathBuf, Option<Content>)> {
        let (place, entry) = self.find_file(path)?;
        match entry.body {
            Body::File(content) => Ok((place, Some(content))),
            _ => Ok((place, None)),
        }
    }

    fn names(&self, changes: &Changes, place: &Path, directory: &Entry) -> io::Result<BTreeSet<OsString>> {
        let mut names: BTreeSet<OsString> = match directory.body {
            Body::Below => crate::in_order::set(self.below.list(place)?),
            _ => BTreeSet::new(),
        };
        for (path, entry) in under(changes, place) {
            if path.parent() != Some(place) {
                continue;
            }
            let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
            if entry.is_some() {
                names.insert(name);
            } else {
                names.remove(&name);
            }
        }
        Ok(names)
    }

    /// What a mount does to its mount point: another directory is seen there, empty and with these
    /// attributes, or what is at `source`. Without a mount point nothing.
    pub(super) fn mount_over(
        &self,
        path: &Path,
        source: Option<&Path>,
        attributes: Attributes,
    ) -> io::Result<()> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Look)?;
        let Some(there) = self.entry(&changes, &place)? else { return Ok(()) };
        let entry = match source {
            Some(source) => {
                let source = self.place(&mut changes, source, Purpose::Look)?;
                let source = through_bind(&changes, source);
                let Some(shown) = self.entry(&changes, &source)? else { return Ok(()) };
                Entry { stat: shown.stat, body: Body::Bound(source) }
            }
            None if there.stat.kind == FileKind::Directory => {
                Entry { stat: self.files.stat(FileKind::Directory, attributes, 0), body: Body::Directory }
            }
            None => return Ok(()),
        };
        let hidden = take_at(&mut changes, &place);
        // Of several mounts on one place the first hides what was there.
        self.files.hidden().entry(place.clone()).or_insert(hidden);
        changes.insert(place, Some(entry));
        Ok(())
    }

    /// What is seen at a mount point again. Under a mount of the node below nobody can look: an empty
    /// directory with these attributes.
    pub(super) fn unmount_at(&self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Look)?;
        let directory =
            self.entry(&changes, &place)?.is_some_and(|entry| entry.stat.kind == FileKind::Directory);
        let hidden = self.files.hidden().remove(&place);
        if hidden.is_some() || directory {
            take_at(&mut changes, &place);
        }
        match hidden {
            Some(hidden) => changes.extend(hidden),
            None if directory => {
                let stat = self.files.stat(FileKind::Directory, attributes, 0);
                changes.insert(place, Some(Entry { stat, body: Body::Directory }));
            }
            None => {}
        }
        Ok(())
    }

    /// Changes the attributes of what is there.
    fn alter(&self, path: &Path, alter: impl FnOnce(&mut Stat) -> io::Result<()>) -> io::Result<()> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Change)?;
        let place = through_bind(&changes, place);
        let mut entry = self.entry(&changes, &place)?.ok_or(io::ErrorKind::NotFound)?;
        alter(&mut entry.stat)?;
        changes.insert(place, Some(entry));
        Ok(())
    }

    /// Puts something where there is nothing or something that is no directory.
    fn put(
        &self,
        path: &Path,
        wanted: &str,
        make: impl FnOnce(&Changes, &Path) -> io::Result<Entry>,
    ) -> io::Result<()> {
        let mut changes = self.files.lock();
        if path.parent().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the root directory"));
        }
        let place = self.place(&mut changes, path, Purpose::Make)?;
        if let Some(there) = self.entry(&changes, &place)?
            && there.stat.kind == FileKind::Directory
        {
            return Err(there.stat.kind.instead_of(wanted));
        }
        let entry = make(&changes, &place)?;
        changes.insert(place, Some(entry));
        Ok(())
    }
}

impl Files for Overlay<'_> {
    fn own_ids(&self) -> (u32, u32) {
        self.below.own_ids()
    }

    fn attributes_of_new(&self, path: &Path, mode: u32, kind: FileKind) -> io::Result<Attributes> {
        let (uid, gid) = self.own_ids();
        let own = Attributes { mode, uid, gid };
        let mut changes = self.files.lock();
        match self.resolve(&mut changes, path.parent().unwrap_or(path), Purpose::Look) {
            Ok(parent) => {
                Ok(self.entry(&changes, &parent)?.map_or(own, |parent| own.made_in(&parent.stat, kind)))
            }
            Err(error) if is_missing(&error) => Ok(own),
            Err(error) => Err(error),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        if self.files.lock().is_empty() {
            return self.below.stat(path);
        }
        match self.find(path) {
            Ok((_, entry)) => Ok(Some(entry.stat)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let (place, entry) = self.find_file(path)?;
        match entry.body {
            Body::File(content) if content.size() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            Body::File(Content::Bytes(bytes)) => Ok(bytes),
            Body::File(Content::Spooled { path, .. } | Content::Given { path, .. }) => {
                read_spooled(&path, limit)
            }
            Body::File(content @ Content::Held(_)) => {
                let mut bytes = Vec::new();
                Source::of_content(&content)?.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            _ => self.below.read(&place, limit),
        }
    }

    fn digest(&self, path: &Path) -> io::Result<Digest> {
        let (place, entry) = self.find_file(path)?;
        match entry.body {
            Body::File(content) => Ok(content.digest()),
            _ => self.below.digest(&place),
        }
    }

    fn known_digest(&self, path: &Path, stat: &Stat) -> io::Result<Option<Digest>> {
        let (place, entry) = self.find_file(path)?;
        match entry.body {
            Body::File(content) => Ok(Some(content.digest())),
            _ => self.below.known_digest(&place, stat),
        }
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let (place, entry) = self.find(path)?;
        if entry.stat.kind != FileKind::Link {
            return Err(entry.stat.kind.instead_of("a link"));
        }
        self.link_target(&place, &entry)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let (place, entry) = self.find(path)?;
        if entry.stat.kind != FileKind::Directory {
            return Err(entry.stat.kind.instead_of("a directory"));
        }
        Ok(self.names(&self.files.lock(), &place, &entry)?.into_iter().collect())
    }

    /// Without `validate`: there is no file that a command could read, and what the command itself
    /// reads may not be there yet.
    fn write(
        &self,
        path: &Path,
        content: &Content,
        attributes: Attributes,
        _validate: Option<Validate<'_>>,
    ) -> io::Result<Result<(), Problem>> {
        let replaces = self.stat(path)?.is_some_and(|stat| stat.kind == FileKind::File);
        let extended = if replaces { self.extended(path)? } else { Extended::new() };
        self.put(path, "a file", |_, _| {
            let stat = self.files.stat(FileKind::File, attributes, content.size());
            Ok(Entry { stat, body: Body::File(content.clone()) })
        })?;
        self.set_extended(path, &extended)?;
        Ok(Ok(()))
    }

    fn make_directory(&self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Make)?;
        if self.entry(&changes, &place)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let stat = self.files.stat(FileKind::Directory, attributes, 0);
        changes.insert(place, Some(Entry { stat, body: Body::Directory }));
        Ok(())
    }

    fn make_link(&self, path: &Path, target: &Path) -> io::Result<()> {
        let (uid, gid) = self.own_ids();
        self.put(path, "a link", |changes, place| {
            if target.as_os_str().is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let mut attributes = Attributes { mode: 0o777, uid, gid };
            if let Some(parent) = place.parent()
                && let Some(parent) = self.entry(changes, parent)?
            {
                attributes = attributes.made_in(&parent.stat, FileKind::Link);
            }
            if let Some(old) = self.entry(changes, place)?
                && old.stat.kind == FileKind::Link
            {
                (attributes.uid, attributes.gid) = (old.stat.uid, old.stat.gid);
            }
            let stat = self.files.stat(FileKind::Link, attributes, target.as_os_str().len() as u64);
            Ok(Entry { stat, body: Body::Link(target.to_owned()) })
        })
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.alter(path, |stat| {
            if stat.kind == FileKind::Link {
                return Err(stat.kind.instead_of("a file or directory"));
            }
            stat.mode = mode & 0o7777;
            Ok(())
        })
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.alter(path, |stat| {
            (stat.uid, stat.gid) = (uid, gid);
            if stat.kind == FileKind::File {
                // What chown(2) does to a program, so that nobody gives away a setuid one.
                let setgid = if stat.mode & 0o010 == 0 { 0 } else { 0o2000 };
                stat.mode &= !(0o4000 | setgid);
            }
            Ok(())
        })
    }

    fn extended(&self, path: &Path) -> io::Result<Extended> {
        let (place, entry) = self.find(path)?;
        if let Some(given) = self.files.extended.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Ok(given.clone());
        }
        if matches!(entry.body, Body::Below) { self.below.extended(&place) } else { Ok(Extended::new()) }
    }

    fn set_extended(&self, path: &Path, extended: &Extended) -> io::Result<()> {
        let (place, _) = self.find(path)?;
        let mut given = self.files.extended.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(place, extended.clone());
        Ok(())
    }

    fn set_modified(&self, path: &Path, modified: i128) -> io::Result<()> {
        self.alter(path, |stat| {
            stat.modified = modified;
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Change)?;
        let entry = self.entry(&changes, &place)?.ok_or(io::ErrorKind::NotFound)?;
        if place.parent().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the root directory"));
        }
        if entry.stat.kind == FileKind::Directory && !self.names(&changes, &place, &entry)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        forget_under(&mut changes, &place);
        self.files.forget_extended(&place);
        changes.insert(place, None);
        Ok(())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let mut changes = self.files.lock();
        let place = self.place(&mut changes, path, Purpose::Change)?;
        self.entry(&changes, &place)?.ok_or(io::ErrorKind::NotFound)?;
        if place.parent().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the root directory"));
        }
        forget_under(&mut changes, &place);
        self.files.forget_extended(&place);
        changes.insert(place, None);
        Ok(())
    }
}

/// Takes out the changes at a path and under it.
fn take_at(changes: &mut Changes, place: &Path) -> Changes {
    let paths: Vec<PathBuf> = under(changes, place).map(|(path, _)| path.clone()).collect();
    paths.iter().map(PathBuf::as_path).chain([place]).filter_map(|path| changes.remove_entry(path)).collect()
}

/// The path of what is seen at one that something may be bound to.
fn through_bind(changes: &Changes, place: PathBuf) -> PathBuf {
    match changes.get(&place) {
        Some(Some(Entry { body: Body::Bound(source), .. })) => source.clone(),
        _ => place,
    }
}

/// What lstat(2) of a node counts as "nothing there".
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The names of a path, `..` among them; `.` and the root left out.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// The changes under a directory, itself left out. Paths order by their parts, so they are one range.
fn under<'a>(
    changes: &'a Changes,
    directory: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a Option<Entry>)> {
    changes
        .range::<Path, _>((Bound::Excluded(directory), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(directory))
}

fn forget_under(changes: &mut Changes, directory: &Path) {
    let paths: Vec<PathBuf> = under(changes, directory).map(|(path, _)| path.clone()).collect();
    for path in paths {
        changes.remove(&path);
    }
}

impl Files for Empty {
    fn own_ids(&self) -> (u32, u32) {
        (0, 0)
    }

    fn attributes_of_new(&self, _path: &Path, mode: u32, _kind: FileKind) -> io::Result<Attributes> {
        Ok(Attributes { mode, uid: 0, gid: 0 })
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let root = Stat {
            kind: FileKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            device: 0,
            inode: 1,
            modified: 0,
            changed: 0,
        };
        Ok((path == Path::new("/")).then_some(root))
    }

    fn read(&self, _path: &Path, _limit: u64) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn digest(&self, _path: &Path) -> io::Result<Digest> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_link(&self, _path: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        if path == Path::new("/") { Ok(Vec::new()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn write(
        &self,
        _path: &Path,
        _content: &Content,
        _attributes: Attributes,
        _validate: Option<Validate<'_>>,
    ) -> io::Result<Result<(), Problem>> {
        Err(unchangeable())
    }

    fn make_directory(&self, _path: &Path, _attributes: Attributes) -> io::Result<()> {
        Err(unchangeable())
    }

    fn make_link(&self, _path: &Path, _target: &Path) -> io::Result<()> {
        Err(unchangeable())
    }

    fn set_mode(&self, _path: &Path, _mode: u32) -> io::Result<()> {
        Err(unchangeable())
    }

    fn set_owner(&self, _path: &Path, _uid: u32, _gid: u32) -> io::Result<()> {
        Err(unchangeable())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Err(unchangeable())
    }

    fn remove_tree(&self, _path: &Path) -> io::Result<()> {
        Err(unchangeable())
    }
}

/// The empty node stays empty: changes belong in an overlay over it.
fn unchangeable() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}

#[cfg(test)]
mod tests;
