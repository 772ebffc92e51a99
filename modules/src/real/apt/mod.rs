//! Packages by apt and dpkg: looks read dpkg's files, changes are one `apt-get` of all that is asked for.

mod index;
mod mend;
mod output;
mod resolve;
mod transaction;

use std::{cmp::Ordering, collections::BTreeMap, path::Path, sync::Arc};

pub(super) use index::IndexState;

use super::{
    debian_version::compare,
    dpkg::{Cached, Database},
    locks::{self, Lock},
};
use crate::{Doing, Problem, node::Commands, version_pattern::version_matches};

/// What an installation needs, in apt's order.
const INSTALLATION_LOCKS: &[Lock] = &[
    Lock::record("var/lib/dpkg/lock-frontend"),
    Lock::record("var/lib/dpkg/lock"),
    Lock::record("var/cache/apt/archives/lock"),
];
/// What refreshing the index needs.
const INDEX_LOCKS: &[Lock] = &[Lock::record("var/lib/apt/lists/lock")];

/// The package manager of a Debian machine.
pub(super) struct Apt<'a> {
    /// Runs apt's programs.
    pub(super) commands: &'a dyn Commands,
    /// Where the machine's file system begins: `/`.
    pub(super) root: &'a Path,
    /// The agent's own folder for a copy of the index.
    pub(super) own: &'a Path,
    /// dpkg's database.
    pub(super) dpkg: &'a Cached,
    /// What is known of the index.
    pub(super) index: &'a IndexState,
}

impl Apt<'_> {
    /// Who is changing packages now.
    pub(in crate::real) fn changed_by(&self) -> Option<String> {
        locks::held(self.root, INSTALLATION_LOCKS)
    }

    /// dpkg's database as it is now.
    pub(super) fn database(&self) -> Result<Arc<Database>, Problem> {
        self.dpkg.get(self.root).doing("reading /var/lib/dpkg/status")
    }

    /// The newest version of each name that can be had or is installed.
    pub(super) fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        let database = self.database()?;
        let newest = |(name, policy): (String, output::Policy)| {
            let candidate = policy.candidate?;
            let installed = database.installed(&name).filter(|package| package.provided_by.is_none());
            let newest = match installed {
                Some(there) if compare(&there.version, &candidate) == Ordering::Greater => there.version,
                _ => candidate,
            };
            Some((name, newest))
        };
        Ok(crate::in_order::map(self.policies(names)?.into_iter().filter_map(newest)))
    }

    /// The version that a pattern selects.
    pub(super) fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        let policies = self.policies(&[name.to_owned()])?;
        let mut versions =
            policies.into_values().flat_map(|policy| policy.candidate.into_iter().chain(policy.versions));
        Ok(versions.find(|version| version_matches(pattern, version)))
    }
}

#[cfg(test)]
mod tests;
