//! SSH keys: one pair to log in with for the lab, and host keys of its own for each host.

use std::fs;
use std::path::Path;

use crate::command::run;
use crate::error::LabError;
use crate::files::{failed, remove_if_there};

/// The kinds of host key a host gets. Debian's sshd offers an RSA key too; making one takes longer than
/// booting the host, so the hosts have none.
const HOST_KEY_KINDS: [&str; 2] = ["ed25519", "ecdsa"];

/// Makes an ed25519 pair without passphrase at `path` (0600) and `path.pub`; returns the public line.
pub(crate) fn make_pair(path: &Path, comment: &str) -> Result<String, LabError> {
    make(path, "ed25519", comment)
}

/// Makes a host's keys in its `etc/ssh`; returns the public lines without comment.
pub(crate) fn make_host_keys(folder: &Path, host: &str) -> Result<Vec<String>, LabError> {
    HOST_KEY_KINDS
        .iter()
        .map(|kind| {
            let public = make(&folder.join(format!("ssh_host_{kind}_key")), kind, &format!("root@{host}"))?;
            Ok(public.split(' ').take(2).collect::<Vec<_>>().join(" "))
        })
        .collect()
}

fn make(path: &Path, kind: &str, comment: &str) -> Result<String, LabError> {
    let public =
        path.with_file_name(format!("{}.pub", path.file_name().unwrap_or_default().to_string_lossy()));
    // ssh-keygen would ask whether to overwrite.
    remove_if_there(path)?;
    remove_if_there(&public)?;
    run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", comment, "-f", &path.to_string_lossy()])?;
    Ok(fs::read_to_string(&public).map_err(failed("read", &public))?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pair_is_for_its_owner_only_and_can_be_made_again() {
        if crate::command::locate("ssh-keygen").is_none() {
            return crate::skipped::skipped("making keys: `ssh-keygen` is not installed (openssh-client)");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab_key");
        let first = make_pair(&path, "cm-lab").unwrap();
        assert!(first.starts_with("ssh-ed25519 ") && first.ends_with(" cm-lab"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(make_pair(&path, "cm-lab").unwrap(), first);
    }
}
