//! The file system of this machine.
//!
//! Everything is done relative to an opened parent directory, so that nobody who may write there can
//! swap it between two steps; the last part of a path is never followed.

mod extended;
mod memo;
mod parent;
mod remove;
mod replace;
mod sweep;
mod take;
mod trusted_path;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use cm_wire::Digest;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawMode};

pub(super) use self::memo::Memo;
use self::{parent::Parent, replace::Replacement};
use super::Real;
use crate::{
    Problem,
    node::{Attributes, Content, Extended, FileKind, Files, Stat, Validate},
};

/// Files up to this size are read with one call.
const SMALL: u64 = 256 * 1024;

/// What the file system part remembers: where leftovers were looked for, its names for new ones, and what files
/// held.
#[derive(Default)]
pub(super) struct FilesState {
    names: replace::Names,
    swept: sweep::Swept,
    pub(super) memo: Memo,
    #[cfg(test)]
    pub(super) faults: replace::Faults,
}

impl Files for Real {
    fn own_ids(&self) -> (u32, u32) {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    fn attributes_of_new(&self, path: &Path, mode: u32, kind: FileKind) -> io::Result<Attributes> {
        let (uid, gid) = self.own_ids();
        let own = Attributes { mode, uid, gid };
        match rustix::fs::statat(CWD, path.parent().unwrap_or(path), AtFlags::empty()) {
            Ok(raw) => Ok(own.made_in(&stat_of(&raw), kind)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(own),
            Err(error) => Err(error.into()),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(raw) => Ok(Some(stat_of(&raw))),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let (file, size) = open_file(path)?;
        read_up_to(file, size, limit)
    }

    fn digest(&self, path: &Path) -> io::Result<Digest> {
        let (file, stat) = open_regular(path)?;
        let stat = stat_of(&stat);
        if let Some(digest) = self.files.memo.known(&stat) {
            return Ok(digest);
        }
        let resting = self.files.memo.resting(&stat);
        let (digest, size) = hash(&file, stat.size)?;
        // What is made up as it is read, as in /proc, changes without a trace.
        if let Some(resting) = resting.filter(|_| size == stat.size) {
            self.files.memo.hashed(resting, &stat_of(&rustix::fs::fstat(&file)?), digest);
        }
        Ok(digest)
    }

    fn known_digest(&self, _path: &Path, stat: &Stat) -> io::Result<Option<Digest>> {
        Ok(self.files.memo.known(stat))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match rustix::fs::readlinkat(CWD, path, Vec::new()) {
            Ok(target) => Ok(PathBuf::from(OsString::from_vec(target.into_bytes()))),
            Err(rustix::io::Errno::INVAL) => match self.stat(path)? {
                Some(stat) => Err(stat.kind.instead_of("a link")),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(directory) => list(&directory),
            // Linux says "not a directory" of a link, too.
            Err(error @ (rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP)) => match self.stat(path)? {
                Some(stat) if stat.kind != FileKind::Directory => Err(stat.kind.instead_of("a directory")),
                _ => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn write(
        &self,
        path: &Path,
        content: &Content,
        attributes: Attributes,
        validate: Option<Validate<'_>>,
    ) -> io::Result<Result<(), Problem>> {
        let parent = Parent::of(path)?;
        self.files.swept.before_writing(&parent, &self.files.names);
        let replaced = match parent.stat()? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(FileKind::Directory.instead_of("a file"));
            }
            other => other.is_some(),
        };
        let mut new = Replacement::holding(&parent, &self.files, content)?;
        // While nobody else can open it.
        let seal = if self.files.memo.notes() { new.seal() } else { None };
        new.dress(attributes, replaced)?;
        new.sync()?;
        if let Some(validate) = validate
            && let Err(problem) = validate(&new.path(path))
        {
            return Ok(Err(problem));
        }
        let placed = new.take_place()?;
        if let (Some(seal), Some(placed)) = (seal, placed) {
            self.files.memo.written(&stat_of(&rustix::fs::fstat(&placed)?), seal, content.digest());
        }
        self.touched(path);
        Ok(Ok(()))
    }

    fn make_directory(&self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let parent = Parent::of(path)?;
        self.files.swept.before_writing(&parent, &self.files.names);
        if parent.stat()?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut new = Replacement::directory(&parent, &self.files)?;
        new.dress(attributes, false)?;
        new.sync()?;
        new.take_free_place()?;
        self.touched(path);
        Ok(())
    }

    fn make_link(&self, path: &Path, target: &Path) -> io::Result<()> {
        let parent = Parent::of(path)?;
        self.files.swept.before_writing(&parent, &self.files.names);
        let old = parent.stat()?;
        let is = |wanted| old.as_ref().filter(|stat| FileType::from_raw_mode(stat.st_mode) == wanted);
        if is(FileType::Directory).is_some() {
            return Err(FileKind::Directory.instead_of("a link"));
        }
        let new = Replacement::link(&parent, &self.files, target)?;
        if let Some(old) = is(FileType::Symlink) {
            new.belong_to(old.st_uid, old.st_gid)?;
        }
        new.take_place()?;
        self.touched(path);
        Ok(())
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let parent = Parent::of_anything(path)?;
        parent.set_mode(mode)?;
        self.touched(path);
        Ok(())
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        let parent = Parent::of_anything(path)?;
        parent.set_owner(uid, gid)?;
        self.touched(path);
        Ok(())
    }

    fn extended(&self, path: &Path) -> io::Result<Extended> {
        Parent::of_anything(path)?.open_itself().and_then(|file| extended::read(&file))
    }

    fn set_extended(&self, path: &Path, wanted: &Extended) -> io::Result<()> {
        let file = Parent::of_anything(path)?.open_itself()?;
        extended::set(&file, wanted)?;
        self.touched(path);
        Ok(())
    }

    fn set_modified(&self, path: &Path, modified: i128) -> io::Result<()> {
        let parent = Parent::of_anything(path)?;
        let second = 1_000_000_000;
        let time = rustix::fs::Timespec {
            // Seconds fit for as long as file systems can say.
            tv_sec: i64::try_from(modified.div_euclid(second)).unwrap_or(i64::MAX),
            tv_nsec: modified.rem_euclid(second) as _,
        };
        let omit = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let times = rustix::fs::Timestamps { last_access: omit, last_modification: time };
        rustix::fs::utimensat(parent.fd(), parent.name(), &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let parent = Parent::of(path)?;
        let stat = parent.stat()?.ok_or(io::ErrorKind::NotFound)?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        parent.unlink(directory)?;
        parent.sync()?;
        self.touched(path);
        Ok(())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let parent = Parent::of(path)?;
        let removed = remove::tree(&parent);
        self.touched(path);
        removed?;
        parent.sync()
    }
}

impl Real {
    /// Removes what killed runs left half-written in a directory, and says how many such files there
    /// were. Writing to a directory does the same before its first write.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self, directory: &Path) -> io::Result<usize> {
        match Parent::open(directory) {
            Ok(parent) => sweep::sweep(&parent, &self.files.names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// The content of a spooled file, for the overlay, which otherwise knows only the node below.
pub(crate) fn read_spooled(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open_file(path)?;
    read_up_to(file, size, limit)
}

fn read_up_to(file: File, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    if size > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let wanted = usize::try_from(size).unwrap_or(0) + 1;
    let mut bytes = Vec::with_capacity(wanted);
    if size > 0 {
        // Where there is one byte less than would fit, this was all.
        let count = rustix::io::retry_on_intr(|| {
            rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))
        })?;
        if count < bytes.capacity() && bytes.len() as u64 == size {
            return Ok(bytes);
        }
    }
    // One byte more than the limit shows a file that grew meanwhile, or one of /proc, which all say 0.
    file.take(limit.saturating_add(1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Opens a regular file for reading, and says its size; a pipe or device is never waited for or touched.
pub(super) fn open_file(path: &Path) -> io::Result<(File, u64)> {
    open_regular(path).map(|(file, raw)| (file, stat_of(&raw).size))
}

fn open_regular(path: &Path) -> io::Result<(File, rustix::fs::Stat)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::LOOP) if is_link(path) => return Err(FileKind::Link.instead_of("a file")),
        Err(rustix::io::Errno::NXIO) => return Err(FileKind::Other.instead_of("a file")),
        Err(error) => return Err(error.into()),
    };
    let raw = rustix::fs::fstat(&file)?;
    let kind = stat_of(&raw).kind;
    if kind == FileKind::File { Ok((File::from(file), raw)) } else { Err(kind.instead_of("a file")) }
}

/// The digest and length of an opened file that says it has this size.
fn hash(file: &File, size: u64) -> io::Result<(Digest, u64)> {
    if size > SMALL {
        return Digest::of_reader(file);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(SMALL).read_to_end(&mut bytes)?;
    // It grew meanwhile, or lies about its size as files of /proc do.
    if bytes.len() as u64 >= SMALL {
        return Digest::of_reader((&bytes[..]).chain(file));
    }
    Ok((Digest::of(&bytes), bytes.len() as u64))
}

fn is_link(path: &Path) -> bool {
    rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// The names in an opened directory, sorted by bytes.
fn list(directory: &impl std::os::fd::AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    crate::in_order::sort(&mut names);
    Ok(names)
}

fn stat_of(raw: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: match FileType::from_raw_mode(raw.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        },
        mode: raw.st_mode & 0o7777,
        uid: raw.st_uid,
        gid: raw.st_gid,
        size: u64::try_from(raw.st_size).unwrap_or(0),
        device: raw.st_dev,
        inode: raw.st_ino,
        modified: nanoseconds(raw.st_mtime, raw.st_mtime_nsec),
        changed: nanoseconds(raw.st_ctime, raw.st_ctime_nsec),
    }
}

/// Since 1970.
fn nanoseconds(seconds: i64, more: u64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(more)
}

/// The bits of a mode as chmod(2) takes them.
fn mode_bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode as RawMode & 0o7777)
}

#[cfg(test)]
mod race;
#[cfg(test)]
mod tests;
