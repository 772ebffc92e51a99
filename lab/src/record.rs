//! What is recorded of a lab, and where: the one source for finding and removing it.
//!
//! The record is written before the first thing of a lab is made. All names follow from the lab's number,
//! so that a record alone, of whatever age, is enough to remove what a killed run has left.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::files::{FileLock, failed, make_folder, read_if_there, write};
use crate::network::LabNumber;
use crate::process::ProcessIdentity;
use crate::spec::{HostSpec, LabSpec, Release, Storage, check_lab_name};

/// Records, consoles and locks.
const STATE: &str = "/run/cm-lab";
/// What hosts write.
const DATA: &str = "/var/lib/cm-lab";

/// The version of the record's format; others are refused.
const VERSION: u32 = 1;

/// A host as recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    pub(crate) name: String,
    pub(crate) release: Release,
    /// Its place in the lab, which its address and its names follow from.
    pub(crate) slot: u8,
    pub(crate) address: Ipv4Addr,
}

/// How far a lab has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// It is being made, or the run that made it was killed.
    Making,
    /// It was made completely.
    Up,
    /// It is being removed, or the run that removed it was killed.
    Removing,
}

/// A file the lab has written outside its own folders, and its digest: it is removed with the lab
/// unless somebody has changed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WrittenFile {
    pub(crate) path: PathBuf,
    pub(crate) blake3: String,
}

/// A lab as recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LabRecord {
    version: u32,
    pub(crate) name: String,
    pub(crate) number: u8,
    pub(crate) stage: Stage,
    /// The machine's boot the lab was made in: after another one nothing of it runs.
    pub(crate) boot_id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) dir: PathBuf,
    pub(crate) storage: Storage,
    pub(crate) boot_limit_secs: u64,
    pub(crate) hosts: Vec<HostRecord>,
    pub(crate) written: Vec<WrittenFile>,
    /// The images its hosts lie over: they are not cleaned up while it is there.
    pub(crate) images: Vec<PathBuf>,
}

/// The processes of a running host.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct HostProcesses {
    /// The shell that starts systemd-nspawn again when the host reboots.
    pub(crate) keeper: ProcessIdentity,
    /// The host's init, once it is known.
    pub(crate) leader: Option<ProcessIdentity>,
}

impl LabRecord {
    pub(crate) fn new(spec: &LabSpec, number: LabNumber) -> Result<Self, LabError> {
        let host = |(slot, host): (u8, &HostSpec)| HostRecord {
            name: host.name.clone(),
            release: host.release,
            slot,
            address: number.address(slot),
        };
        Ok(Self {
            version: VERSION,
            name: spec.name.clone(),
            number: number.0,
            stage: Stage::Making,
            boot_id: boot_id()?,
            created: std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
            dir: std::path::absolute(&spec.dir).map_err(failed("find", &spec.dir))?,
            storage: spec.storage,
            boot_limit_secs: spec.boot_limit.as_secs(),
            hosts: (0..).zip(&spec.hosts).map(host).collect(),
            written: Vec::new(),
            images: Vec::new(),
        })
    }

    pub(crate) fn number(&self) -> LabNumber {
        LabNumber(self.number)
    }

    /// Writes the record as it is now.
    pub(crate) fn save(&self) -> Result<(), LabError> {
        make_folder(&folder(&self.name), 0o755)?;
        let path = path(&self.name);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| LabError::Record { path: path.clone(), source })?;
        write(&path, &text, 0o644)
    }

    /// Reads a lab's record; none if there is no such lab.
    pub(crate) fn load(name: &str) -> Result<Option<Self>, LabError> {
        check_lab_name(name)?;
        let path = path(name);
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        let record: Self = serde_json::from_slice(&text)
            .map_err(|source| LabError::Record { path: path.clone(), source })?;
        if record.version == VERSION && record.name == name {
            return Ok(Some(record));
        }
        Err(LabError::NotOurs { what: format!("`{}` (another version's record)", path.display()) })
    }

    pub(crate) fn is_of_this_boot(&self) -> bool {
        boot_id().is_ok_and(|id| id == self.boot_id)
    }

    /// Where what its hosts write goes.
    pub(crate) fn data(&self) -> PathBuf {
        Path::new(DATA).join(&self.name)
    }

    /// Where the processes of a host are recorded.
    pub(crate) fn processes_path(&self, host: &str) -> PathBuf {
        folder(&self.name).join(format!("{host}.processes"))
    }

    /// Where the process that delays a host's frames is recorded.
    pub(crate) fn delay_path(&self, host: &str) -> PathBuf {
        folder(&self.name).join(format!("{host}.delay"))
    }

    /// Where a host's console output goes.
    pub(crate) fn console_path(&self, host: &str) -> PathBuf {
        folder(&self.name).join(format!("{host}.console"))
    }

    pub(crate) fn save_processes(&self, host: &str, processes: HostProcesses) -> Result<(), LabError> {
        let path = self.processes_path(host);
        let text = serde_json::to_vec(&processes)
            .map_err(|source| LabError::Record { path: path.clone(), source })?;
        write(&path, &text, 0o644)
    }

    pub(crate) fn load_processes(&self, host: &str) -> Option<HostProcesses> {
        serde_json::from_slice(&fs::read(self.processes_path(host)).ok()?).ok()
    }
}

fn boot_id() -> Result<String, LabError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(fs::read_to_string(path).map_err(failed("read", path))?.trim().to_owned())
}

/// The folder of a lab's record.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(STATE).join(name)
}

fn path(name: &str) -> PathBuf {
    folder(name).join("lab.json")
}

/// Where the machine's raised settings are recorded.
pub(crate) fn settings_path() -> PathBuf {
    Path::new(STATE).join("settings.json")
}

/// The names of all labs with a record.
pub(crate) fn names() -> Result<Vec<String>, LabError> {
    let state = Path::new(STATE);
    let entries = match fs::read_dir(state) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", state)(error)),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check_lab_name(name).is_ok() && path(name).exists())
        .collect();
    names.sort();
    Ok(names)
}

/// Held while numbers are given out and common things are changed.
pub(crate) fn common_lock() -> Result<FileLock, LabError> {
    FileLock::wait(&Path::new(STATE).join(".lock"))
}

/// Held while a lab is made or removed. It ends with its process, so a record in the stage `Making` whose
/// lock is free was left behind. It lies outside the lab's folder, which comes and goes.
pub(crate) fn lab_lock(name: &str) -> Result<FileLock, LabError> {
    check_lab_name(name)?;
    let began = Instant::now();
    loop {
        if let Some(lock) = FileLock::try_take(&lock_path(name))? {
            return Ok(lock);
        }
        // Work on a single host is soon done; making a lab is not.
        if began.elapsed() > Duration::from_secs(5) {
            return Err(LabError::Busy { name: name.into() });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Held while a host is worked on: the lab is neither made nor removed meanwhile.
pub(crate) fn share_lab(name: &str) -> Result<FileLock, LabError> {
    FileLock::share(&lock_path(name))
}

/// Held while a host is started or killed.
pub(crate) fn host_lock(lab: &str, host: &str) -> Result<FileLock, LabError> {
    FileLock::wait(&lock_path(&format!("{lab}.{host}")))
}

/// Whether somebody works on the lab at this moment.
pub(crate) fn is_locked(name: &str) -> bool {
    matches!(FileLock::try_take(&lock_path(name)), Ok(None))
}

fn lock_path(name: &str) -> PathBuf {
    Path::new(STATE).join(".locks").join(name)
}
