//! Settings of this machine: one file a kind, and one line here.

mod sysctl;

use std::time::Instant;

use super::Real;
use crate::{
    Problem,
    node::{SettingKind, Settings},
};

impl Settings for Real {
    fn setting(&self, kind: SettingKind, key: &str) -> Result<Option<String>, Problem> {
        match kind {
            SettingKind::Sysctl => sysctl::read(key),
            _ => Err(Problem::new(format!("{} cannot be read on this node", kind.word()))),
        }
    }

    fn set(
        &self,
        kind: SettingKind,
        key: &str,
        value: Option<&str>,
        _deadline: Instant,
    ) -> Result<(), Problem> {
        match kind {
            SettingKind::Sysctl => sysctl::set(key, value),
            _ => Err(Problem::new(format!("{} cannot be set on this node", kind.word()))),
        }
    }
}
