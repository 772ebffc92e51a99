//! What the user's ssh_config says: read for its structure here, evaluated by `ssh -G` where OpenSSH is installed.

mod blocks;
mod dump;
mod evaluate;
mod tokens;

pub(crate) use blocks::{Applies, Config, ConfigPaths};
pub(crate) use dump::{Query, RunError, SshProgram};
pub(crate) use evaluate::evaluate;
pub(crate) use tokens::{Names, expand, expand_path};

use std::time::Duration;

/// The settings of one host that matter to us, as written: paths are not expanded yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    pub host_name: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity_files: Vec<String>,
    pub identities_only: bool,
    pub identity_agent: Option<String>,
    pub certificate_files: Vec<String>,
    pub proxy_jump: Option<String>,
    pub proxy_command: Option<String>,
    pub user_known_hosts: Option<Vec<String>>,
    pub global_known_hosts: Option<Vec<String>>,
    pub accept_new: bool,
    pub hash_known_hosts: bool,
    pub host_key_alias: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub connection_attempts: Option<u32>,
    pub alive_interval: Option<Duration>,
    pub alive_count_max: Option<u32>,
}

impl Settings {
    /// Takes a setting; the first value wins, key and certificate files add up (ssh_config(5)).
    ///
    /// Returns false for a value that makes no sense.
    pub(crate) fn take(&mut self, keyword: &str, arguments: &[String]) -> bool {
        let Some(first) = arguments.first() else { return true };
        match keyword {
            "hostname" => set(&mut self.host_name, first),
            "user" => set(&mut self.user, first),
            "identityagent" => set(&mut self.identity_agent, first),
            "proxyjump" if self.proxy_command.is_none() => set(&mut self.proxy_jump, first),
            "proxycommand" if self.proxy_jump.is_none() => {
                set(&mut self.proxy_command, &arguments.join(" "));
            }
            "hostkeyalias" => set(&mut self.host_key_alias, first),
            "identityfile" => add(&mut self.identity_files, first),
            "certificatefile" => add(&mut self.certificate_files, first),
            "userknownhostsfile" => {
                self.user_known_hosts.get_or_insert_with(|| arguments.to_vec());
            }
            "globalknownhostsfile" => {
                self.global_known_hosts.get_or_insert_with(|| arguments.to_vec());
            }
            "port" => return number(&mut self.port, first),
            "connectionattempts" => return number(&mut self.connection_attempts, first),
            "serveralivecountmax" => return number(&mut self.alive_count_max, first),
            "connecttimeout" => return duration(&mut self.connect_timeout, first),
            "serveraliveinterval" => return duration(&mut self.alive_interval, first),
            _ => {}
        }
        true
    }
}

fn set(slot: &mut Option<String>, value: &str) {
    slot.get_or_insert_with(|| value.to_owned());
}

fn add(list: &mut Vec<String>, value: &str) {
    if !list.iter().any(|known| known == value) {
        list.push(value.to_owned());
    }
}

fn number<T: std::str::FromStr>(slot: &mut Option<T>, value: &str) -> bool {
    match value.parse() {
        Ok(value) => {
            slot.get_or_insert(value);
            true
        }
        Err(_) => false,
    }
}

/// Takes a time as sshd_config(5), TIME FORMATS writes it: `90`, `90s`, `1m30s`; `none` is no time.
fn duration(slot: &mut Option<Duration>, value: &str) -> bool {
    if value == "none" {
        return true;
    }
    let mut total = 0_u64;
    let mut digits = String::new();
    for character in value.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let factor = match character.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return false,
        };
        let Ok(count) = digits.parse::<u64>() else { return false };
        total = total.saturating_add(count.saturating_mul(factor));
        digits.clear();
    }
    if !digits.is_empty() {
        let Ok(count) = digits.parse::<u64>() else { return false };
        total = total.saturating_add(count);
    } else if value.is_empty() {
        return false;
    }
    slot.get_or_insert(Duration::from_secs(total));
    true
}
