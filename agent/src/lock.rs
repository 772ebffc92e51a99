//! One run at a time on a node: an flock(2), so that a killed run never leaves it held.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

/// The node is held by this run while this lives.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Why the lock was not got.
#[derive(Debug)]
pub enum LockError {
    /// Another run has it, told as a sentence.
    Held(String),
    /// It cannot be used at all.
    Io(io::Error),
}

impl RunLock {
    /// Takes the lock, waiting up to `wait`; `waiting` is told once who holds it, `stop` ends the wait.
    ///
    /// # Errors
    /// [`LockError::Held`] when another run still has it then.
    pub fn take(
        path: &Path,
        holder: &str,
        wait: Duration,
        mut waiting: impl FnMut(&str),
        stop: impl Fn() -> bool,
    ) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::Io)?;
        let until = Instant::now() + wait;
        let mut told = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let other = read_holder(&mut file);
                    if !told {
                        waiting(&other);
                        told = true;
                    }
                    if Instant::now() >= until || stop() {
                        return Err(LockError::Held(other));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(LockError::Io(error.into())),
            }
        }
        // Only for the message of whoever comes next: not worth a sync.
        file.set_len(0).map_err(LockError::Io)?;
        file.rewind().map_err(LockError::Io)?;
        let _ = file.write_all(holder.as_bytes());
        Ok(Self { _file: file })
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind();
    let _ = file.take(500).read_to_string(&mut text);
    if text.is_empty() { "another run".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_holds_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = RunLock::take(&path, "run 1 of anna", Duration::ZERO, |_| {}, || false).unwrap();
        let mut told = Vec::new();
        let second = RunLock::take(&path, "run 2", Duration::ZERO, |by| told.push(by.to_owned()), || false);
        assert!(matches!(second, Err(LockError::Held(by)) if by == "run 1 of anna"));
        assert_eq!(told, ["run 1 of anna"]);
        drop(first);
        // Another test's process has the file, too, until it is its program.
        RunLock::take(&path, "run 3", Duration::from_secs(60), |_| {}, || false).unwrap();
    }
}
