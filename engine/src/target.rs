//! A host of a run: how it is reached and with whose rights.

use std::sync::Arc;

use cm_transport::Wanted;
use cm_wire::Secret;

use crate::bootstrap::Become;

/// A host of a run.
#[derive(Clone, Debug)]
pub struct HostTarget {
    /// Its name in the inventory.
    pub name: Arc<str>,
    /// How it is reached.
    pub reach: Reach,
    /// Whose rights the agent runs with there.
    pub rights: Become,
    /// The password for sudo.
    pub become_password: Option<Secret>,
    /// Where its address is set: `inventory.yaml:22:3`.
    pub place: Option<String>,
}

/// How a host is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// It is this machine.
    Local,
    /// By SSH.
    Ssh(Box<Wanted>),
}

impl HostTarget {
    pub(crate) fn place_hint(&self) -> Vec<String> {
        self.place.iter().map(|place| format!("its address is set at `{place}`")).collect()
    }
}
