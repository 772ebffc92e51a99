//! Packages of this machine: finds its package manager and hands over to it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use super::{
    Real,
    apk::Apk,
    apt::{Apt, IndexState},
    dnf::{self, Dnf},
    dpkg,
    manager::{Driver, Managed, ManagerState},
    pacman::Pacman,
    zypper::Zypper,
};
use crate::{
    Problem,
    node::{
        InstalledPackage, PackageManager, PackageRequest, Packages, Predicted, Refusal, Remains, Transacted,
        Transaction,
    },
};

/// The machine's file system.
const ROOT: &str = "/";
/// Where a plan keeps its copy of the index, one folder for each package manager.
const OWN: &str = "/var/lib/cm";

/// What was read of the package manager's database.
#[derive(Default)]
pub(super) struct PackagesState {
    manager: OnceLock<Option<PackageManager>>,
    dpkg: dpkg::Cached,
    index: IndexState,
    /// Of the one that is not apt.
    managed: ManagerState,
    /// One transaction at a time, whatever the package manager's own lock says.
    changing: Mutex<()>,
}

impl PackagesState {
    /// See [`crate::Node::hold_still`].
    pub(super) fn hold_still(&self, still: bool) {
        self.dpkg.hold_still(still);
    }
}

/// What [`Packages`] asks of a package manager.
trait Manager {
    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem>;
    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem>;
    fn package_remains(&self, name: &str) -> Result<Remains, Problem>;
    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem>;
    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem>;
    fn refresh(&self, copy: bool, older_than: u64, deadline: Instant) -> Result<bool, Problem>;
    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted;
    fn transact(&self, transaction: &Transaction<'_>) -> Transacted;
    fn busy(&self) -> Option<String>;
}

impl Manager for Apt<'_> {
    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem> {
        Ok(self.database()?.installed(name))
    }
    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        Ok(self.database()?.all_installed())
    }
    fn package_remains(&self, name: &str) -> Result<Remains, Problem> {
        Ok(self.database()?.remains(name))
    }
    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        Apt::candidates(self, names)
    }
    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        Apt::version_matching(self, name, pattern)
    }
    fn refresh(&self, copy: bool, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        Apt::refresh(self, copy, older_than, deadline)
    }
    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        Apt::predict(self, before, transaction)
    }
    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        Apt::transact(self, transaction)
    }
    fn busy(&self) -> Option<String> {
        self.changed_by()
    }
}

impl Manager for Managed<'_> {
    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem> {
        Ok(self.driver.database()?.installed(name))
    }
    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        Ok(self.driver.database()?.all_installed())
    }
    /// These package managers know of nothing that stays.
    fn package_remains(&self, _name: &str) -> Result<Remains, Problem> {
        Ok(Remains::Nothing)
    }
    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        Managed::candidates(self, names)
    }
    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        Managed::version_matching(self, name, pattern)
    }
    fn refresh(&self, copy: bool, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        Managed::refresh(self, copy, older_than, deadline)
    }
    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        Managed::predict(self, before, transaction)
    }
    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        Managed::transact(self, transaction)
    }
    fn busy(&self) -> Option<String> {
        Managed::changed_by(self)
    }
}

impl Real {
    /// Calls with the machine's package manager.
    fn manager<T>(&self, act: impl FnOnce(&dyn Manager) -> T) -> Result<T, Problem> {
        let state = &self.packages;
        let Some(manager) = self.package_manager() else {
            return Err(Problem::new("this node has no package manager that cm knows")
                .hint("cm knows apt (looked for /var/lib/dpkg/status), dnf, zypper, pacman and apk"));
        };
        let root = Path::new(ROOT);
        let own = Path::new(OWN).join(manager.word());
        let own = own.as_path();
        let read = &state.managed;
        let (dnf, zypper, pacman, apk);
        let driver: &dyn Driver = match manager {
            PackageManager::Apt => {
                return Ok(act(&Apt { commands: self, root, own, dpkg: &state.dpkg, index: &state.index }));
            }
            PackageManager::Dnf => {
                dnf = Dnf { commands: self, root, own, state: read, five: dnf::is_five() };
                &dnf
            }
            PackageManager::Zypper => {
                zypper = Zypper { commands: self, root, state: read };
                &zypper
            }
            PackageManager::Pacman => {
                pacman = Pacman { commands: self, root, state: read };
                &pacman
            }
            PackageManager::Apk => {
                apk = Apk { commands: self, root, state: read };
                &apk
            }
        };
        Ok(act(&Managed { driver, root, own, index: &read.index }))
    }
}

impl Packages for Real {
    fn package_manager(&self) -> Option<PackageManager> {
        *self.packages.manager.get_or_init(|| {
            let word = crate::facts::package_manager();
            let known = PackageManager::ALL.into_iter().find(|manager| manager.word() == word);
            // One that is only half there (a bare root directory) can still be looked at.
            known.or_else(|| dpkg::Cached::is_there(Path::new(ROOT)).then_some(PackageManager::Apt))
        })
    }

    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem> {
        self.manager(|manager| manager.package(name))?
    }

    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        self.manager(|manager| manager.package_list())?
    }

    fn packages_busy(&self) -> Option<String> {
        self.manager(|manager| manager.busy()).ok().flatten()
    }

    fn package_remains(&self, name: &str) -> Result<Remains, Problem> {
        self.manager(|manager| manager.package_remains(name))?
    }

    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        self.manager(|manager| manager.candidates(names))?
    }

    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        self.manager(|manager| manager.version_matching(name, pattern))?
    }

    fn refresh_index(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.manager(|manager| manager.refresh(false, older_than, deadline))?
    }

    fn refresh_index_copy(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.manager(|manager| manager.refresh(true, older_than, deadline))?
    }

    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        self.manager(|manager| manager.predict(before, transaction)).unwrap_or_else(|problem| {
            let refusal = Refusal { problem, unknown: false };
            Predicted {
                results: transaction.requests.iter().map(|_| Err(refusal.clone())).collect(),
                ..Predicted::default()
            }
        })
    }

    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let transacted = self.manager(|manager| {
            // Poisoned: a transaction panicked; what the package manager has is read anew anyway.
            let _one = self.packages.changing.lock().unwrap_or_else(PoisonError::into_inner);
            manager.transact(transaction)
        });
        // Packages bring units and start them.
        self.units.forget();
        transacted.unwrap_or_else(|problem| Transacted {
            results: transaction.requests.iter().map(|_| Err(problem.clone())).collect(),
            notes: Vec::new(),
        })
    }
}
