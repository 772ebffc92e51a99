//! Contents of former states, each in a file named by its digest.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use cm_wire::{Digest, Hasher};

/// The folder of kept contents.
#[derive(Debug)]
pub struct KeptContents {
    folder: PathBuf,
}

/// What becomes of a content's reading.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl KeptContents {
    /// In this folder, which must be there once something is kept.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a content is, whether or not it is there.
    #[must_use]
    pub fn place(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Keeps bytes under their digest; a reader sees them whole or not at all.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_bytes(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        if self.place(&digest).exists() {
            return Ok(digest);
        }
        let mut new = self.temporary()?;
        let written = new.file.write_all(bytes);
        self.settle(new, written, digest)?;
        Ok(digest)
    }

    /// Keeps what a reader gives, without holding it in memory.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn keep_reader(&self, mut reader: impl Read) -> io::Result<Digest> {
        let mut new = self.temporary()?;
        let mut hasher = Hasher::default();
        let mut piece = vec![0; 128 * 1024];
        let copied = loop {
            match reader.read(&mut piece) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    hasher.update(&piece[..count]);
                    if let Err(error) = new.file.write_all(&piece[..count]) {
                        break Err(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let digest = hasher.finish();
        self.settle(new, copied, digest)?;
        Ok(digest)
    }

    fn temporary(&self) -> io::Result<Temporary> {
        let path = self.folder.join(format!(".{}.{:?}", std::process::id(), std::thread::current().id()));
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Temporary { path, file })
    }

    fn settle(&self, new: Temporary, written: io::Result<()>, digest: Digest) -> io::Result<()> {
        let settled = written
            .and_then(|()| new.file.sync_all())
            .and_then(|()| std::fs::rename(&new.path, self.place(&digest)))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if settled.is_err() {
            let _ = std::fs::remove_file(&new.path);
        }
        settled
    }

    /// Bytes that all contents take together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries().map(|(_, size)| size).sum()
    }

    /// Removes a content.
    pub fn remove(&self, digest: &Digest) {
        let _ = std::fs::remove_file(self.place(digest));
    }

    /// Removes everything but these, and what killed runs left half-written.
    pub fn sweep(&self, wanted: &BTreeMap<Digest, u64>) {
        let names: HashSet<String> = wanted.keys().map(Digest::to_string).collect();
        for (path, _) in self.entries() {
            let name = path.file_name().and_then(OsStr::to_str);
            if !name.is_some_and(|name| names.contains(name)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = (PathBuf, u64)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
    }
}
