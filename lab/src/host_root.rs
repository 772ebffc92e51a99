//! A host's root: an overlay over the image, with the few files that make it this host.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apt_access::{AptAccess, resolv_conf};
use crate::error::LabError;
use crate::files::{failed, make_folder, remove_if_there, write};
use crate::image::Image;
use crate::keys::make_host_keys;
use crate::mounts::mount_overlay;
use crate::record::{HostRecord, LabRecord};

/// What all hosts of a lab are given.
pub(crate) struct HostGifts<'a> {
    /// The public line of the lab's key.
    pub(crate) public_key: &'a str,
    /// The way to the machine's package source; none for hosts that have only the lab's own.
    pub(crate) access: Option<&'a AptAccess>,
}

/// Where a host's tree is mounted.
pub(crate) fn root_path(record: &LabRecord, host: &HostRecord) -> PathBuf {
    record.data().join("hosts").join(&host.name).join("root")
}

/// Mounts a new host's tree and fills it; returns the host's public SSH keys.
pub(crate) fn prepare(
    record: &LabRecord,
    host: &HostRecord,
    image: &Image,
    gifts: &HostGifts<'_>,
) -> Result<Vec<String>, LabError> {
    let folder = record.data().join("hosts").join(&host.name);
    let (upper, work, root) = (folder.join("upper"), folder.join("work"), folder.join("root"));
    for part in [&upper, &work, &root] {
        make_folder(part, 0o755)?;
    }
    mount_overlay(&image.root, &upper, &work, &root)?;
    let etc = root.join("etc");
    write(&etc.join("hostname"), format!("{}\n", host.name).as_bytes(), 0o644)?;
    write(&etc.join("hosts"), hosts_file(record, host).as_bytes(), 0o644)?;
    write(&etc.join("machine-id"), machine_id()?.as_bytes(), 0o444)?;
    make_folder(&etc.join("systemd/network"), 0o755)?;
    write(&etc.join("systemd/network/10-host0.network"), network_file(record, host).as_bytes(), 0o644)?;
    // It may be a link in the image, and a link's target is not what is meant.
    remove_if_there(&etc.join("resolv.conf"))?;
    if let Some(access) = gifts.access {
        write(&etc.join("resolv.conf"), resolv_conf().as_bytes(), 0o644)?;
        let sources = image.sources.iter().map(|line| format!("{line}\n")).collect::<String>();
        write(&etc.join("apt/sources.list.d/debian.list"), sources.as_bytes(), 0o644)?;
        access.write_into(&root)?;
    }
    for home in ["root", "home/admin", "home/ops"] {
        // Written in place: the file is there with its owner and mode.
        let path = root.join(home).join(".ssh/authorized_keys");
        fs::write(&path, format!("{}\n", gifts.public_key)).map_err(failed("write", &path))?;
    }
    make_host_keys(&etc.join("ssh"), &host.name)
}

fn hosts_file(record: &LabRecord, host: &HostRecord) -> String {
    let mut text = format!("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost\n", host.name);
    for other in record.hosts.iter().filter(|other| other.name != host.name) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}", other.address, other.name);
    }
    text
}

/// The host keeps its address when its cable is taken away, as one that is cut somewhere behind a switch.
fn network_file(record: &LabRecord, host: &HostRecord) -> String {
    format!(
        "[Match]\nName=host0\n\n[Network]\nAddress={}/24\nGateway={}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
         LLDP=no\nEmitLLDP=no\nConfigureWithoutCarrier=yes\nIgnoreCarrierLoss=yes\n",
        host.address,
        record.number().gateway()
    )
}

fn machine_id() -> Result<String, LabError> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    Ok(fs::read_to_string(path).map_err(failed("read", path))?.replace('-', ""))
}
