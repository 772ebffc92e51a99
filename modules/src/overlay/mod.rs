//! A node that keeps all changes in memory over another node: for plans, and over [`Empty`] for tests.
//!
//! A plan runs the very same look, change and second look on an overlay over [`crate::Real`] that apply
//! runs on the machine itself; so a plan is exact by construction. One file for each part of
//! [`Node`]; each holds its own layer behind its own lock.

mod accounts;
mod commands;
mod files;
mod packages;
mod settings;
mod streams;
mod units;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Node;

/// A node with changes kept in memory over the node `below`, which is only ever read.
pub struct Overlay<'a> {
    below: &'a dyn Node,
    files: files::FilesLayer,
    accounts: accounts::AccountsLayer,
    packages: packages::PackagesLayer,
    units: units::UnitsLayer,
    settings: settings::SettingsLayer,
    /// A command would be run: nobody knows what comes with it.
    may_appear: AtomicBool,
}

impl<'a> Overlay<'a> {
    /// An overlay without changes.
    #[must_use]
    pub fn new(below: &'a dyn Node) -> Self {
        Self {
            below,
            files: files::FilesLayer::default(),
            accounts: accounts::AccountsLayer::default(),
            packages: packages::PackagesLayer::default(),
            units: units::UnitsLayer::default(),
            settings: settings::SettingsLayer::default(),
            may_appear: AtomicBool::new(false),
        }
    }

    /// Whether something may have appeared that neither the layers nor the node below show.
    fn anything_may_appear(&self) -> bool {
        self.may_appear.load(Ordering::Relaxed)
            || self.packages.brought_something()
            || self.below.may_appear()
    }
}

impl Node for Overlay<'_> {
    fn hold_still(&self, still: bool) {
        self.below.hold_still(still);
    }

    fn may_appear(&self) -> bool {
        self.anything_may_appear()
    }

    fn commands_may_leave(&self) -> bool {
        self.may_appear.load(Ordering::Relaxed) || self.below.commands_may_leave()
    }

    fn things_may_appear(&self) {
        self.may_appear.store(true, Ordering::Relaxed);
    }
}

/// A machine with nothing on it but the root directory: what tests build their nodes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Empty;

impl Node for Empty {}
