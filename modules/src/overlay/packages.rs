//! Packages of an overlay: changes in memory over those of the node below; and of the empty node.
//!
//! What a transaction would do is asked of the node below ([`crate::node::Packages::predict`]): for a real node
//! apt's own simulation, so that a plan fails where apply would, and at the same package.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{Empty, Overlay};
use crate::{
    Problem,
    node::{
        FileKind, Files, InstalledPackage, PackageAction, PackageManager, PackageRequest, Packages,
        Predicted, Refusal, Remains, Transacted, Transaction,
    },
    version_pattern::version_matches,
};

/// Files that name sources of packages.
const SOURCES: &[&str] =
    &["/etc/apt/sources.list", "/etc/dnf/dnf.conf", "/etc/pacman.conf", "/etc/apk/repositories"];
/// Folders whose files name sources of packages, or keys that sign them.
const SOURCE_FOLDERS: &[&str] = &[
    "/etc/apt/sources.list.d",
    "/etc/apt/keyrings",
    "/etc/apt/trusted.gpg.d",
    "/etc/yum.repos.d",
    "/etc/zypp/repos.d",
    "/etc/pacman.d",
    "/etc/apk/keys",
];

/// What has changed over the node below.
#[derive(Default)]
pub(super) struct PackagesLayer {
    layer: Mutex<Layer>,
    /// A package would be installed: its files, users and units are not known.
    brought: AtomicBool,
}

#[derive(Default)]
struct Layer {
    /// What became of packages; none: removed.
    packages: BTreeMap<String, Option<InstalledPackage>>,
    /// Removed packages whose configuration is still there.
    configured: BTreeSet<String>,
    /// Purged packages.
    purged: BTreeSet<String>,
    /// What was asked for so far: the next transaction comes after it.
    requests: Vec<PackageRequest>,
    /// Packages that would be installed where they were not.
    brought: BTreeSet<String>,
    /// Another package manager than that of the node below, for tests.
    manager: Option<PackageManager>,
    /// An index of this overlay's own, newest version first.
    offered: BTreeMap<String, Vec<String>>,
}

impl PackagesLayer {
    fn lock(&self) -> MutexGuard<'_, Layer> {
        // Poisoned: another thread panicked between two whole states.
        self.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a package that would be installed has a name like this unit's: `nginx-common` brings
    /// `nginx.service`, `openssh-server` brings `ssh.service`.
    pub(super) fn may_bring_unit(&self, unit: &str) -> bool {
        let stem = unit.split(['.', '@']).next().unwrap_or(unit);
        self.lock().brought.iter().any(|package| {
            let name = package.split(':').next().unwrap_or(package);
            !name.starts_with("lib") && name.len() > 2 && (name.contains(stem) || stem.contains(name))
        })
    }

    /// Whether something of an installed package may be there that nobody can list.
    pub(super) fn brought_something(&self) -> bool {
        self.brought.load(Ordering::Relaxed)
    }
}

impl Packages for Overlay<'_> {
    fn packages_busy(&self) -> Option<String> {
        self.below.packages_busy()
    }

    fn package_manager(&self) -> Option<PackageManager> {
        self.packages.lock().manager.or_else(|| self.below.package_manager())
    }

    /// An earlier task has written where a package manager has its sources or keys.
    fn sources_may_appear(&self) -> bool {
        let changed = |path: &Path| match (self.stat(path), self.below.stat(path)) {
            (Ok(Some(above)), Ok(Some(below)))
                if (above.kind, below.kind) == (FileKind::File, FileKind::File) =>
            {
                self.digest(path).ok() != self.below.digest(path).ok()
            }
            (above, below) => above.ok().flatten().is_some() != below.ok().flatten().is_some(),
        };
        self.below.sources_may_appear()
            || SOURCES.iter().any(|path| changed(Path::new(path)))
            || SOURCE_FOLDERS.iter().map(Path::new).any(|folder| {
                let names = self.list(folder).unwrap_or_default();
                names != self.below.list(folder).unwrap_or_default()
                    || names.iter().any(|name| changed(&folder.join(name)))
            })
    }

    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem> {
        let layer = self.packages.lock();
        match layer.packages.get(name) {
            Some(package) => Ok(package.clone()),
            None => self.below.package(name),
        }
    }

    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        let mut list = self.below.package_list()?;
        let layer = self.packages.lock();
        for (name, package) in &layer.packages {
            // A request may name the node's own architecture; the list does not.
            let known = |name: &str| list.contains_key(name) || layer.brought.contains(name);
            let name = match name.split_once(':') {
                Some((stem, _)) if !known(name) && known(stem) => stem,
                _ => name,
            };
            match package.as_ref().filter(|package| package.provided_by.is_none()) {
                Some(package) => {
                    list.insert(name.to_owned(), package.clone());
                }
                None => {
                    list.remove(name);
                }
            }
        }
        Ok(list)
    }

    fn package_remains(&self, name: &str) -> Result<Remains, Problem> {
        let layer = self.packages.lock();
        if layer.configured.contains(name) {
            return Ok(Remains::Configuration);
        }
        if layer.purged.contains(name) || layer.packages.contains_key(name) {
            return Ok(Remains::Nothing);
        }
        self.below.package_remains(name)
    }

    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        let mut found = BTreeMap::new();
        let mut rest = Vec::new();
        for name in names {
            match self.packages.lock().offered.get(name).and_then(|versions| versions.first()) {
                Some(version) => {
                    found.insert(name.clone(), version.clone());
                }
                None => rest.push(name.clone()),
            }
        }
        if !rest.is_empty() {
            found.extend(self.below.candidates(&rest)?);
        }
        Ok(found)
    }

    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        let layer = self.packages.lock();
        match layer.offered.get(name) {
            Some(versions) => Ok(versions.iter().find(|version| version_matches(pattern, version)).cloned()),
            None => self.below.version_matching(name, pattern),
        }
    }

    fn refresh_index(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.below.refresh_index_copy(older_than, deadline)
    }

    fn refresh_index_copy(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.below.refresh_index_copy(older_than, deadline)
    }

    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        let mut earlier = self.packages.lock().requests.clone();
        earlier.extend_from_slice(before);
        let own = |request: &PackageRequest| self.packages.lock().offered.contains_key(&request.name);
        earlier.retain(|request| !own(request));
        let below: Vec<PackageRequest> =
            transaction.requests.iter().filter(|request| !own(request)).cloned().collect();
        let mut predicted = if below.is_empty() {
            Predicted::default()
        } else {
            self.below.predict(&earlier, &Transaction { requests: below, ..transaction.clone() })
        };
        let mut from_below = std::mem::take(&mut predicted.results).into_iter();
        for request in &transaction.requests {
            let result = if own(request) {
                self.predict_offered(request, &mut predicted)
            } else {
                // One result for each request that was handed down.
                from_below.next().unwrap_or(Ok(()))
            };
            let result = match result {
                Err(refusal) if refusal.unknown => match self.assumed_version(request) {
                    Some(version) => {
                        predicted.installed.insert(request.name.clone(), version);
                        Ok(())
                    }
                    None => Err(refusal),
                },
                result => result,
            };
            predicted.results.push(result);
        }
        predicted
    }

    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let predicted = self.predict(&[], transaction);
        // What is there of the requested ones, before the layer is changed.
        let present: Vec<Option<InstalledPackage>> =
            transaction.requests.iter().map(|request| self.package(&request.name).ok().flatten()).collect();
        let new: Vec<String> = predicted
            .installed
            .keys()
            .filter(|name| !matches!(self.package(name), Ok(Some(_))))
            .cloned()
            .collect();
        let mut layer = self.packages.lock();
        layer.brought.extend(new);
        for (name, version) in &predicted.installed {
            let held = false;
            let package =
                InstalledPackage { version: version.clone(), held, manual: false, provided_by: None };
            layer.packages.insert(name.clone(), Some(package));
            layer.configured.remove(name);
        }
        for name in &predicted.removed {
            layer.packages.insert(name.clone(), None);
            layer.configured.insert(name.clone());
        }
        let results = predicted.results.iter().map(|result| match result {
            Ok(()) => Ok(()),
            Err(refusal) => Err(refusal.problem.clone()),
        });
        let results: Vec<Result<(), Problem>> = results.collect();
        for ((request, result), present) in transaction.requests.iter().zip(&results).zip(present) {
            if result.is_ok() {
                layer.record(request, present, &predicted);
                layer.requests.push(request.clone());
            }
        }
        if !predicted.installed.is_empty() {
            self.packages.brought.store(true, Ordering::Relaxed);
        }
        let unasked: Vec<&str> = predicted
            .removed
            .iter()
            .map(String::as_str)
            .filter(|&name| !transaction.requests.iter().any(|request| takes_away(request, name)))
            .collect();
        let notes = if unasked.is_empty() {
            Vec::new()
        } else {
            vec![format!("{} would be removed, too", unasked.join(", "))]
        };
        Transacted { results, notes }
    }
}

fn takes_away(request: &PackageRequest, name: &str) -> bool {
    request.name.split(':').next() == name.split(':').next()
        && matches!(request.action, PackageAction::Remove | PackageAction::Purge)
}

impl Layer {
    /// Makes one request so.
    fn record(&mut self, request: &PackageRequest, present: Option<InstalledPackage>, predicted: &Predicted) {
        let name = &request.name;
        // Another request of the same transaction may have been recorded before.
        let current = match self.packages.get(name) {
            Some(package) => package.clone(),
            None => present,
        };
        match &request.action {
            PackageAction::Install | PackageAction::InstallVersion(_) | PackageAction::Latest => {
                // A name that others provide is there by one of them.
                let mut package = current.unwrap_or_default();
                package.manual = true;
                self.configured.remove(name);
                self.purged.remove(name);
                self.packages.insert(name.clone(), Some(package));
            }
            PackageAction::Remove => {
                if current.is_some() {
                    self.packages.insert(name.clone(), None);
                    self.configured.insert(name.clone());
                } else if !predicted.removed.contains(name) {
                    self.packages.insert(name.clone(), None);
                }
            }
            PackageAction::Purge => {
                self.packages.insert(name.clone(), None);
                self.configured.remove(name);
                self.purged.insert(name.clone());
            }
            PackageAction::Hold | PackageAction::Unhold => {
                if let Some(mut package) = current {
                    package.held = request.action == PackageAction::Hold;
                    self.packages.insert(name.clone(), Some(package));
                }
            }
            PackageAction::MarkAuto | PackageAction::MarkManual => {
                if let Some(mut package) = current {
                    package.manual = request.action == PackageAction::MarkManual;
                    self.packages.insert(name.clone(), Some(package));
                }
            }
        }
    }
}

impl Overlay<'_> {
    /// Offers versions of a package, the newest first: what a test can install.
    pub fn offer_package(&self, name: &str, versions: &[&str]) {
        let versions = versions.iter().map(|&version| version.to_owned()).collect();
        self.packages.lock().offered.insert(name.to_owned(), versions);
    }

    /// Gives the node this package manager, for tests of what depends on it.
    pub fn use_package_manager(&self, manager: PackageManager) {
        self.packages.lock().manager = Some(manager);
    }

    /// Puts a package in a state that a test starts from; none: not installed.
    pub fn prepare_package(&self, name: &str, package: Option<InstalledPackage>) {
        self.packages.lock().packages.insert(name.to_owned(), package);
    }

    /// The version that is assumed of a package that no index knows, or that lacks what it needs, where an earlier
    /// task may add a source that has it; none where there is no such task.
    fn assumed_version(&self, request: &PackageRequest) -> Option<String> {
        if !(self.may_appear.load(Ordering::Relaxed) || self.sources_may_appear()) {
            return None;
        }
        match &request.action {
            PackageAction::InstallVersion(pattern) => Some(pattern.clone()),
            PackageAction::Install | PackageAction::Latest => {
                let known = self.candidates(std::slice::from_ref(&request.name)).unwrap_or_default();
                Some(known.into_values().next().unwrap_or_default())
            }
            _ => None,
        }
    }

    /// What a request for a package of this overlay's own index would do.
    fn predict_offered(&self, request: &PackageRequest, predicted: &mut Predicted) -> Result<(), Refusal> {
        let installed = self.package(&request.name).map_err(|problem| Refusal { problem, unknown: false })?;
        let versions = self.packages.lock().offered.get(&request.name).cloned().unwrap_or_default();
        let version = match &request.action {
            PackageAction::Install if installed.is_none() => versions.first().cloned(),
            PackageAction::Latest => versions.first().cloned(),
            PackageAction::InstallVersion(pattern) => {
                let found = versions.iter().find(|version| version_matches(pattern, version)).cloned();
                if found.is_none() {
                    let message =
                        format!("no version of `{}` that can be had matches `{pattern}`", request.name);
                    return Err(Refusal { problem: Problem::new(message), unknown: true });
                }
                found
            }
            PackageAction::Remove | PackageAction::Purge if installed.is_some() => {
                predicted.removed.insert(request.name.clone());
                None
            }
            _ => None,
        };
        if let Some(version) =
            version.filter(|version| installed.is_none_or(|there| there.version != *version))
        {
            predicted.installed.insert(request.name.clone(), version);
        }
        Ok(())
    }
}

/// A machine with a package manager that knows no package.
impl Packages for Empty {
    fn package_manager(&self) -> Option<PackageManager> {
        Some(PackageManager::Apt)
    }

    fn package(&self, _name: &str) -> Result<Option<InstalledPackage>, Problem> {
        Ok(None)
    }

    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        Ok(BTreeMap::new())
    }

    fn package_remains(&self, _name: &str) -> Result<Remains, Problem> {
        Ok(Remains::Nothing)
    }

    fn candidates(&self, _names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        Ok(BTreeMap::new())
    }

    fn version_matching(&self, _name: &str, _pattern: &str) -> Result<Option<String>, Problem> {
        Ok(None)
    }

    fn refresh_index(&self, _older_than: u64, _deadline: Instant) -> Result<bool, Problem> {
        Ok(false)
    }

    fn refresh_index_copy(&self, _older_than: u64, _deadline: Instant) -> Result<bool, Problem> {
        Ok(false)
    }

    fn predict(&self, _before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        let result = |request: &PackageRequest| match request.action {
            PackageAction::Install | PackageAction::InstallVersion(_) | PackageAction::Latest => {
                Err(Refusal {
                    problem: Problem::new(format!(
                        "there is no package `{}` in the index of packages",
                        request.name
                    )),
                    unknown: true,
                })
            }
            _ => Ok(()),
        };
        Predicted { results: transaction.requests.iter().map(result).collect(), ..Predicted::default() }
    }

    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let results = self.predict(&[], transaction).results;
        Transacted {
            results: results.into_iter().map(|result| result.map_err(|refusal| refusal.problem)).collect(),
            notes: Vec::new(),
        }
    }
}
