//! systemd units of a node.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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
    /// Monotonic microseconds of the last start, 0: never since boot.
    pub started: u64,
    /// `Id`: its own name, where it was asked for by an alias.
    pub id: String,
    /// `Type` of a service: `simple`, `forking`, `notify`, `oneshot`, …; empty for other units.
    pub kind: String,
    /// A oneshot service stays active after it has ended.
    pub remains: bool,
    /// How often systemd restarted it by itself since it was last started.
    pub restarts: u64,
    /// Exit status of the main process's last end; 0 while it runs.
    pub exit: i32,
    /// Its conditions held when it was last started (`ConditionResult`).
    pub conditions: bool,
    /// The file it was loaded from; empty where there is none.
    pub fragment: String,
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
    /// `systemctl reset-failed`: forget that it failed.
    Forget,
}

/// The service manager of a node.
pub trait Units {
    /// The state of units by the names asked for (with suffix), one query for all that are not yet
    /// known. A name that no unit can have, such as a template's, is `not-found`.
    ///
    /// # Errors
    /// When the node is not run by systemd or it does not answer.
    fn units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem>;

    /// The same, asked anew: a unit that is starting changes without anybody doing anything.
    ///
    /// # Errors
    /// As for [`Units::units`].
    fn fresh_units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        self.units(names)
    }

    /// Whether a package that was predicted to be installed is likely to bring this unit: one of like name.
    /// Only ever true in a plan.
    fn may_bring_unit(&self, _name: &str) -> bool {
        false
    }

    /// Does something with a unit and waits for it.
    ///
    /// # Errors
    /// What systemctl said, with the unit's last log lines where it failed to start.
    fn unit(&self, name: &str, action: UnitAction, deadline: Instant) -> Result<(), Problem>;

    /// Waits until a unit that was just started is up, and sees that it stays up for `during`.
    ///
    /// # Errors
    /// When it is not up at the deadline or has ended again, with its last log lines.
    fn settle(&self, name: &str, during: Duration, deadline: Instant) -> Result<(), Problem>;

    /// The names of all units that have a file, for suggestions.
    ///
    /// # Errors
    /// When the node is not run by systemd or it does not answer.
    fn unit_names(&self) -> Result<Vec<String>, Problem>;

    /// Reads changed unit files.
    ///
    /// # Errors
    /// What systemctl said.
    fn reload_units(&self, deadline: Instant) -> Result<(), Problem>;
}
