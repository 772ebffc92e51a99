//! The cases of every module, one file each.

use super::case::Cases;

mod alternatives;
mod archive;
mod authorized_key;
mod block;
mod command;
mod cron;
mod custom;
mod debconf;
mod directory;
mod download;
mod file;
mod git;
mod group;
mod hostname;
mod hosts_entry;
mod ini;
mod kernel_module;
mod limits;
mod line;
mod link;
mod mount;
mod package;
mod reboot;
mod replace;
mod repository;
mod service;
mod swap;
mod sysctl;
mod timezone;
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
        repository::cases(),
        ini::cases(),
        hosts_entry::cases(),
        cron::cases(),
        limits::cases(),
        sysctl::cases(),
        download::cases(),
        archive::cases(),
        git::cases(),
        command::cases(),
        package::cases(),
        service::cases(),
        unit::cases(),
        user::cases(),
        group::cases(),
        authorized_key::cases(),
        hostname::cases(),
        timezone::cases(),
        mount::cases(),
        swap::cases(),
        kernel_module::cases(),
        alternatives::cases(),
        debconf::cases(),
        wait::cases(),
        reboot::cases(),
        custom::cases(),
    ]
}

/// What stands for all modules of repositories: their cases bring a program along.
pub const CUSTOM: &str = "custom";

/// Modules that have no cases yet. To be empty: a module without cases is not proven.
pub const MISSING: &[&str] = &[];
