//! A cgroup for each host, made before the host starts.
//!
//! Without one of their own the hosts' systemds would share the cgroup of whoever started them and remove
//! each other's (units then fail with 219/CGROUP). The cgroup is also what holds a host together: all its
//! processes are found in it, frozen in it and killed in it, whatever became of the process that began it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::files::failed;
use crate::process::{ProcessIdentity, is_container_init};

/// The hierarchies that a host needs a cgroup in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Where cgroup 2 is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside cgroup 1.
    unified: PathBuf,
    /// Where the hierarchy named `systemd` of cgroup 1 is mounted, if it is.
    named: Option<PathBuf>,
}

impl Hierarchies {
    /// Finds them among the mounts; none where cgroup 2 is not mounted.
    pub(crate) fn detect() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    fn parse(mountinfo: &str) -> Option<Self> {
        let (mut unified, mut named) = (None, None);
        for line in mountinfo.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let Some(place) = place.split(' ').nth(4).filter(|place| place.starts_with("/sys/fs/cgroup"))
            else {
                continue;
            };
            let mut kind = kind.split(' ');
            match (kind.next(), kind.nth(1)) {
                (Some("cgroup2"), _) => unified = unified.or(Some(PathBuf::from(place))),
                (Some("cgroup"), Some(options)) if options.split(',').any(|o| o == "name=systemd") => {
                    named = named.or(Some(PathBuf::from(place)));
                }
                _ => {}
            }
        }
        Some(Self { unified: unified?, named })
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.unified).chain(&self.named)
    }
}

/// The cgroup of one host, by name, in every hierarchy that matters.
#[derive(Debug, Clone)]
pub(crate) struct HostCgroup {
    hierarchies: Hierarchies,
    name: String,
}

impl HostCgroup {
    /// Names the cgroup; nothing is made.
    pub(crate) fn new(hierarchies: Hierarchies, name: impl Into<String>) -> Self {
        Self { hierarchies, name: name.into() }
    }

    /// Makes it, with one child for the process that keeps the host going and one for the host itself:
    /// cgroup 2 gives no controllers to the children of a cgroup that holds processes.
    pub(crate) fn create(&self) -> Result<(), LabError> {
        for root in self.hierarchies.all() {
            let own = root.join(&self.name);
            for part in ["", "keeper", "machine"] {
                let folder = own.join(part);
                fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
            }
        }
        // Controllers are a gift where the machine has them to give; hosts run without.
        let own = self.unified();
        if let Ok(controllers) = fs::read_to_string(own.join("cgroup.controllers")) {
            for controller in controllers.split_whitespace() {
                let _ = fs::write(own.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        Ok(())
    }

    /// The files a process writes its pid to when it joins `part`.
    pub(crate) fn entrances(&self, part: &str) -> Vec<PathBuf> {
        self.hierarchies.all().map(|root| root.join(&self.name).join(part).join("cgroup.procs")).collect()
    }

    fn unified(&self) -> PathBuf {
        self.hierarchies.unified.join(&self.name)
    }

    /// All processes in it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        collect_processes(&self.unified(), &mut found);
        found
    }

    /// The host's own init, seen from this machine.
    pub(crate) fn leader(&self) -> Option<ProcessIdentity> {
        self.processes().into_iter().find(|pid| is_container_init(*pid)).and_then(ProcessIdentity::of)
    }

    /// Kills all processes in it and waits until they are gone.
    pub(crate) fn kill(&self, lab: &str, limit: Duration) -> Result<(), LabError> {
        let own = self.unified();
        if !own.exists() {
            return Ok(());
        }
        // cgroup.kill (Linux 5.14) takes all at once; before that, round after round.
        let at_once = fs::write(own.join("cgroup.kill"), "1").is_ok();
        if !at_once {
            let _ = fs::write(own.join("cgroup.freeze"), "0");
        }
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                return Ok(());
            }
            if !at_once {
                left.iter().filter_map(|pid| ProcessIdentity::of(*pid)).for_each(ProcessIdentity::kill);
            }
            if began.elapsed() > limit {
                let what = format!("{} processes in cgroup {}", left.len(), self.name);
                return Err(LabError::StillThere { lab: lab.into(), what, after: limit });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Freezes or thaws all processes in it; a frozen host takes connections and says nothing.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), LabError> {
        // The keeper stays awake: it only waits.
        let file = self.unified().join("machine/cgroup.freeze");
        fs::write(&file, if frozen { "1" } else { "0" }).map_err(failed("write", &file))?;
        let events = self.unified().join("machine/cgroup.events");
        let wanted = if frozen { "frozen 1" } else { "frozen 0" };
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if fs::read_to_string(&events).map_err(failed("read", &events))?.contains(wanted) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether it is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        fs::read_to_string(self.unified().join("machine/cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
    }

    /// Removes it; it must be empty of processes.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        for root in self.hierarchies.all() {
            remove_tree(&root.join(&self.name))?;
        }
        Ok(())
    }
}

fn collect_processes(folder: &Path, found: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(folder.join("cgroup.procs")) {
        // A pid of 0 is a process outside this pid namespace.
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    for child in children(folder) {
        collect_processes(&child, found);
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(folder: &Path) -> Result<(), LabError> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    // A cgroup whose last process has just ended is busy for a moment.
    for attempt in 0.. {
        match fs::remove_dir(folder) {
            Ok(()) => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(_) if attempt < 200 => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(failed("remove", folder)(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hierarchies_of_a_hybrid_machine_are_found() {
        let text = "30 29 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                    31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                    32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                    33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                    34 30 0:29 / /mnt/elsewhere rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(text).unwrap();
        assert_eq!(found.unified, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(found.named.as_deref(), Some(Path::new("/sys/fs/cgroup/systemd")));
    }

    #[test]
    fn a_pure_cgroup_2_machine_has_one() {
        let text = "30 29 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = Hierarchies::parse(text).unwrap();
        assert_eq!(found, Hierarchies { unified: "/sys/fs/cgroup".into(), named: None });
    }

    #[test]
    fn cgroup_1_alone_is_not_enough() {
        assert_eq!(
            Hierarchies::parse("32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"),
            None
        );
    }
}
