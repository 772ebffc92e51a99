//! Whether a run holds the node now, found out without touching its lock: whoever takes a lock only to see whether it
//! is free makes others wait.

use std::{os::unix::fs::MetadataExt, path::Path};

/// Who holds the run lock; none: nobody.
pub fn of(lock: &Path) -> Option<String> {
    let inode = std::fs::metadata(lock).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    if !locks.lines().any(|line| is_held(line, inode)) {
        return None;
    }
    let text = std::fs::read_to_string(lock).unwrap_or_default();
    let holder: String = text.chars().take(500).collect();
    Some(if holder.is_empty() { "another run".to_owned() } else { holder })
}

/// `3: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF` (proc(5)). The device is left out: for some file systems
/// it is not the one that stat(2) tells, and a lock of another file by chance only puts a look off.
fn is_held(line: &str, inode: u64) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", _, file, ..] = words[..] else { return false };
    file.rsplit(':').next().and_then(|text| text.parse().ok()) == Some(inode)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lock::RunLock;

    #[test]
    fn a_held_lock_is_seen_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(of(&path), None);
        let lock = RunLock::take(&path, "run 1 of anna", Duration::ZERO, |_| {}, || false).unwrap();
        assert_eq!(of(&path).as_deref(), Some("run 1 of anna"));
        drop(lock);
        // Another test's process has the file, too, until it is its program.
        while of(&path).is_some() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn waiting_for_a_lock_is_not_holding_it() {
        assert!(is_held("1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF", 131_090));
        assert!(!is_held("1: -> FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF", 131_090));
        assert!(!is_held("1: POSIX  ADVISORY  WRITE 4711 08:01:131090 0 EOF", 131_090));
        assert!(!is_held("1: FLOCK  ADVISORY  WRITE 4711 08:01:131091 0 EOF", 131_090));
    }
}
