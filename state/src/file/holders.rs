//! Which processes hold a lock on a file, for a message.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
};

/// The processes of this PID namespace that hold a lock on the file, as `/proc/locks` tells
/// (proc(5)); empty when it does not.
pub(super) fn of(file: &File) -> Vec<u32> {
    let (Ok(locks), Ok(metadata)) = (fs::read_to_string("/proc/locks"), file.metadata()) else {
        return Vec::new();
    };
    let device = metadata.dev();
    let place =
        format!("{:02x}:{:02x}:{}", rustix::fs::major(device), rustix::fs::minor(device), metadata.ino());
    listed(&locks, &place)
}

/// Lines look like `3: FLOCK  ADVISORY  WRITE 4711 fe:00:1835 0 EOF`; one that waits has `->`
/// after its number. Locks of an open file have no process (-1), those of another namespace 0.
fn listed(locks: &str, place: &str) -> Vec<u32> {
    let mut pids: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            (fields.get(5) == Some(&place)).then(|| fields[4].parse().ok())?
        })
        .filter(|pid| *pid != 0)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    use super::{listed, of};

    #[test]
    fn reads_proc_locks() {
        let locks = "1: OFDLCK ADVISORY  WRITE -1 fe:00:1835 0 EOF\n\
                     1: -> OFDLCK ADVISORY  WRITE 99 fe:00:1835 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 4711 fe:00:1835 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 fe:00:1835 0 EOF\n\
                     4: POSIX  ADVISORY  READ 12 fe:00:1836 0 EOF\n";
        assert_eq!(listed(locks, "fe:00:1835"), [4711]);
        assert_eq!(listed(locks, "fe:00:1837"), [0; 0]);
    }

    #[test]
    fn finds_this_process() {
        let file = tempfile::tempfile().unwrap();
        file.lock().unwrap();
        assert_eq!(of(&file), [std::process::id()]);
    }
}
