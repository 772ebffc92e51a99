//! What this machine must have before a lab can run on it, and what exactly it lacks.

use std::fmt;
use std::fs;

use crate::cgroup::Hierarchies;
use crate::command::{locate, run};
use crate::error::LabError;

/// Tools and the Debian packages that bring them.
const TOOLS: [(&str, &str); 14] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("ssh-keygen", "openssh-client"),
    ("dpkg-deb", "dpkg"),
    ("apt-config", "apt"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("unshare", "util-linux"),
    ("chroot", "coreutils"),
    ("sha256sum", "coreutils"),
];

/// A tool that is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTool {
    /// The program.
    pub tool: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// All that a machine lacks to run a lab.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// The process is not root's.
    pub root: bool,
    /// Tools that are not installed.
    pub tools: Vec<MissingTool>,
    /// What the kernel does not offer.
    pub kernel: Vec<&'static str>,
}

impl Missing {
    /// The command that installs all missing tools, if any is missing.
    #[must_use]
    pub fn apt_line(&self) -> Option<String> {
        let mut packages: Vec<&str> = self.tools.iter().map(|missing| missing.package).collect();
        packages.sort_unstable();
        packages.dedup();
        (!packages.is_empty()).then(|| format!("apt-get install -y {}", packages.join(" ")))
    }

    pub(crate) fn hint(&self) -> Option<String> {
        let mut steps = Vec::new();
        if let Some(line) = self.apt_line() {
            steps.push(format!("install what is missing: `{line}`"));
        }
        if self.root {
            steps.push("run it again as root, for example with `sudo`".to_owned());
        }
        if !self.kernel.is_empty() {
            steps.push(
                "on a machine whose kernel lacks these, use the virtual machines of `vagrant/`".to_owned(),
            );
        }
        (!steps.is_empty()).then(|| steps.join("; "))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.root {
            parts.push("it needs root: hosts have their own mounts, network and processes".to_owned());
        }
        if !self.tools.is_empty() {
            let tools: Vec<String> = self
                .tools
                .iter()
                .map(|missing| format!("`{}` ({})", missing.tool, missing.package))
                .collect();
            parts.push(format!("not installed: {}", tools.join(", ")));
        }
        if !self.kernel.is_empty() {
            parts.push(format!("the kernel does not offer: {}", self.kernel.join(", ")));
        }
        out.write_str(&parts.join("; "))
    }
}

impl std::error::Error for Missing {}

/// Checks that this process may and this machine can run a lab; nothing is changed.
///
/// # Errors
/// All that is missing, at once.
pub fn requirements() -> Result<(), Missing> {
    let mut missing = Missing { root: !rustix::process::geteuid().is_root(), ..Missing::default() };
    missing.tools = TOOLS
        .iter()
        .filter(|(tool, _)| locate(tool).is_none())
        .map(|(tool, package)| MissingTool { tool, package })
        .collect();
    if !has_overlay(missing.root) {
        missing.kernel.push("overlayfs");
    }
    if Hierarchies::detect().is_none() {
        missing.kernel.push("cgroup 2 (mounted below /sys/fs/cgroup)");
    }
    if missing == Missing::default() { Ok(()) } else { Err(missing) }
}

/// The hierarchies for hosts' cgroups, on a machine that has passed [`requirements`].
pub(crate) fn hierarchies() -> Result<Hierarchies, LabError> {
    Hierarchies::detect().ok_or_else(|| {
        LabError::Missing(Missing {
            kernel: vec!["cgroup 2 (mounted below /sys/fs/cgroup)"],
            ..Missing::default()
        })
    })
}

fn has_overlay(not_root: bool) -> bool {
    let known = || fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("\toverlay\n"));
    // The module is loaded by the first mount; a user who is not root is told of root first.
    known() || not_root || (run("modprobe", &["overlay"]).is_ok() && known())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_told_at_once_with_one_line_to_install_it() {
        let missing = Missing {
            root: true,
            tools: vec![
                MissingTool { tool: "umount", package: "mount" },
                MissingTool { tool: "mount", package: "mount" },
                MissingTool { tool: "nft", package: "nftables" },
            ],
            kernel: vec!["overlayfs"],
        };
        assert_eq!(missing.apt_line().unwrap(), "apt-get install -y mount nftables");
        let text = missing.to_string();
        assert!(
            text.contains("needs root") && text.contains("`nft` (nftables)") && text.contains("overlayfs")
        );
        assert!(missing.hint().unwrap().contains("sudo"));
    }
}
