//! systemd units of a node.

use std::{collections::BTreeMap, time::Instant};

use crate::Problem;

/// What systemd knows of a unit (org.freedesktop.systemd1(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked`, `error`.
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, `activating`, `reloading`, `deactivating`.
    pub active: String,
    /// `SubState`: `running`, `exited`, `dead`, …
    pub sub: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static`, `masked`, `alias`, `generated`, … or empty.
    pub file: String,
    /// The unit's files differ from what systemd has loaded.
    pub stale: bool,
    /// Whether it knows how to reload.
    pub can_reload: bool,
    /// `Result` of its last run: `success`, `exit-code`, …
    pub result: String,
    /// Monotonic microseconds of the last start, 0: never.
    pub started: u64,
}

/// What to do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitAction {
    /// `systemctl start`.
    Start,
    /// `systemctl stop`.
    Stop,
    /// `systemctl restart`.
    Restart,
    /// `systemctl reload`.
    Reload,
    /// `systemctl enable`.
    Enable,
    /// `systemctl disable`.
    Disable,
    /// `systemctl mask`.
    Mask,
    /// `systemctl unmask`.
    Unmask,
}

/// The service manager of a node.
pub trait Units {
    /// The state of units by name (with suffix), one query for all that are not yet known.
    ///
    /// # Errors
    /// When the node is not run by systemd or it does not answer.
    fn units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem>;

    /// Does something with a unit and waits for it.
    ///
    /// # Errors
    /// What systemctl said, with the unit's last log lines where it failed to start.
    fn unit(&self, name: &str, action: UnitAction, deadline: Instant) -> Result<(), Problem>;

    /// Reads changed unit files.
    ///
    /// # Errors
    /// What systemctl said.
    fn reload_units(&self, deadline: Instant) -> Result<(), Problem>;
}
