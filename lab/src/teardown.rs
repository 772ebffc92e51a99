//! Removing a lab: everything that follows from its record, and nothing else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::LabError;
use crate::host::kill;
use crate::inventory_file::remove_files;
use crate::lab::{Lab, LabState};
use crate::machine_settings;
use crate::mounts::{remove_folder, unmount_below};
use crate::network;
use crate::record::{self, LabRecord, Stage};

/// What [`down_all`] did.
#[derive(Debug, Default)]
pub struct Removed {
    /// The labs that are gone.
    pub removed: Vec<String>,
    /// The labs that are still there, and why.
    pub kept: Vec<(String, LabError)>,
}

/// Removes a lab: its hosts and all they wrote, its network, its files. A lab that a killed run left
/// behind half made or half removed is removed as well.
///
/// # Errors
/// There is no such lab, another process is making it, or something of it would not go away.
pub fn down(name: &str) -> Result<(), LabError> {
    let _lock = record::lab_lock(name)?;
    let record = LabRecord::load(name)?.ok_or_else(|| LabError::NotFound {
        name: name.to_owned(),
        known: record::names().unwrap_or_default(),
    })?;
    remove(record)
}

/// Removes all labs but those that another process is making at this moment.
///
/// # Errors
/// The labs cannot be listed. What keeps a single lab is told in the answer.
pub fn down_all() -> Result<Removed, LabError> {
    down_where(|_| true)
}

/// Removes the labs that killed runs and former boots of the machine have left behind.
///
/// # Errors
/// As [`down_all`].
pub fn down_left_behind() -> Result<Removed, LabError> {
    down_where(|lab| lab.state() == LabState::LeftBehind)
}

fn down_where(chosen: impl Fn(&Lab) -> bool) -> Result<Removed, LabError> {
    let mut answer = Removed::default();
    for name in record::names()? {
        // A record that cannot be read is told by `down`.
        if crate::find(&name).is_ok_and(|lab| !chosen(&lab)) {
            continue;
        }
        match down(&name) {
            Ok(()) => answer.removed.push(name),
            // Somebody else removed it in the meantime.
            Err(LabError::NotFound { .. }) => {}
            Err(error) => answer.kept.push((name, error)),
        }
    }
    Ok(answer)
}

/// Removes a lab whose lock the caller holds.
pub(crate) fn remove(mut record: LabRecord) -> Result<(), LabError> {
    record.stage = Stage::Removing;
    record.save()?;
    let results: Vec<Result<(), LabError>> = std::thread::scope(|scope| {
        let hosts: Vec<_> = record.hosts.iter().map(|host| scope.spawn(|| kill(&record, host))).collect();
        // A panic in a thread is one of ours and goes on here.
        hosts
            .into_iter()
            .map(|host| host.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.into_iter().collect::<Result<(), LabError>>()?;
    network::remove(record.number())?;
    for host in &record.hosts {
        remove_nspawn_remains(&record, &record.number().machine(host.slot))?;
    }
    remove_folder(&record.name, &record.data())?;
    remove_files(&record)?;
    let _common = record::common_lock()?;
    let folder = record::folder(&record.name);
    fs::remove_dir_all(&folder).map_err(crate::files::failed("remove", &folder))?;
    if record::names()?.is_empty() {
        machine_settings::restore(&record::settings_path())?;
    }
    Ok(())
}

/// Folders that a killed systemd-nspawn has not removed itself; they bear the host's unique name.
fn remove_nspawn_remains(record: &LabRecord, machine: &str) -> Result<(), LabError> {
    for kind in ["propagate", "unix-export"] {
        let folder = Path::new("/run/systemd/nspawn").join(kind).join(machine);
        if folder.exists() {
            unmount_below(&record.name, &folder, Duration::from_secs(5))?;
            // Empty folders only; something in them is not the lab's.
            let _ = fs::remove_dir(&folder);
        }
    }
    Ok(())
}
