//! Facts of this machine: what templates see under `node`.
//!
//! Gathered at the start of every session, so it must be fast: files of /proc, /sys and /etc and two
//! netlink requests; no process is started. What cannot be read is left empty: facts never fail.

#![expect(
    clippy::disallowed_methods,
    reason = "facts are read of the machine itself, before any node is opened"
)]

mod mounts;
mod network;
mod system;
mod virtualization;

use std::time::{SystemTime, UNIX_EPOCH};

use cm_wire::Facts;

/// What most of these files are shorter than, in bytes.
const STEP: usize = 8 * 1024;

/// Gathers the facts of this machine.
#[must_use]
pub fn gather() -> Facts {
    let uname = rustix::system::uname();
    let hostname = uname.nodename().to_string_lossy().into_owned();
    let os_release = first_of(&["/etc/os-release", "/usr/lib/os-release"]);
    let os = system::parse_os(&os_release);
    let interfaces = network::interfaces();
    Facts {
        fqdn: system::fqdn(&hostname, &text("/etc/hosts")),
        hostname,
        package_manager: system::package_manager(&os.family, &exists).to_owned(),
        os,
        arch: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        cpus: cpus(),
        memory: system::parse_memory(&text("/proc/meminfo")),
        addresses: network::public_addresses(&interfaces),
        interfaces,
        mounts: mounts::parse(&text("/proc/self/mounts")),
        virtualization: virtualization::detect(&Machine),
        init: init(),
        boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        machine_id: text("/etc/machine-id").trim().to_owned(),
        uid: rustix::process::geteuid().as_raw(),
        time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    }
}

/// The package manager of this machine, empty where none is known.
pub(crate) fn package_manager() -> &'static str {
    let os = system::parse_os(&first_of(&["/etc/os-release", "/usr/lib/os-release"]));
    system::package_manager(&os.family, &exists)
}

/// A small file as text, empty where it cannot be read.
fn text(path: &str) -> String {
    let bytes = read(path).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Reads in large steps: files of /proc do not say how long they are.
fn read(path: &str) -> rustix::io::Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(STEP);
    loop {
        bytes.reserve(STEP / 2);
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn first_of(paths: &[&str]) -> String {
    paths.iter().map(|path| text(path)).find(|text| !text.is_empty()).unwrap_or_default()
}

fn exists(path: &str) -> bool {
    std::fs::metadata(path).is_ok()
}

fn cpus() -> u32 {
    match system::count_cpus(&text("/sys/devices/system/cpu/online")) {
        // No /sys, as in a bare chroot.
        0 => std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        count => count,
    }
}

fn init() -> String {
    // What sd_booted(3) asks.
    if exists("/run/systemd/system") {
        return "systemd".to_owned();
    }
    text("/proc/1/comm").trim().to_owned()
}

/// The real machine, for [`virtualization::detect`].
struct Machine;

impl virtualization::Sources for Machine {
    fn text(&self, path: &str) -> String {
        text(path)
    }

    fn exists(&self, path: &str) -> bool {
        exists(path)
    }

    fn hypervisor(&self) -> Option<[u8; 12]> {
        virtualization::cpuid_hypervisor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        let facts = gather();
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty());
        assert_eq!(facts.arch, std::env::consts::ARCH);
        assert!(facts.cpus >= 1 && facts.memory.total > facts.memory.available);
        assert!(facts.mounts.iter().any(|mount| mount.path == "/"));
        let loopback = facts.interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert!(loopback.addresses.contains(&"127.0.0.1/8".to_owned()), "{loopback:?}");
        assert!(!facts.addresses.contains(&"127.0.0.1".to_owned()));
        assert_eq!(facts.boot_id.len(), 36);
    }
}
