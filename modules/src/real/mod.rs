//! This machine: the only place of the crate that touches files, processes and the network for real.
//!
//! One file for each part of `Node`; each holds its own state (what was read once for many looks) and
//! forgets it when a change touches what it was read from.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "here is the machine that the rest of the crate sees through `Node`"
)]

mod accounts;
mod apk;
mod apt;
mod bystanders;
mod commands;
mod debian_version;
mod dnf;
mod dpkg;
mod files;
mod locks;
mod manager;
mod packages;
mod pacman;
mod refreshing;
mod rpm;
mod settings;
mod streams;
mod units;
mod versioned;
mod zypper;

pub(crate) use files::read_spooled;
pub use streams::{Held, Source, Spool};

/// The machine the process runs on.
///
/// Looks of many resources share what is read once (passwd, the package database, units); so one `Real`
/// belongs to one run, and the next run starts with a new one.
#[derive(Default)]
pub struct Real {
    files: files::FilesState,
    accounts: accounts::AccountsState,
    packages: packages::PackagesState,
    units: units::UnitsState,
    settings: settings::SettingsState,
}

impl crate::Node for Real {
    fn hold_still(&self, still: bool) {
        self.accounts.hold_still(still);
        self.packages.hold_still(still);
    }
}

impl Real {
    /// This machine, nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This machine, nothing read yet but what large files held when they were last hashed or written, which is
    /// kept in this file between runs: one that is the same since needs no hash. Without `trusted` all are hashed
    /// all the same (`--paranoid`).
    #[must_use]
    pub fn remembering(file: std::path::PathBuf, trusted: bool) -> Self {
        let mut real = Self::default();
        real.files.memo = files::Memo::kept_in(file, trusted);
        real
    }

    /// Writes down what was learned of large files, if anything was.
    ///
    /// # Errors
    /// When it cannot be written: then they are hashed again the next time.
    pub fn keep_digests(&self) -> std::io::Result<()> {
        self.files.memo.keep()
    }

    /// Every change of the file system passes here: a part forgets what it read from this path.
    fn touched(&self, path: &std::path::Path) {
        self.units.touched(path);
    }
}
