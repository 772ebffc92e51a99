//! Named values of a running node that are no file: what a kernel, a mount table or a registry holds now.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{Problem, custom::Call};

/// Which table of the node a value is in. Stored in journals: new ones are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SettingKind {
    /// A kernel parameter: key `net.ipv4.ip_forward`, value as the kernel prints it, fields parted by one
    /// space.
    Sysctl,
    /// A mounted file system: key the mount point, value `DEVICE FSTYPE OPTIONS` with fstab(5)'s escapes;
    /// none: nothing is mounted there.
    Mounted,
    /// A swap area: key its path, value `on` or, for a swap file that is not in use, `off`, then
    /// `size=BYTES` of a swap file and `priority=N` where one was asked for; none: neither in use nor a swap
    /// file. Taking it away removes the swap file.
    Swap,
    /// A kernel module: key its name, value `loaded` or `built in`; none: not loaded.
    KernelModule,
    /// The host's name: key `kernel`, value what uname(2) says.
    Hostname,
    /// A link group of update-alternatives(1): key its name, value `auto PATH` or `manual PATH`, without
    /// a path where it stands for nothing; none: no such group.
    Alternative,
    /// An answer of debconf: key `PACKAGE QUESTION`, value `TYPE VALUE`; none: not answered.
    Debconf,
    /// A git work tree: key its path, value `REVISION URL`; none: no work tree.
    GitCheckout,
    /// What a module of the user's repository manages: key `MODULE:SUBJECT` with what else tells it, value the
    /// state that the module's `look` tells, as JSON (`secret ` before it where it is not to be shown). It can be
    /// read once [`Settings::learn`] has said how.
    Custom,
}

impl SettingKind {
    /// The word of it in names and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sysctl => "sysctl",
            Self::Mounted => "mounted",
            Self::Swap => "swap",
            Self::KernelModule => "kernel_module",
            Self::Hostname => "hostname",
            Self::Alternative => "alternative",
            Self::Debconf => "debconf",
            Self::GitCheckout => "git",
            Self::Custom => "custom",
        }
    }
}

/// Values by kind and key.
pub trait Settings {
    /// The value now; none where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or the node has no such table.
    fn setting(&self, kind: SettingKind, key: &str) -> Result<Option<String>, Problem>;

    /// Sets the value, or takes it away.
    ///
    /// # Errors
    /// When the node does not take it.
    fn set(
        &self,
        kind: SettingKind,
        key: &str,
        value: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Problem>;

    /// Says how the module of a [`SettingKind::Custom`] is asked, and what state it has just told: that answers
    /// the next question for it, and no later one.
    fn learn(&self, _key: &str, _call: &Call, _state: Option<String>) {}

    /// How the module of a [`SettingKind::Custom`] is asked; none where nobody has said.
    fn known(&self, _key: &str) -> Option<Call> {
        None
    }
}
