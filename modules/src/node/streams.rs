//! Large contents of a node, a piece at a time: archives, downloads.

use std::{io, path::Path};

use super::{Content, Files};
pub use crate::real::{Held, Source, Spool};

/// Reads and gathers what is too large for memory.
pub trait Streams: Files {
    /// Opens a regular file for reading from its beginning; a link in the last part is not followed.
    ///
    /// # Errors
    /// What opening returns; `Unsupported` where only the name of a content is known (in a plan).
    fn open(&self, path: &Path) -> io::Result<Source> {
        self.read(path, u64::MAX).map(Source::of)
    }

    /// Opens a content for reading from its beginning.
    ///
    /// # Errors
    /// As for [`Streams::open`].
    fn open_content(&self, content: &Content) -> io::Result<Source> {
        Source::of_content(content)
    }

    /// Takes a content of unknown size, to be written to a path or read again. On a machine what is large
    /// goes to a file without a name, on the file system of `near` if that is possible; an image of a plan
    /// keeps only the digest of what is large.
    fn spool(&self, _near: &Path) -> Spool {
        Spool::of_image()
    }
}
