//! The cases of every module, one file each.

use super::case::Cases;

mod authorized_key;
mod block;
mod command;
mod cron;
mod directory;
mod file;
mod group;
mod hosts_entry;
mod ini;
mod limits;
mod line;
mod link;
mod package;
mod replace;
mod service;
mod sysctl;
mod tree;
mod unit;
mod user;
mod wait;

/// All of them, in the order of the registry.
pub fn all() -> Vec<Cases> {
    vec![
        file::cases(),
        directory::cases(),
        link::cases(),
        tree::cases(),
        line::cases(),
        block::cases(),
        replace::cases(),
        ini::cases(),
        hosts_entry::cases(),
        cron::cases(),
        limits::cases(),
        sysctl::cases(),
        command::cases(),
        package::cases(),
        service::cases(),
        unit::cases(),
        user::cases(),
        group::cases(),
        authorized_key::cases(),
        wait::cases(),
    ]
}

/// Modules that have no cases yet. To be empty: a module without cases is not proven.
pub const MISSING: &[&str] = &[
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
