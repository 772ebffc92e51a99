//! Inputs on disk: those every run begins with, the one that is being tried, and those that were found.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// The files of one target.
pub struct Corpus {
    name: &'static str,
    last: Option<File>,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn found() -> PathBuf {
    top().join("../target/fuzz")
}

impl Corpus {
    /// Where nothing can be written the fuzzer still runs.
    pub fn open(name: &'static str) -> Self {
        let _ = fs::create_dir_all(found());
        Self { name, last: File::create(Self::last(name)).ok() }
    }

    /// The file that has the input that is being tried: what is left of one that kills the process.
    pub fn last(name: &str) -> PathBuf {
        found().join(format!("{name}.last"))
    }

    /// The inputs of the repository, by name.
    pub fn read(&self) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(top().join("corpus").join(self.name)) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().filter_map(|path| fs::read(path).ok()).collect()
    }

    /// Notes what is tried next.
    pub fn note(&self, input: &[u8]) {
        let Some(file) = &self.last else { return };
        let _ = file.write_all_at(input, 0).and_then(|()| file.set_len(input.len() as u64));
    }

    /// Keeps an input that the reader fails on.
    pub fn save(&self, input: &[u8]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = found().join(format!("{}-{:016x}", self.name, hasher.finish()));
        let _ = fs::write(&path, input);
        path
    }
}
