//! Settings of this machine: one file a kind, and one line here.

mod alternative;
mod custom;
mod debconf;
mod git;
mod hostname;
mod kernel_module;
mod mounted;
mod swap;
mod sysctl;
mod tool;

use std::time::Instant;

use super::Real;
use crate::{
    Problem,
    custom::Call,
    node::{SettingKind, Settings},
};

/// What was read once of settings.
#[derive(Default)]
pub(super) struct SettingsState {
    debconf: debconf::DebconfState,
    custom: custom::CustomState,
}

impl Settings for Real {
    fn setting(&self, kind: SettingKind, key: &str) -> Result<Option<String>, Problem> {
        match kind {
            SettingKind::Sysctl => sysctl::read(key),
            SettingKind::Mounted => mounted::read(key),
            SettingKind::Swap => swap::read(key),
            SettingKind::KernelModule => Ok(kernel_module::read(key)),
            SettingKind::Hostname => Ok(hostname::read()),
            SettingKind::Alternative => alternative::read(key),
            SettingKind::Debconf => debconf::read(&self.settings.debconf, key),
            SettingKind::GitCheckout => git::read(self, key),
            SettingKind::Custom => custom::read(self, &self.settings.custom, key),
        }
    }

    fn set(
        &self,
        kind: SettingKind,
        key: &str,
        value: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Problem> {
        match kind {
            SettingKind::Sysctl => sysctl::set(key, value),
            SettingKind::Mounted => mounted::set(self, key, value, deadline),
            SettingKind::Swap => swap::set(self, key, value, deadline),
            SettingKind::KernelModule => kernel_module::set(self, key, value, deadline),
            SettingKind::Hostname => hostname::set(value),
            SettingKind::Alternative => alternative::set(self, key, value, deadline),
            SettingKind::Debconf => debconf::set(self, &self.settings.debconf, key, value, deadline),
            SettingKind::GitCheckout => git::set(self, key, value, deadline),
            SettingKind::Custom => custom::set(self, &self.settings.custom, key, value, deadline),
        }
    }

    fn learn(&self, key: &str, call: &Call, state: Option<String>) {
        self.settings.custom.learn(key, call, state);
    }

    fn known(&self, key: &str) -> Option<Call> {
        self.settings.custom.known(key)
    }
}
