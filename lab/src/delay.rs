//! A link that takes its time: what goes to a host and what comes from it is on its way for a while.
//!
//! The kernel does it where it has netem. Where not, a small process joins the host's cable and the bridge, and holds
//! each frame for half of the delay in either direction. It is a copy of the process that asks for it, made by fork
//! and left to the machine's init, so that no program has to be found; it ends with the cable.

mod held;
mod relay;
mod sockets;

use std::fs;
use std::io;
use std::time::Duration;

use crate::command::{CommandError, run};
use crate::error::LabError;
use crate::files::{failed, remove_if_there, write};
use crate::network::LabNumber;
use crate::process::ProcessIdentity;
use crate::record::{HostRecord, LabRecord};

/// How long a killed process may take to give its interface back.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// Makes the round trip to a host longer by so many milliseconds; 0 takes the delay away.
pub(crate) fn set(record: &LabRecord, host: &HostRecord, milliseconds: u32) -> Result<(), LabError> {
    let number = record.number();
    let cable = number.cable(host.slot);
    end(record, host)?;
    // There is nothing to delete when no delay was set.
    let _ = run("tc", &["qdisc", "delete", "dev", &cable, "root"]);
    if milliseconds == 0 {
        return Ok(());
    }
    let delay = format!("{milliseconds}ms");
    if run("tc", &["qdisc", "replace", "dev", &cable, "root", "netem", "delay", &delay, "limit", "10000"])
        .is_ok()
    {
        return Ok(());
    }
    let port = number.delayed_port(host.slot);
    let sockets =
        sockets::open(&cable, &port).map_err(failed("join the network", "/dev/net/tun".as_ref()))?;
    let joined = join(number, host.slot).map_err(LabError::from).and_then(|()| {
        let half = Duration::from_micros(u64::from(milliseconds) * 500);
        let process =
            relay::start(&sockets, half).map_err(failed("start a copy of", "/proc/self/exe".as_ref()))?;
        let path = record.delay_path(&host.name);
        let text =
            serde_json::to_vec(&process).map_err(|source| LabError::Record { path: path.clone(), source })?;
        write(&path, &text, 0o644).inspect_err(|_| process.kill())
    });
    if joined.is_err() {
        drop(sockets);
        part(number, host.slot)?;
    }
    joined
}

/// The bridge gets the process's end in place of the host's cable.
fn join(number: LabNumber, slot: u8) -> Result<(), CommandError> {
    let (cable, port, bridge) = (number.cable(slot), number.delayed_port(slot), number.bridge());
    // Out of the bridge, the machine itself would answer the host's questions for hardware addresses there.
    run("ip", &["link", "set", "dev", &cable, "nomaster", "arp", "off"])?;
    run("ip", &["link", "set", "dev", &port, "master", &bridge, "up"]).map(drop)
}

/// The bridge gets the host's cable back, if there still is one.
fn part(number: LabNumber, slot: u8) -> Result<(), CommandError> {
    let cable = number.cable(slot);
    match run("ip", &["link", "set", "dev", &cable, "master", &number.bridge(), "arp", "on"]) {
        Err(_) if !crate::network::has_interface(&cable) => Ok(()),
        other => other.map(drop),
    }
}

/// Ends the process that delays a host's frames, if there is one.
pub(crate) fn end(record: &LabRecord, host: &HostRecord) -> Result<(), LabError> {
    let path = record.delay_path(&host.name);
    let Some(process) = read(&path) else { return Ok(()) };
    if record.is_of_this_boot() {
        process.kill();
        let port = record.number().delayed_port(host.slot);
        let began = std::time::Instant::now();
        // Its interface goes with its last open file.
        while process.is_alive() || crate::network::has_interface(&port) {
            if began.elapsed() > GONE_LIMIT {
                return Err(failed("end the delay of", &path)(io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        part(record.number(), host.slot)?;
    }
    remove_if_there(&path)
}

fn read(path: &std::path::Path) -> Option<ProcessIdentity> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
