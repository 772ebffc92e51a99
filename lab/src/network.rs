//! A bridge with a subnet for each lab, and the way out for its hosts.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::command::{CommandError, run, run_with_input};
use crate::error::LabError;
use crate::files::failed;

/// Labs have the numbers 0 to 249, which is also the third part of their subnet.
pub(crate) const MOST_LABS: u8 = 250;

/// The names and addresses that follow from a lab's number. They are short because the kernel takes no
/// interface name longer than 15 bytes, and they are all that is needed to find what a lab has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LabNumber(pub(crate) u8);

impl LabNumber {
    /// The bridge: `cml7`.
    pub(crate) fn bridge(self) -> String {
        format!("cml{}", self.0)
    }

    /// The nftables table: `cm_lab_7`.
    pub(crate) fn table(self) -> String {
        format!("cm_lab_{}", self.0)
    }

    /// `10.213.7.0/24`
    pub(crate) fn subnet(self) -> String {
        format!("10.213.{}.0/24", self.0)
    }

    /// The machine's own address on the bridge.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.0, 1)
    }

    /// The address of the host with this slot, 0 for the first.
    pub(crate) fn address(self, slot: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.0, 11 + slot)
    }

    /// The name systemd-nspawn knows the host by: `cml7-1`.
    pub(crate) fn machine(self, slot: u8) -> String {
        format!("cml{}-{}", self.0, u16::from(slot) + 1)
    }

    /// The machine's end of the host's cable, as systemd-nspawn names it.
    pub(crate) fn cable(self, slot: u8) -> String {
        format!("vb-{}", self.machine(slot))
    }

    /// The bridge's port in place of the cable, while a process delays the host's frames.
    pub(crate) fn delayed_port(self, slot: u8) -> String {
        format!("vd-{}", self.machine(slot))
    }

    /// The host's cgroup.
    pub(crate) fn cgroup(self, slot: u8) -> String {
        format!("cm-lab-{}-{}", self.0, u16::from(slot) + 1)
    }
}

impl LabNumber {
    /// Whether nothing on the machine has a name or an address of this number.
    fn is_unused(self, interfaces: &[String], routes: &str) -> bool {
        let cables = ["vb", "vd"].map(|kind| format!("{kind}-{}-", self.bridge()));
        let ours = |name: &String| {
            *name == self.bridge() || cables.iter().any(|cable| name.starts_with(cable.as_str()))
        };
        !interfaces.iter().any(ours) && !routes.contains(&format!("10.213.{}.", self.0))
    }
}

/// The first number that neither `taken` nor the machine's interfaces and routes use.
pub(crate) fn free_number(taken: &[u8]) -> Result<LabNumber, LabError> {
    let routes = run("ip", &["-4", "route", "show", "table", "all"])?;
    let all = Path::new("/sys/class/net");
    let interfaces: Vec<String> = fs::read_dir(all)
        .map_err(failed("read", all))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    (0..MOST_LABS)
        .filter(|number| !taken.contains(number))
        .map(LabNumber)
        .find(|number| number.is_unused(&interfaces, &routes))
        .ok_or(LabError::NoSubnet)
}

fn interface(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// Whether an interface is there.
pub(crate) fn has_interface(name: &str) -> bool {
    interface(name).exists()
}

/// Makes the bridge and the table that masquerades the subnet.
pub(crate) fn create(number: LabNumber) -> Result<(), CommandError> {
    let bridge = number.bridge();
    // A fixed address: else the bridge takes the lowest of its ports and changes it with every host
    // that comes or goes, and the hosts' knowledge of their gateway is wrong for a while.
    let hardware = format!("02:63:6d:6c:00:{:02x}", number.0);
    run("ip", &["link", "add", "name", &bridge, "address", &hardware, "type", "bridge"])?;
    run("ip", &["address", "add", &format!("{}/24", number.gateway()), "dev", &bridge])?;
    run("ip", &["link", "set", "dev", &bridge, "up"])?;
    run_with_input("nft", &["-f", "-"], &ruleset(number)).map(drop)
}

/// Hosts reach what the machine reaches, but not the hosts of other labs. Their packets are larger than some uplinks take, so the
/// segment size is cut to the route's, or connections through a smaller uplink would stall.
fn ruleset(number: LabNumber) -> String {
    let (table, subnet) = (number.table(), number.subnet());
    format!(
        "table ip {table} {{\n\
         \tchain outgoing {{\n\
         \t\ttype nat hook postrouting priority srcnat; policy accept;\n\
         \t\tip saddr {subnet} ip daddr != {subnet} masquerade\n\
         \t}}\n\
         \tchain forwarded {{\n\
         \t\ttype filter hook forward priority mangle; policy accept;\n\
         \t\tip saddr {subnet} ip daddr 10.213.0.0/16 ip daddr != {subnet} drop\n\
         \t\tip saddr {subnet} tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu\n\
         \t}}\n\
         }}\n"
    )
}

/// Removes bridge and table; what is not there is no error.
pub(crate) fn remove(number: LabNumber) -> Result<(), CommandError> {
    if has_interface(&number.bridge()) {
        run("ip", &["link", "delete", "dev", &number.bridge()])?;
    }
    let table = number.table();
    let tables = run("nft", &["list", "tables", "ip"])?;
    if tables.lines().any(|line| line.trim() == format!("table ip {table}")) {
        run("nft", &["delete", "table", "ip", &table])?;
    }
    Ok(())
}

/// Cuts a host off, or gives it its network back.
///
/// The cable is taken out of the bridge and the host's hardware address is pinned: packets to the host
/// then vanish without a word, as behind a router whose other side is gone. A cable that is merely
/// down would be answered by this machine itself with "no route to host" after three seconds.
pub(crate) fn set_cut(number: LabNumber, slot: u8, cut: bool) -> Result<(), CommandError> {
    let (cable, bridge, address) = (port(number, slot), number.bridge(), number.address(slot).to_string());
    if cut {
        let hardware = neighbour(&bridge, &address)?.unwrap_or_else(|| "02:63:6d:6c:ff:ff".into());
        let pinned = ["neigh", "replace", &address, "lladdr", &hardware, "dev", &bridge, "nud", "permanent"];
        run("ip", &pinned)?;
        run("ip", &["link", "set", "dev", &cable, "nomaster"]).map(drop)
    } else {
        // The entry is away when the host was never cut.
        let _ = run("ip", &["neigh", "del", &address, "dev", &bridge]);
        run("ip", &["link", "set", "dev", &cable, "master", &bridge]).map(drop)
    }
}

fn neighbour(bridge: &str, address: &str) -> Result<Option<String>, CommandError> {
    let shown = run("ip", &["-4", "neigh", "show", address, "dev", bridge])?;
    Ok(shown.split_once("lladdr ").and_then(|(_, rest)| rest.split(' ').next()).map(str::to_owned))
}

/// Forgets a host's hardware address: its next start brings a new one or the same.
pub(crate) fn forget_neighbour(number: LabNumber, slot: u8) {
    let address = number.address(slot).to_string();
    // Nothing to forget is the usual case.
    let _ = run("ip", &["neigh", "del", &address, "dev", &number.bridge()]);
}

/// Takes away the cable of a host whose processes are gone.
///
/// The kernel does so by itself once nothing of the host's network is left. But connections that still
/// wait for a last answer are left, and where the host was cut they wait for minutes.
pub(crate) fn remove_cable(number: LabNumber, slot: u8) -> Result<(), CommandError> {
    let cable = number.cable(slot);
    match run("ip", &["link", "delete", "dev", &cable]) {
        // The kernel was faster, or there never was one.
        Err(_) if !has_interface(&cable) => Ok(()),
        other => other.map(drop),
    }
}

/// Whether the host's cable is there and not in the bridge.
pub(crate) fn is_cut(number: LabNumber, slot: u8) -> bool {
    let port = interface(&port(number, slot));
    port.exists() && !port.join("master").exists()
}

/// What of a host is in the bridge: its cable, or the end of the process that delays its frames.
fn port(number: LabNumber, slot: u8) -> String {
    let delayed = number.delayed_port(slot);
    if has_interface(&delayed) { delayed } else { number.cable(slot) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_name_fits_the_kernels_fifteen_bytes() {
        let last = LabNumber(MOST_LABS - 1);
        for name in [last.bridge(), last.cable(239), last.delayed_port(239)] {
            assert!(name.len() <= 15, "{name}");
        }
    }

    #[test]
    fn a_number_in_use_is_recognized_by_interfaces_and_routes() {
        let interfaces = ["lo".to_owned(), "vb-cml3-1".to_owned(), "cml12".to_owned()];
        let routes = "10.213.7.0/24 dev tun0 scope link\n";
        let unused = |number| LabNumber(number).is_unused(&interfaces, routes);
        assert!(!unused(3) && !unused(12) && !unused(7));
        assert!(unused(1) && unused(2) && unused(70));
    }

    #[test]
    fn addresses_stay_in_the_subnet() {
        let lab = LabNumber(7);
        assert_eq!(lab.address(0).to_string(), "10.213.7.11");
        assert_eq!(lab.address(239).to_string(), "10.213.7.250");
        assert_eq!(lab.gateway().to_string(), "10.213.7.1");
    }
}
