//! Packages of a node, whatever its package manager.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::Problem;

/// A package that is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its version as the package manager writes it.
    pub version: String,
    /// It is held back from upgrades.
    pub held: bool,
    /// It was asked for, not brought in by another.
    pub manual: bool,
    /// No package has this name; this installed one says that it provides it (`mail-transport-agent`).
    pub provided_by: Option<String>,
}

/// The package managers that `cm` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManager {
    /// apt and dpkg: Debian and its kin.
    Apt,
    /// dnf, of version 4 or 5: Red Hat and its kin.
    Dnf,
    /// zypper: SUSE.
    Zypper,
    /// pacman: Arch.
    Pacman,
    /// apk: Alpine.
    Apk,
}

impl PackageManager {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Zypper, Self::Pacman, Self::Apk];

    /// As facts name it: `apt`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
            Self::Pacman => "pacman",
            Self::Apk => "apk",
        }
    }
}

/// What is there of a package that is not installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remains {
    /// Nothing at all, or it is installed.
    #[default]
    Nothing,
    /// Its configuration: it was removed, not purged.
    Configuration,
    /// Some of its files: its installation or removal did not come to an end.
    Broken,
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
    /// Install it if it is not there; which version does not matter. Marks it as asked for.
    Install,
    /// Install this version (a pattern such as `1.24*`), up or down, even where it is held.
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
    /// Mark it as brought in by another: it may go with the last one that needs it. After an installation of
    /// the same transaction; nothing where it is not installed.
    MarkAuto,
    /// Mark it as asked for; nothing where it is not installed.
    MarkManual,
}

/// What a transaction does while it waits for another package manager.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    /// Whether the run is being stopped: then it waits no longer.
    pub stopping: &'a (dyn Fn() -> bool + Sync),
    /// Takes what it waits for, as a sentence.
    pub tell: &'a (dyn Fn(&str) + Sync),
}

impl Default for Waiting<'_> {
    fn default() -> Self {
        Self { stopping: &|| false, tell: &|_| {} }
    }
}

impl std::fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// Several packages to be changed together.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    /// What to do. Several requests may name one package: a version and a hold.
    pub requests: Vec<PackageRequest>,
    /// Install what is only recommended, too; none: as the package manager is configured.
    pub recommends: Option<bool>,
    /// When it must have ended; also bounds the wait for another package manager's lock.
    pub deadline: Instant,
    /// How it waits.
    pub waiting: Waiting<'a>,
}

/// How a transaction ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transacted {
    /// One entry for each request, in their order.
    pub results: Vec<Result<(), Problem>>,
    /// What a person should know beyond that: an interrupted installation that was brought to its end
    /// first, packages that had to go.
    pub notes: Vec<String>,
}

/// Why a request cannot be met.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// For a person.
    pub problem: Problem,
    /// The index does not know the name, the version or something that they need: another source of packages
    /// could.
    pub unknown: bool,
}

/// What a transaction would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicted {
    /// One entry for each request, in their order.
    pub results: Vec<Result<(), Refusal>>,
    /// Packages it would bring or change, those the requested ones need included, with their versions.
    pub installed: BTreeMap<String, String>,
    /// Packages it would take away.
    pub removed: BTreeSet<String>,
}

/// The package manager of a node. Looks read its database, once for all packages.
pub trait Packages {
    /// The node's own package manager; none where it has none that `cm` knows.
    fn package_manager(&self) -> Option<PackageManager>;

    /// Whether there is a source of packages that no index knows yet, because a task before this one would add
    /// it. Only ever true in a plan; what the index does not know is then assumed.
    fn sources_may_appear(&self) -> bool {
        false
    }

    /// A package, if it is installed (fully: a half-installed one counts as absent).
    ///
    /// # Errors
    /// When there is no package manager that `cm` knows.
    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem>;

    /// All packages that are fully installed, by the name that requests take (`name`, with `:arch` only for
    /// an architecture that is not the node's own), as they are now. In a plan with what it predicted.
    ///
    /// # Errors
    /// When there is no package manager that `cm` knows.
    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem>;

    /// Who is changing packages now, as a person knows it; none where nobody is.
    fn packages_busy(&self) -> Option<String> {
        None
    }

    /// What is there of a package that is not installed.
    ///
    /// # Errors
    /// When there is no package manager that `cm` knows.
    fn package_remains(&self, name: &str) -> Result<Remains, Problem>;

    /// The newest version that could be installed, by name, or the installed one where that is newer; a
    /// name that is not known is left out. Reads the index as it is, without the network.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem>;

    /// The version a pattern such as `1.24*` would select, none where none matches; without the network.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem>;

    /// Refreshes the index if it is missing, older than its sources or older than this many seconds
    /// (0: always); whether it was refreshed. In a plan it is a copy of the agent's own.
    ///
    /// # Errors
    /// When no source could be read.
    fn refresh_index(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem>;

    /// The same for a copy of the index in the agent's own folder. From then on the copy is what is read.
    ///
    /// # Errors
    /// When no source could be read.
    fn refresh_index_copy(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem>;

    /// What a transaction would do after those `before` it; changes nothing but, where a name or version
    /// is not known, the copy of the index.
    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted;

    /// Runs one transaction of the package manager; conffiles that were changed by hand are kept. The
    /// index is refreshed first where a name or version is not in it. A request that is impossible
    /// fails alone.
    fn transact(&self, transaction: &Transaction<'_>) -> Transacted;
}
