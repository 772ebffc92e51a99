//! A machine as modules see it: files, commands, accounts, packages and units.
//!
//! [`crate::Real`] is this machine; [`crate::Overlay`] keeps changes in memory over another node, for plans
//! and, over [`crate::Empty`], as the fake node of tests. Modules use nothing else: `std::fs` and
//! `std::process` are banned in them, because a plan must never change anything.

mod accounts;
mod commands;
mod files;
mod packages;
mod settings;
mod streams;
mod units;

pub use accounts::{Accounts, Group, GroupChange, User, UserChange};
pub use commands::{Command, Commands, Finished, Live};
pub(crate) use files::led_astray;
pub use files::{Attributes, Content, Extended, FileKind, Files, Stat, Validate};
pub use packages::{
    InstalledPackage, PackageAction, PackageManager, PackageRequest, Packages, Predicted, Refusal, Remains,
    Transacted, Transaction, Waiting,
};
pub use settings::{SettingKind, Settings};
pub use streams::{Held, Source, Spool, Streams};
pub use units::{UnitAction, UnitState, Units};

use crate::Prefetch;

/// A whole machine.
pub trait Node: Files + Streams + Commands + Accounts + Packages + Units + Settings + Send + Sync {
    /// Reads in one go what many looks want; failures show at the looks themselves.
    fn prefetch(&self, wants: &Prefetch) {
        if !wants.units.is_empty() {
            let _ = self.units(&wants.units);
        }
        if !wants.candidates.is_empty() {
            let _ = self.candidates(&wants.candidates);
        }
    }

    /// Begins or ends a time in which many looks are made and nothing is changed: what they share is compared with
    /// the machine once and not by each of them.
    fn hold_still(&self, _still: bool) {}

    /// Whether something that is missing may yet come with what would be installed or run before it.
    /// Only ever true in a plan; there a missing parent folder, user, unit or program is then assumed.
    fn may_appear(&self) -> bool {
        false
    }

    /// Whether a command that would run before may leave behind anything anywhere; unlike a package, whose
    /// paths are not those that a command's `creates` names. Only ever true in a plan.
    fn commands_may_leave(&self) -> bool {
        false
    }

    /// Notes in a plan that a command may run that brings what nobody can list. Elsewhere nothing: the
    /// machine itself says what is there.
    fn things_may_appear(&self) {}
}
