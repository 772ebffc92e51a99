//! What a node says about itself; the field names are those that templates see under `node`.

use serde::{Deserialize, Serialize};

use crate::bounded;

/// The facts of one node, gathered at the start of each session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Kernel host name.
    pub hostname: String,
    /// Fully qualified name where the node knows one, else the host name.
    pub fqdn: String,
    /// Operating system, from os-release(5).
    pub os: Os,
    /// Machine architecture as `uname -m` prints it: `x86_64`, `aarch64`.
    pub arch: String,
    /// Kernel release as `uname -r` prints it.
    pub kernel: String,
    /// Number of processors online.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: Memory,
    /// All addresses but loopback and link-local ones, without prefix lengths.
    #[serde(deserialize_with = "bounded::at_most::<10_000, _, _>")]
    pub addresses: Vec<String>,
    /// Network interfaces, loopback too.
    #[serde(deserialize_with = "bounded::at_most::<10_000, _, _>")]
    pub interfaces: Vec<Interface>,
    /// Mounted file systems that hold files (no proc, sysfs, cgroup and their like).
    #[serde(deserialize_with = "bounded::at_most::<20_000, _, _>")]
    pub mounts: Vec<Mount>,
    /// `none`, or what it runs in: `kvm`, `systemd-nspawn`, `docker`, `lxc`, …
    pub virtualization: String,
    /// PID 1: `systemd` or its command name.
    pub init: String,
    /// `apt`, `dnf`, `zypper`, `pacman`, `apk`, or empty.
    pub package_manager: String,
    /// Changes at every boot (random(4), boot_id).
    pub boot_id: String,
    /// machine-id(5), empty where there is none.
    pub machine_id: String,
    /// Effective user id the agent runs with.
    pub uid: u32,
    /// Seconds since 1970 by the node's clock.
    pub time: u64,
}

/// From os-release(5).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Os {
    /// `debian`, `redhat`, `suse`, `arch`, `alpine`, or the distribution's own id.
    pub family: String,
    /// `ID`: `debian`, `ubuntu`, `fedora`.
    pub name: String,
    /// `VERSION_ID`: `12`.
    pub version: String,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: String,
}

/// Memory in bytes, from /proc/meminfo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// `MemTotal`.
    pub total: u64,
    /// `MemAvailable`.
    pub available: u64,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Name, such as `eth0`.
    pub name: String,
    /// Hardware address, empty where there is none.
    pub mac: String,
    /// Addresses with prefix length: `10.0.0.5/24`.
    #[serde(deserialize_with = "bounded::at_most::<10_000, _, _>")]
    pub addresses: Vec<String>,
}

/// A mounted file system, from /proc/self/mounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is mounted.
    pub path: String,
    /// What is mounted.
    pub device: String,
    /// File system type.
    pub fstype: String,
    /// Mount options, comma separated.
    pub options: String,
}
