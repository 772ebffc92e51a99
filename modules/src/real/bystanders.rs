//! Packages that went although nobody asked to remove them.

use std::collections::BTreeMap;

use crate::node::{InstalledPackage, PackageAction, Transaction};

/// The note that tells them, from what was installed before and after; none where none went.
pub(super) fn note(
    program: &str,
    before: BTreeMap<String, InstalledPackage>,
    after: &BTreeMap<String, InstalledPackage>,
    transaction: &Transaction<'_>,
) -> Option<String> {
    let leaving = transaction
        .requests
        .iter()
        .filter(|request| matches!(request.action, PackageAction::Remove | PackageAction::Purge));
    let asked = crate::in_order::set(leaving.map(|request| request.name.as_str()));
    let gone: Vec<String> = before
        .into_keys()
        .filter(|name| !after.contains_key(name) && !asked.contains(name.as_str()))
        .collect();
    (!gone.is_empty()).then(|| format!("{program} also removed {}", gone.join(", ")))
}
