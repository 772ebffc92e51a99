//! Mounting a host's overlay and making sure it is gone before anything below it is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command::{CommandError, run};
use crate::error::LabError;
use crate::files::failed;

/// Mounts `lower` with all changes going to `upper`.
pub(crate) fn mount_overlay(lower: &Path, upper: &Path, work: &Path, at: &Path) -> Result<(), CommandError> {
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    run("mount", &["-t", "overlay", "cm-lab", "-o", &options, &at.to_string_lossy()]).map(drop)
}

/// Mounts a tmpfs that only root can look into.
pub(crate) fn mount_memory(at: &Path) -> Result<(), CommandError> {
    run("mount", &["-t", "tmpfs", "cm-lab", "-o", "mode=0755", &at.to_string_lossy()]).map(drop)
}

/// The mounts at or below a folder, deepest and latest first: the order they can be unmounted in.
pub(crate) fn mounts_below(folder: &Path) -> Result<Vec<PathBuf>, LabError> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(table).map_err(failed("read", table))?;
    Ok(parse_below(&text, folder))
}

fn parse_below(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|place| PathBuf::from(unescape(place)))
        .filter(|place| place.starts_with(folder))
        .collect();
    found.reverse();
    found
}

/// mountinfo writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Unmounts all at or below a folder, waiting for what still holds them to end.
pub(crate) fn unmount_below(lab: &str, folder: &Path, limit: Duration) -> Result<(), LabError> {
    let began = Instant::now();
    loop {
        let mounts = mounts_below(folder)?;
        let Some(first) = mounts.first() else { return Ok(()) };
        for place in &mounts {
            // A mount that is still in use is tried again below.
            let _ = run("umount", &[place]);
        }
        if began.elapsed() > limit {
            let what = format!("the mount at {}", first.display());
            return Err(LabError::StillThere { lab: lab.into(), what, after: limit });
        }
        if !mounts_below(folder)?.is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Removes a folder with all in it, after making sure that nothing is mounted there.
pub(crate) fn remove_folder(lab: &str, folder: &Path) -> Result<(), LabError> {
    unmount_below(lab, folder, Duration::from_secs(20))?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_of_the_folder_are_found_deepest_first() {
        let text = "1 0 0:1 / /a rw - tmpfs x rw\n\
                    2 1 0:2 / /a/b rw - overlay x rw\n\
                    3 1 0:3 / /ab rw - tmpfs x rw\n\
                    4 2 0:4 / /a/b/c\\040d rw - tmpfs x rw\n";
        let found = parse_below(text, Path::new("/a"));
        assert_eq!(found, [Path::new("/a/b/c d"), Path::new("/a/b"), Path::new("/a")]);
    }
}
