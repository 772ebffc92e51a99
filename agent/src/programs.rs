//! Programs of the repository's own modules, each in a file named by its digest that this user alone can read and
//! execute.
//!
//! They stay: a run that needs one again gets it without a word to the controller, and what a module has changed
//! is taken back with the program that changed it, when no repository has it any more.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use cm_modules::{Problem, node::Content};
use cm_wire::Digest;

/// A program that nothing in the journal names goes when it was not used for so long.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// The folder of programs.
pub struct Programs {
    folder: PathBuf,
    /// Those that were found whole by this process.
    whole: Mutex<HashSet<Digest>>,
    /// Numbers temporary files.
    next: AtomicU32,
}

impl Programs {
    /// In this folder, which is made when the first program comes.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, whole: Mutex::default(), next: AtomicU32::new(0) }
    }

    /// The path of a program; `fetch` gets it where it is not there, or not whole.
    ///
    /// # Errors
    /// When it cannot be had, or not be kept.
    pub fn get(
        &self,
        digest: &Digest,
        fetch: impl FnOnce() -> Result<Content, Problem>,
    ) -> Result<PathBuf, Problem> {
        let path = self.folder.join(digest.to_string());
        let known = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(digest) {
            return Ok(path);
        }
        if is_whole(&path, digest) {
            // Says that it is used; one that cannot be marked is only swept earlier.
            let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        } else {
            let content = fetch()?;
            self.put(&path, &content).map_err(|error| told(&self.folder, &error))?;
        }
        known().insert(*digest);
        Ok(path)
    }

    /// Puts a program into its place: whoever looks sees it whole or not at all.
    fn put(&self, path: &Path, content: &Content) -> io::Result<()> {
        self.prepare()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{}.{number}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&temporary)?;
        let written = copy(content, &mut file).and_then(|()| file.sync_all());
        drop(file);
        let settled = written
            .and_then(|()| remove_what_is_there(path))
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if settled.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        settled
    }

    /// Makes the folder; one that somebody else could write is refused.
    fn prepare(&self) -> io::Result<()> {
        if !self.folder.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        }
        let found = fs::symlink_metadata(&self.folder)?;
        let own = rustix::process::geteuid().as_raw();
        if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
            return Err(io::Error::other("it is not a folder of this user alone"));
        }
        Ok(())
    }

    /// Removes programs that are neither wanted nor were used of late, and what killed runs left half-written.
    pub fn sweep(&self, wanted: &HashSet<Digest>) {
        let names: HashSet<String> = wanted.iter().map(Digest::to_string).collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let unused = || {
                let used = entry.metadata().and_then(|found| found.modified());
                used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > UNUSED))
            };
            let left = match name.strip_prefix('.').and_then(|rest| rest.split('.').next()) {
                Some(owner) => {
                    owner != std::process::id().to_string() && !Path::new("/proc").join(owner).exists()
                }
                None => !names.contains(&name) && unused(),
            };
            if left {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether this is the file of this content, and nobody else's.
fn is_whole(path: &Path, digest: &Digest) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    let own = rustix::process::geteuid().as_raw();
    if !found.is_file() || found.uid() != own || found.mode() & 0o022 != 0 || found.mode() & 0o500 != 0o500 {
        return false;
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    // Flags of open(2) are small and not negative.
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    file.and_then(Digest::of_reader).is_ok_and(|(is, _)| is == *digest)
}

/// A folder cannot be replaced by a file; whatever it is, it is not ours.
fn remove_what_is_there(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        _ => Ok(()),
    }
}

fn copy(content: &Content, file: &mut File) -> io::Result<()> {
    match content {
        Content::Bytes(bytes) => file.write_all(bytes),
        Content::Spooled { path, digest, .. } | Content::Given { path, digest, .. } => {
            let mut from = File::open(path)?;
            let mut hasher = cm_wire::Hasher::default();
            let mut piece = vec![0; 64 * 1024];
            loop {
                let count = match from.read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                hasher.update(&piece[..count]);
                file.write_all(&piece[..count])?;
            }
            if hasher.finish() == *digest {
                Ok(())
            } else {
                Err(io::Error::other("what was spooled is not what was sent"))
            }
        }
        Content::Held(_) => Err(io::Error::other("a content without a name is no program")),
    }
}

fn told(folder: &Path, error: &io::Error) -> Problem {
    let problem =
        Problem::new(format!("the module's program cannot be kept in {}: {error}", folder.display()));
    match error.kind() {
        io::ErrorKind::StorageFull => problem.hint("the file system is full: `df -h` on the node"),
        io::ErrorKind::ReadOnlyFilesystem => {
            problem.hint("the file system is mounted read-only; `dmesg` on the node may say why")
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const PROGRAM: &[u8] = b"#!/bin/sh\nexit 0\n";

    fn get(programs: &Programs, asked: &mut u32) -> PathBuf {
        let fetch = || {
            *asked += 1;
            Ok(Content::Bytes(PROGRAM.to_vec()))
        };
        programs.get(&Digest::of(PROGRAM), fetch).unwrap()
    }

    #[test]
    fn a_program_is_fetched_once_and_again_when_it_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("programs");
        let again = || Programs::new(place.clone());
        let mut asked = 0;
        let path = get(&again(), &mut asked);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        get(&again(), &mut asked);
        assert_eq!(asked, 1);
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, PROGRAM).unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
        type Damage<'a> = &'a dyn Fn(&Path);
        let damages: [Damage<'_>; 5] = [
            &|path| fs::write(path, b"#!/bin/sh\nexit 1\n").unwrap(),
            &|path| fs::remove_file(path).unwrap(),
            &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o722)).unwrap(),
            &|path| {
                fs::remove_file(path).unwrap();
                symlink(&elsewhere, path).unwrap();
            },
            &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
        ];
        for (number, damage) in damages.iter().enumerate() {
            damage(&path);
            let before = asked;
            get(&again(), &mut asked);
            assert_eq!(asked, before + 1, "damage {number}");
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(fs::read(&path).unwrap(), PROGRAM);
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), PROGRAM);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    }

    #[test]
    fn what_is_used_or_wanted_stays() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::new(folder.path().to_owned());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let old = SystemTime::now() - UNUSED - Duration::from_secs(60);
        let put = |name: &str, time| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        let wanted = Digest::of(b"wanted");
        put(&wanted.to_string(), old);
        put(&Digest::of(b"old").to_string(), old);
        put(&Digest::of(b"new").to_string(), SystemTime::now());
        // No process has this number: it is above the kernel's limit.
        put(".4194305.0", SystemTime::now());
        programs.sweep(&[wanted].into());
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = vec![wanted.to_string(), Digest::of(b"new").to_string()];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_folder_that_others_can_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs::new(folder.path().to_owned());
        let fetch = || Ok(Content::Bytes(PROGRAM.to_vec()));
        let problem = programs.get(&Digest::of(PROGRAM), fetch).unwrap_err();
        assert!(problem.message.contains("of this user alone"), "{problem}");
    }
}
