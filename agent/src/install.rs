//! Puts the agent's own program in its place after it was received: checked, synced, renamed.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use cm_wire::Digest;

/// Why the received program was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is not what the controller sent.
    #[error("the agent arrived damaged: expected {expected}, received {received}")]
    Damaged {
        /// The digest the controller named.
        expected: String,
        /// The digest of what arrived.
        received: Digest,
    },
    /// The file system refused.
    #[error("cannot install the agent: {0}")]
    Io(#[from] io::Error),
}

/// Checks the running program against `digest` and renames it to `target`. Agents of other versions
/// beside it that were not used for 30 days are removed, and what was received in part.
///
/// # Errors
/// When the digest differs or the file system refuses.
pub fn install(digest: &str, target: &Path) -> Result<(), InstallError> {
    let own = fs::read_link("/proc/self/exe")?;
    let file = fs::File::open(&own)?;
    let (received, _) = Digest::of_reader(&file)?;
    if received.to_string() != digest {
        // What remains is useless to anyone.
        let _ = fs::remove_file(&own);
        return Err(InstallError::Damaged { expected: digest.to_owned(), received });
    }
    file.sync_all()?;
    if let Some(folder) = target.parent() {
        keep_to_owner(folder)?;
    }
    fs::rename(&own, target)?;
    if let Some(folder) = target.parent() {
        fs::File::open(folder)?.sync_all()?;
        remove_old(folder, target);
    }
    Ok(())
}

/// Takes from everybody else the right to write where programs are started from.
fn keep_to_owner(folder: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & 0o022 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn remove_old(folder: &Path, keep: &Path) {
    const UNUSED: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // One that is being received is named for the shell that receives it.
        let receiver = name.strip_prefix(".cm-agent-").and_then(|rest| rest.rsplit_once('.'));
        if receiver.is_some_and(|(_, process)| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_file(entry.path());
        }
        let ours = name.starts_with("cm-agent-");
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.accessed())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > UNUSED));
        if ours && old && entry.path() != keep {
            let _ = fs::remove_file(entry.path());
        }
    }
}
