//! The cases of every module, one file each.

use super::case::Cases;

mod directory;
mod file;
mod line;

/// All of them, in the order of the registry.
pub fn all() -> Vec<Cases> {
    vec![file::cases(), directory::cases(), line::cases()]
}

/// Modules that have no cases yet. To be empty: a module without cases is not proven.
pub const MISSING: &[&str] = &[
    "link",
    "tree",
    "command",
    "package",
    "service",
    "unit",
    "user",
    "group",
    "authorized_key",
    "wait",
    // Being written.
    "block",
    "replace",
    "ini",
    "cron",
    "hosts_entry",
    "limits",
    "sysctl",
    "hostname",
    "timezone",
    "mount",
    "swap",
    "kernel_module",
    "alternatives",
    "debconf",
    "download",
    "archive",
    "git",
    "repository",
    "reboot",
];
