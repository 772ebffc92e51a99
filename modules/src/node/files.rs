//! The file system of a node.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_wire::Digest;

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

impl FileKind {
    /// For messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Other => "special file",
        }
    }

    /// The error of finding this where something else is wanted: `a file`, `a directory`.
    pub(crate) fn instead_of(self, wanted: &str) -> io::Error {
        let kind = match self {
            Self::Directory => io::ErrorKind::IsADirectory,
            _ if wanted == "a directory" => io::ErrorKind::NotADirectory,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, format!("it is a {}, not {wanted}", self.word()))
    }
}

/// Extended attributes by name.
pub type Extended = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

/// What lstat(2) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// The file system's device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// When its content was last changed, nanoseconds since 1970; anybody who may write it can set this.
    pub modified: i128,
    /// When anything of it was last changed, nanoseconds since 1970; the kernel sets this.
    pub changed: i128,
}

/// Mode and owner of something that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attributes {
    /// What becomes of them for something new in this parent: its setgid bit is passed on.
    pub(crate) fn made_in(self, parent: &Stat, kind: FileKind) -> Self {
        if parent.mode & 0o2000 == 0 {
            return self;
        }
        let bit = if kind == FileKind::Directory { 0o2000 } else { 0 };
        Self { gid: parent.gid, mode: self.mode | bit, ..self }
    }
}

/// A content to write: small ones in memory, large ones in a file of the agent's own.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file that only the agent writes.
    Spooled {
        /// Where it is on this machine.
        path: PathBuf,
        /// Its digest.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
    },
    /// In a file of the agent's own that may itself become the file it is for: it is wanted nowhere else. It is
    /// gone when it did.
    Given {
        /// Where it is on this machine.
        path: PathBuf,
        /// Its digest.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
    },
    /// In a file without a name.
    Held(Arc<super::Held>),
}

impl Content {
    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Spooled { digest, .. } | Self::Given { digest, .. } => *digest,
            Self::Held(held) => held.digest,
        }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Spooled { size, .. } | Self::Given { size, .. } => *size,
            Self::Held(held) => held.size,
        }
    }
}

/// Checks a file that was written beside its target before it takes the target's place; an error leaves
/// the target as it was.
pub type Validate<'a> = &'a dyn Fn(&Path) -> Result<(), crate::Problem>;

/// A link of an unprivileged user was about to lead root to a directory of somebody else.
pub(crate) fn led_astray(link: &std::ffi::OsStr, path: &Path, link_owner: u32, owner: u32) -> io::Error {
    io::Error::other(format!(
        "`{}` on the way to {} is a link of user {link_owner} and leads to a directory of user {owner}; root \
         does not follow it: name the directory itself, or let root own the link",
        link.to_string_lossy(),
        path.display()
    ))
}

/// The file system of a node. Links above the last part of a path are followed, but for changes root
/// follows one of another user only to a directory of that user. No method follows a symbolic link in the last part of a path.
pub trait Files {
    /// The user and group whose rights changes are made with: what is new belongs to them unless a
    /// task says otherwise.
    fn own_ids(&self) -> (u32, u32);

    /// The attributes that something new gets at this path where a task does not say otherwise: the
    /// agent's own user and group, but the group (and for a directory the bit itself) of a parent
    /// with the setgid bit, as mkdir(2) and open(2) do it.
    ///
    /// # Errors
    /// When the parent cannot be looked at; a missing one counts as one without the bit.
    fn attributes_of_new(&self, path: &Path, mode: u32, kind: FileKind) -> io::Result<Attributes>;

    /// lstat(2); none where there is nothing.
    ///
    /// # Errors
    /// Other than "not there" (a missing parent counts as not there).
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` beyond the limit, or what reading returns.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// The digest of a regular file's content.
    ///
    /// # Errors
    /// What reading returns.
    fn digest(&self, path: &Path) -> io::Result<Digest>;

    /// The digest of a regular file's content where it is known without reading it, of a file that was just found to
    /// be this; see [`crate::Real::remembering`].
    ///
    /// # Errors
    /// When there is none.
    fn known_digest(&self, _path: &Path, _stat: &Stat) -> io::Result<Option<Digest>> {
        Ok(None)
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// When it is not one.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// When it is not one.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// Writes a file so that a reader sees the old or the new one whole: temporary file in the same
    /// directory, mode and owner, fsync, `validate`, rename. Replaces a file or a link, never a directory.
    ///
    /// # Errors
    /// The outer error is of the file system, the inner one of `validate`; the target is as it was.
    fn write(
        &self,
        path: &Path,
        content: &Content,
        attributes: Attributes,
        validate: Option<Validate<'_>>,
    ) -> io::Result<Result<(), crate::Problem>>;

    /// Makes a directory with this mode and owner in one step; the parent must be there.
    ///
    /// # Errors
    /// When something is there already or the parent is not.
    fn make_directory(&self, path: &Path, attributes: Attributes) -> io::Result<()>;

    /// Makes a symbolic link, replacing a file or link atomically, never a directory. A link that is
    /// replaced leaves its owner to the new one.
    ///
    /// # Errors
    /// What the file system returns.
    fn make_link(&self, path: &Path, target: &Path) -> io::Result<()>;

    /// chmod(2); not for links.
    ///
    /// # Errors
    /// What the file system returns.
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// lchown(2).
    ///
    /// # Errors
    /// What the file system returns.
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()>;

    /// unlink(2) or rmdir(2).
    ///
    /// # Errors
    /// When it is not there, or a directory that is not empty.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The extended attributes that a change of the content keeps (user's own, access list, labels), by name.
    ///
    /// # Errors
    /// When it is not there or they cannot be read.
    fn extended(&self, _path: &Path) -> io::Result<Extended> {
        Ok(Extended::new())
    }

    /// Gives a file or directory exactly these extended attributes, of those that [`Files::extended`] names.
    ///
    /// # Errors
    /// What the file system returns.
    fn set_extended(&self, _path: &Path, _extended: &Extended) -> io::Result<()> {
        Ok(())
    }

    /// Sets the modification time, in nanoseconds since 1970; not for links.
    ///
    /// # Errors
    /// What the file system returns.
    fn set_modified(&self, _path: &Path, _modified: i128) -> io::Result<()> {
        Ok(())
    }

    /// Removes something and all below it; never crosses into another file system, never follows a link.
    ///
    /// # Errors
    /// The first failure; what was removed stays removed.
    fn remove_tree(&self, path: &Path) -> io::Result<()>;
}
