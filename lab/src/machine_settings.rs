//! The two kernel settings of this machine that labs need, raised for the first lab and put back with the last.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::files::{failed, read_if_there, remove_if_there, write};

/// A setting, and the least it must be.
const NEEDED: [(&str, u64); 2] = [
    // Hosts reach the package source through this machine.
    ("/proc/sys/net/ipv4/ip_forward", 1),
    // Each systemd takes some; with Debian's 128 the fourth host's services fail.
    ("/proc/sys/fs/inotify/max_user_instances", 8192),
];

#[derive(Debug, Serialize, Deserialize)]
struct Raised {
    path: String,
    before: u64,
    after: u64,
}

/// Raises what is too low and records what it was. The caller holds the labs' common lock.
pub(crate) fn raise(record: &Path) -> Result<(), LabError> {
    let mut raised = recorded(record)?;
    for (path, least) in NEEDED {
        let path = Path::new(path);
        let before = value(path)?;
        if before >= least {
            continue;
        }
        raised.push(Raised { path: path.to_string_lossy().into_owned(), before, after: least });
        // Recorded before it is changed: a run killed in between leaves a record, never a change without one.
        let text = serde_json::to_vec(&raised).unwrap_or_default();
        write(record, &text, 0o600)?;
        fs::write(path, least.to_string()).map_err(failed("set", path))?;
    }
    Ok(())
}

/// Puts back what nobody has changed since.
pub(crate) fn restore(record: &Path) -> Result<(), LabError> {
    for setting in recorded(record)? {
        let path = Path::new(&setting.path);
        if value(path)? == setting.after {
            fs::write(path, setting.before.to_string()).map_err(failed("set", path))?;
        }
    }
    remove_if_there(record)
}

fn recorded(record: &Path) -> Result<Vec<Raised>, LabError> {
    // A record that cannot be read says nothing about what to put back.
    Ok(read_if_there(record)?.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
}

fn value(path: &Path) -> Result<u64, LabError> {
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    Ok(text.trim().parse().unwrap_or(0))
}
