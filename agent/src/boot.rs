//! The boot the node runs in: its id, its clock, and processes told apart by when they started.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 by the node's clock; 0 where that is before.
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since boot, suspension counted.
pub(crate) fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Changes at every boot (random(4)); empty where there is no /proc.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// When a process was started, in clock ticks since boot: tells it from another one of the same number.
pub(crate) fn started(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything; what follows its closing parenthesis does not.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
