//! Large contents of this machine: read a piece at a time, gathered in files without a name.
//!
//! A file without a name is gone with the process, however that ends; nobody has to sweep it.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_wire::{Digest, Hasher};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};

use super::{Real, files::open_file};
use crate::node::{Content, Streams};

/// Up to this many bytes stay in memory.
const IN_MEMORY: usize = 256 * 1024;
/// An image of a plan keeps contents up to this many bytes, and of larger ones the digest.
const IN_IMAGE: usize = 1024 * 1024;

/// A content in a file without a name; it goes when nobody holds it any more.
#[derive(Debug)]
pub struct Held {
    file: File,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Something opened for reading.
#[derive(Debug)]
pub enum Source {
    /// Bytes in memory.
    Memory(Cursor<Vec<u8>>),
    /// A file, opened for this reader alone.
    Opened(File),
    /// A file others read at the same time: with a place of one's own in it.
    Shared {
        /// The file.
        held: Arc<Held>,
        /// Where the next piece begins.
        offset: u64,
    },
}

impl Source {
    /// Bytes in memory.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        Self::Memory(Cursor::new(bytes))
    }

    /// A content, from its beginning.
    ///
    /// # Errors
    /// `Unsupported` where only its name is known; what opening returns.
    pub fn of_content(content: &Content) -> io::Result<Self> {
        match content {
            Content::Bytes(bytes) => Ok(Self::of(bytes.clone())),
            Content::Spooled { path, .. } if path.as_os_str().is_empty() => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "its content is not known yet"))
            }
            Content::Spooled { path, .. } | Content::Given { path, .. } => {
                open_file(path).map(|(file, _)| Self::Opened(file))
            }
            Content::Held(held) => Ok(Self::Shared { held: held.clone(), offset: 0 }),
        }
    }

    /// A descriptor at the beginning of it, for a program that reads it; bytes in memory are put into one.
    ///
    /// # Errors
    /// When none can be had.
    pub fn into_descriptor(self) -> io::Result<OwnedFd> {
        let mut file = match self {
            Self::Opened(file) => file,
            Self::Shared { held, .. } => {
                // Opened anew: a copy of the descriptor would share its place with other readers.
                let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held.file));
                File::open(path)?
            }
            Self::Memory(cursor) => {
                let mut file = nameless(Path::new("/tmp"))?;
                file.write_all(cursor.get_ref())?;
                file
            }
        };
        file.rewind()?;
        Ok(file.into())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(cursor) => cursor.read(buffer),
            Self::Opened(file) => file.read(buffer),
            Self::Shared { held, offset } => {
                let count = rustix::io::pread(&held.file, buffer, *offset)?;
                *offset += count as u64;
                Ok(count)
            }
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Memory(cursor) => cursor.seek(to),
            Self::Opened(file) => file.seek(to),
            Self::Shared { held, offset } => {
                let place = match to {
                    SeekFrom::Start(place) => Some(place),
                    SeekFrom::End(by) => held.size.checked_add_signed(by),
                    SeekFrom::Current(by) => offset.checked_add_signed(by),
                };
                *offset = place.ok_or(io::ErrorKind::InvalidInput)?;
                Ok(*offset)
            }
        }
    }
}

/// Takes a content piece by piece.
pub struct Spool {
    hasher: Hasher,
    size: u64,
    memory: Vec<u8>,
    place: Place,
}

/// Where what is large goes.
enum Place {
    /// Nowhere: only the digest stays.
    Nowhere,
    /// To a file that is made when it is needed.
    Near(PathBuf),
    /// To this file.
    File(File),
    /// A program writes to this file; its digest is taken at the end.
    Program(File),
}

impl Spool {
    /// One that forgets what is large.
    pub(crate) fn of_image() -> Self {
        Self::with(Place::Nowhere)
    }

    fn with(place: Place) -> Self {
        Self { hasher: Hasher::default(), size: 0, memory: Vec::new(), place }
    }

    /// A descriptor for a program to write the whole content to; nothing else may be written then.
    ///
    /// # Errors
    /// When no file can be made; `Unsupported` in an image of a plan.
    pub fn descriptor(&mut self) -> io::Result<BorrowedFd<'_>> {
        let file = match &self.place {
            Place::Nowhere => return Err(io::ErrorKind::Unsupported.into()),
            Place::Near(near) => nameless(near)?,
            Place::File(file) | Place::Program(file) => file.try_clone()?,
        };
        self.place = Place::Program(file);
        match &self.place {
            Place::Program(file) => Ok(file.as_fd()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The content.
    ///
    /// # Errors
    /// When what a program has written cannot be read back.
    pub fn finish(self) -> io::Result<Content> {
        match self.place {
            Place::Near(_) => Ok(Content::Bytes(self.memory)),
            Place::Nowhere if self.size <= IN_IMAGE as u64 => Ok(Content::Bytes(self.memory)),
            Place::Nowhere => {
                Ok(Content::Spooled { path: PathBuf::new(), digest: self.hasher.finish(), size: self.size })
            }
            Place::File(file) => {
                let held = Held { file, digest: self.hasher.finish(), size: self.size };
                Ok(Content::Held(Arc::new(held)))
            }
            Place::Program(mut file) => {
                file.rewind()?;
                let (digest, size) = Digest::of_reader(&file)?;
                Ok(Content::Held(Arc::new(Held { file, digest, size })))
            }
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Place::Near(near) = &self.place
            && self.memory.len() + bytes.len() > IN_MEMORY
        {
            let mut file = nameless(near)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.place = Place::File(file);
        }
        match &mut self.place {
            Place::Near(_) => self.memory.extend_from_slice(bytes),
            Place::Nowhere if self.memory.len() + bytes.len() <= IN_IMAGE => {
                self.memory.extend_from_slice(bytes);
            }
            Place::Nowhere => {}
            Place::File(file) | Place::Program(file) => file.write_all(bytes)?,
        }
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Streams for Real {
    fn open(&self, path: &Path) -> io::Result<Source> {
        open_file(path).map(|(file, _)| Source::Opened(file))
    }

    fn spool(&self, near: &Path) -> Spool {
        Spool::with(Place::Near(near.to_owned()))
    }
}

/// An empty file without a name, only this user's: in the nearest directory that is there, or in one for
/// temporary files.
fn nameless(near: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for directory in near.ancestors().chain([Path::new("/var/tmp"), Path::new("/tmp")]) {
        if directory.parent().is_none() {
            continue;
        }
        match rustix::fs::openat(CWD, directory, flags | OFlags::TMPFILE, mode) {
            Ok(file) => return Ok(File::from(file)),
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(_) => {}
        }
        // File systems that know no such files (NFS): a name for a moment.
        let name = directory.join(format!(".cm-{:016x}.tmp", random()));
        match rustix::fs::openat(CWD, &name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode) {
            Ok(file) => {
                rustix::fs::unlinkat(CWD, &name, AtFlags::empty())?;
                return Ok(File::from(file));
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Attributes, Files};

    #[test]
    fn small_things_stay_in_memory_and_large_ones_go_to_a_file_that_many_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let real = Real::new();
        let mut spool = real.spool(directory.path());
        spool.write_all(b"small").unwrap();
        assert!(matches!(spool.finish().unwrap(), Content::Bytes(bytes) if bytes == b"small"));
        let piece = [7; 100_000];
        let mut spool = real.spool(&directory.path().join("not/there/yet"));
        (0..5).for_each(|_| spool.write_all(&piece).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it has no name");
        let content = spool.finish().unwrap();
        assert_eq!((content.size(), content.digest()), (500_000, Digest::of(&piece.repeat(5))));
        let mut readers = [real.open_content(&content).unwrap(), real.open_content(&content).unwrap()];
        for reader in &mut readers {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, piece.repeat(5));
            assert_eq!(reader.seek(SeekFrom::End(-1)).unwrap(), 499_999);
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
        }
        let (uid, gid) = real.own_ids();
        let path = directory.path().join("written");
        real.write(&path, &content, Attributes { mode: 0o640, uid, gid }, None).unwrap().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), piece.repeat(5));
    }

    #[test]
    fn programs_read_and_write_them() {
        let directory = tempfile::tempdir().unwrap();
        let real = Real::new();
        let mut spool = real.spool(directory.path());
        let input = Source::of(b"hello\n".repeat(100_000)).into_descriptor().unwrap();
        let command = crate::node::Command {
            input: Some(input.as_fd()),
            output: Some(spool.descriptor().unwrap()),
            ..crate::node::Command::query(&["cat"])
        };
        assert!(crate::node::Commands::run(&real, &command).unwrap().success());
        let content = spool.finish().unwrap();
        assert_eq!((content.size(), content.digest()), (600_000, Digest::of(&b"hello\n".repeat(100_000))));
        // A second reader begins at the beginning, too.
        for _ in 0..2 {
            let descriptor = real.open_content(&content).unwrap().into_descriptor().unwrap();
            assert_eq!(Digest::of_reader(File::from(descriptor)).unwrap().0, content.digest());
        }
    }

    #[test]
    fn an_image_keeps_the_digest_of_what_is_large() {
        let mut spool = Spool::of_image();
        spool.write_all(&vec![1; IN_IMAGE]).unwrap();
        spool.write_all(b"x").unwrap();
        let content = spool.finish().unwrap();
        assert_eq!(content.size(), IN_IMAGE as u64 + 1);
        assert_eq!(Source::of_content(&content).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
