//! `package`: a package of the node's package manager, its version and hold.
//!
//! Looks read the package manager's own database. Packages that are ready together are one transaction
//! ([`Resource::change_together`]); one that is impossible fails alone.

use std::time::Duration;

use cm_wire::{Change, Mode, Stream};

use crate::{
    Class, Context, Effect, Module, ParamError, Params, Prefetch, Problem, Resource, Seen, Thing, Touches,
    choice,
    node::{InstalledPackage, PackageAction, PackageRequest, Remains, Transaction, Waiting},
    params,
    version_pattern::version_matches,
};

choice! {
    /// What is wanted of the package.
    pub enum State {
        /// It is installed, in whatever version.
        Present = "present",
        /// It is not; its configuration may stay.
        Absent = "absent",
        /// It is installed in the newest version that can be had.
        Latest = "latest",
        /// It is not, and its configuration is gone too.
        Purged = "purged",
    }
}

params! {
    /// A package of the node's own package manager: apt, dnf, zypper, pacman or apk. Packages that are ready
    /// together are installed and removed in one transaction; configuration files that were changed by hand are
    /// kept. The package index is refreshed only where it does not know a name or version, is older than the
    /// sources of packages, or is too old for `latest`. An installation that was cut short before is brought to its
    /// end first, as long as nothing must be removed for it.
    ///
    /// apt is proven on real hosts; dnf 4 with rpm's database in a root directory of its own. zypper and pacman are
    /// proven in such a root directory and written from their manuals otherwise, dnf 5 and apk only from their
    /// manuals: these four have not been run on a real host. pacman has one version of each package, removes
    /// nothing that another needs, and cannot hold.
    pub struct Package = "package" {
        /// Its name; `name:arch` for another architecture than the node's own.
        subject name: String,
        /// `present`, `absent`, `latest` or `purged` (absent, its configuration too).
        state: State = State::Present,
        /// The version to have, newer or older than what is there: `1.24.0-2`, or a pattern such as `"1.24*"`.
        version: Option<String>,
        /// Hold it at its version, so that no upgrade of the system changes it; `false` lets it go.
        held: Option<bool>,
        /// Install what it recommends, too; otherwise as the node's package manager is configured.
        recommends: Option<bool>,
        /// How old the package index may be for `latest`.
        max_age: Duration = Duration::from_secs(3600),
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Package::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let package = Package::from_params(params)?;
    check_name(&package.name)?;
    let absent = matches!(package.state, State::Absent | State::Purged);
    if let Some(version) = &package.version {
        if package.state != State::Present {
            let message = format!("cannot be given together with `state: {}`", package.state.word());
            return Err(ParamError::new("version", message));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".+-~:*?_^".contains(c);
        if version.is_empty() || version.starts_with('-') || !version.chars().all(allowed) {
            return Err(ParamError::new(
                "version",
                format!("{version:?} is not a version such as \"1.24*\""),
            ));
        }
    }
    if absent && package.held == Some(true) {
        return Err(ParamError::new("held", "cannot be true for a package that is not to be there"));
    }
    Ok(Box::new(package))
}

fn check_name(name: &str) -> Result<(), ParamError> {
    let error = |message: String| Err(ParamError::new("name", message));
    if let Some((name, version)) = name.split_once('=') {
        return error(format!("holds a version; write `package: {name}` and `version: \"{version}\"`"));
    }
    if name.contains(char::is_whitespace) || name.contains(',') {
        return error(format!("{name:?} is not one name; several are a list: `package: [a, b]`"));
    }
    let (stem, architecture) = name.split_once(':').unwrap_or((name, "any"));
    let good = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !good(stem, "+-._") || stem.ends_with('-') || !good(architecture, "-_") {
        return error(format!("{name:?} is not a name that a package can have"));
    }
    Ok(())
}

/// The key of transactions: all packages of a node go together.
const BATCH: &str = "package";

impl Package {
    fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent | State::Purged)
    }

    /// What is asked of the package manager.
    fn requests(&self) -> Vec<PackageRequest> {
        let action = match (self.state, &self.version) {
            (State::Present, Some(version)) => PackageAction::InstallVersion(version.clone()),
            (State::Present, None) => PackageAction::Install,
            (State::Latest, _) => PackageAction::Latest,
            (State::Absent, _) => PackageAction::Remove,
            (State::Purged, _) => PackageAction::Purge,
        };
        let hold = match self.held {
            Some(true) => Some(PackageAction::Hold),
            Some(false) if !self.is_absent() => Some(PackageAction::Unhold),
            _ => None,
        };
        let request = |action| PackageRequest { name: self.name.clone(), action };
        std::iter::once(action).chain(hold).map(request).collect()
    }

    fn present_differences(
        &self,
        context: &Context<'_>,
        installed: Option<&InstalledPackage>,
    ) -> Result<Vec<Change>, Problem> {
        let Some(package) = installed else {
            let before = match context.node.package_remains(&self.name)? {
                Remains::Broken => Some("half-installed".to_owned()),
                Remains::Nothing | Remains::Configuration => None,
            };
            let mut changes = vec![Change::new("state", before, Some("installed".into()))];
            changes.extend(self.version.clone().map(|version| Change::new("version", None, Some(version))));
            if self.held == Some(true) {
                changes.push(Change::new("held", None, Some("true".into())));
            }
            return Ok(changes);
        };
        let mut changes = Vec::new();
        let named = package.provided_by.is_none();
        if let Some(wanted) = &self.version
            && (!named || !version_matches(wanted, &package.version))
        {
            let before = named.then(|| package.version.clone());
            changes.push(Change::new("version", before, Some(wanted.clone())));
        }
        if self.state == State::Latest && named {
            let candidates = context.node.candidates(std::slice::from_ref(&self.name))?;
            if let Some(candidate) = candidates.get(&self.name)
                && *candidate != package.version
            {
                changes.push(Change::new("version", Some(package.version.clone()), Some(candidate.clone())));
            }
        }
        if let Some(held) = self.held.filter(|&held| held != package.held) {
            changes.push(Change::new("held", Some(package.held.to_string()), Some(held.to_string())));
        }
        if named && !package.manual {
            // Otherwise it goes away with the package that brought it.
            changes.push(Change::new("mark", Some("automatic".into()), Some("manual".into())));
        }
        Ok(changes)
    }

    fn absent_differences(
        &self,
        context: &Context<'_>,
        installed: Option<&InstalledPackage>,
    ) -> Result<Vec<Change>, Problem> {
        if installed.is_some_and(|package| package.provided_by.is_none()) {
            return Ok(vec![Change::new("state", Some("installed".into()), None)]);
        }
        let before = match context.node.package_remains(&self.name)? {
            Remains::Broken => "half-installed",
            Remains::Configuration if self.state == State::Purged => "configuration files",
            Remains::Configuration | Remains::Nothing => return Ok(Vec::new()),
        };
        Ok(vec![Change::new("state", Some(before.into()), None)])
    }
}

impl Resource for Package {
    fn touches(&self) -> Touches {
        Touches::new(Class::Package).makes(Thing::Package(self.name.clone())).removes(self.is_absent())
    }

    fn prefetch(&self, wants: &mut Prefetch) {
        if self.state == State::Latest {
            wants.candidates.push(self.name.clone());
        }
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let installed = context.node.package(&self.name)?;
        if self.is_absent() {
            return Ok(Seen::from_changes(self.absent_differences(context, installed.as_ref())?));
        }
        if self.state == State::Latest && installed.is_some() && context.mode != Mode::Verify {
            match context.node.refresh_index(self.max_age.as_secs(), context.deadline) {
                Ok(_) => {}
                // An earlier task may set up the proxy or the source.
                Err(_) if context.at_start => return Ok(Seen::Later),
                Err(problem) => return Err(problem),
            }
        }
        let changes = self.present_differences(context, installed.as_ref())?;
        if changes.is_empty()
            && self.state == State::Latest
            && context.disturbed
            && context.node.sources_may_appear()
        {
            // A source that an earlier task of the plan would add may have a newer one.
            return Ok(Seen::Unknown);
        }
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.change_together(&[], context).remove(0)
    }

    fn batch(&self) -> Option<&'static str> {
        Some(BATCH)
    }

    fn change_together(
        &self,
        others: &[&dyn Resource],
        context: &Context<'_>,
    ) -> Vec<Result<Effect, Problem>> {
        let others = others.iter().map(|other| other.as_any().and_then(|other| other.downcast_ref::<Self>()));
        let packages: Vec<Option<&Self>> = std::iter::once(Some(self)).chain(others).collect();
        let mut results: Vec<Result<Effect, Problem>> = packages
            .iter()
            .map(|package| match package {
                Some(_) => Ok(Effect::default()),
                None => Err(Problem::new("this task is not a package, but was to be changed as one")),
            })
            .collect();
        let mut choices: Vec<Option<bool>> =
            packages.iter().flatten().map(|package| package.recommends).collect();
        crate::in_order::sort(&mut choices);
        choices.dedup();
        for recommends in choices {
            let chosen: Vec<(usize, &Self)> = packages
                .iter()
                .enumerate()
                .filter_map(|(index, package)| Some((index, (*package)?)))
                .filter(|(_, package)| package.recommends == recommends)
                .collect();
            transact(&chosen, recommends, context, &mut results);
        }
        results
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

/// Runs one transaction for several packages and gives each its own result.
fn transact(
    packages: &[(usize, &Package)],
    recommends: Option<bool>,
    context: &Context<'_>,
    results: &mut [Result<Effect, Problem>],
) {
    let latest = packages.iter().filter(|(_, package)| package.state == State::Latest);
    if let Some(age) = latest.map(|(_, package)| package.max_age.as_secs()).min() {
        // Where it fails, the transaction itself says what cannot be had.
        let _ = context.node.refresh_index(age, context.deadline);
    }
    let mut owners = Vec::new();
    let mut requests = Vec::new();
    for (index, package) in packages {
        for request in package.requests() {
            owners.push(*index);
            requests.push(request);
        }
    }
    let tell = |text: &str| (context.live)(Stream::Stderr, text);
    let waiting = Waiting { stopping: context.stopping, tell: &tell };
    let transacted =
        context.node.transact(&Transaction { requests, recommends, deadline: context.deadline, waiting });
    for (owner, result) in owners.into_iter().zip(transacted.results) {
        if let (Ok(_), Err(problem)) = (&results[owner], result) {
            results[owner] = Err(problem);
        }
    }
    // Notes are of the transaction: one of its packages tells them.
    let first = packages.iter().map(|(index, _)| *index).find(|&index| results[index].is_ok());
    if let Some(Ok(effect)) = first.map(|index| &mut results[index]) {
        effect.notes.extend(transacted.notes);
    }
}

#[cfg(test)]
mod tests;
