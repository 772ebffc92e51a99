//! Packages of a node, whatever its package manager.

use std::{collections::BTreeMap, time::Instant};

use crate::Problem;

/// A package that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its version as the package manager writes it.
    pub version: String,
    /// It is held back from upgrades.
    pub held: bool,
    /// It was asked for, not brought in by another.
    pub manual: bool,
}

/// What to do with one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRequest {
    /// Its name, with `:arch` where one was given.
    pub name: String,
    /// What to do.
    pub action: PackageAction,
}

/// What to do with a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageAction {
    /// Install it if it is not there; which version does not matter.
    Install,
    /// Install this version (a pattern as the package manager takes it, such as `1.24*`), up or down.
    InstallVersion(String),
    /// Bring it to the newest version.
    Latest,
    /// Take it away, keeping its configuration.
    Remove,
    /// Take it away with its configuration.
    Purge,
    /// Hold it at its version.
    Hold,
    /// Let upgrades change it again.
    Unhold,
}

/// Several packages to be changed together.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What to do.
    pub requests: Vec<PackageRequest>,
    /// Install what is only recommended, too.
    pub recommends: bool,
    /// When it must have ended; also bounds the wait for another package manager's lock.
    pub deadline: Instant,
}

/// The package manager of a node. Looks read its database, once for all packages.
pub trait Packages {
    /// A package, if it is installed (fully: a half-installed one counts as absent).
    ///
    /// # Errors
    /// When there is no package manager that `cm` knows.
    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem>;

    /// The newest version that could be installed, by name; a name that is not known is left out.
    /// Reads the index as it is, without the network.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem>;

    /// The version a pattern such as `1.24*` would select, none where none matches; without the network.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem>;

    /// Refreshes the index if a name is not in it or it is older than this many seconds (0: always);
    /// whether it was refreshed. A plan refreshes a copy.
    ///
    /// # Errors
    /// When no source could be read.
    fn refresh_index(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem>;

    /// Runs one transaction of the package manager; conffiles that were changed by hand are kept.
    ///
    /// # Errors
    /// What the package manager said.
    fn transact(&self, transaction: &Transaction) -> Result<(), Problem>;
}
