//! Packages of this machine: finds its package manager and hands over to it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    time::Instant,
};

use super::{
    Real,
    apt::{Apt, IndexState},
    dpkg,
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
/// Where a plan keeps its copy of the index.
const OWN: &str = "/var/lib/cm/apt";

/// What was read of the package manager's database.
#[derive(Default)]
pub(super) struct PackagesState {
    manager: OnceLock<Option<PackageManager>>,
    dpkg: dpkg::Cached,
    index: IndexState,
    /// One transaction at a time, whatever dpkg's own lock says.
    changing: Mutex<()>,
}

impl Real {
    fn apt(&self) -> Result<Apt<'_>, Problem> {
        if !dpkg::Cached::is_there(Path::new(ROOT)) {
            return Err(Problem::new("this node has no package manager that cm knows")
                .hint("cm knows apt and dpkg (looked for /var/lib/dpkg/status)"));
        }
        Ok(Apt {
            commands: self,
            root: Path::new(ROOT),
            own: Path::new(OWN),
            dpkg: &self.packages.dpkg,
            index: &self.packages.index,
        })
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
        Ok(self.apt()?.database()?.installed(name))
    }

    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        Ok(self.apt()?.database()?.all_installed())
    }

    fn package_remains(&self, name: &str) -> Result<Remains, Problem> {
        Ok(self.apt()?.database()?.remains(name))
    }

    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        self.apt()?.candidates(names)
    }

    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        self.apt()?.version_matching(name, pattern)
    }

    fn refresh_index(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.apt()?.refresh(false, older_than, deadline)
    }

    fn refresh_index_copy(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.apt()?.refresh(true, older_than, deadline)
    }

    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        match self.apt() {
            Ok(apt) => apt.predict(before, transaction),
            Err(problem) => {
                let refusal = Refusal { problem, unknown: false };
                Predicted {
                    results: transaction.requests.iter().map(|_| Err(refusal.clone())).collect(),
                    ..Predicted::default()
                }
            }
        }
    }

    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let transacted = match self.apt() {
            Ok(apt) => {
                // Poisoned: a transaction panicked; what dpkg has is read anew anyway.
                let _one = self.packages.changing.lock().unwrap_or_else(PoisonError::into_inner);
                apt.transact(transaction)
            }
            Err(problem) => Transacted {
                results: transaction.requests.iter().map(|_| Err(problem.clone())).collect(),
                notes: Vec::new(),
            },
        };
        // Packages bring units and start them.
        self.units.forget();
        transacted
    }
}
