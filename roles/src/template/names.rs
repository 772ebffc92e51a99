//! The names templates can use, and which of them a text does use.

use std::{collections::BTreeSet, sync::LazyLock};

use cm_wire::{Facts, Interface, Mount};

/// What a repository defines that templates can name.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Names of variables that any host or group has, or `--set` gives.
    pub variables: BTreeSet<String>,
    /// Names of groups.
    pub groups: BTreeSet<String>,
    /// Names of hosts.
    pub hosts: BTreeSet<String>,
    /// Names of secrets.
    pub secrets: BTreeSet<String>,
    /// Names of variables that hold secrets.
    pub secret_variables: BTreeSet<String>,
}

/// What one text can name beside the [`World`].
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The repository's names.
    pub world: &'a World,
    /// The role's parameters.
    pub params: &'a BTreeSet<String>,
    /// Whether `item` is there.
    pub item: bool,
}

/// Names of what is always there.
pub(super) const ROOTS: &[&str] = &["node", "host", "hosts", "groups", "secrets"];

/// What a text (or all texts of a role) takes from its surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Variables and parameters by name, `item` and the always present names not among them.
    pub variables: BTreeSet<String>,
    /// This host's facts.
    pub node: bool,
    /// The facts of other hosts.
    pub other_facts: bool,
    /// Anything of `secrets`.
    pub secrets: bool,
    /// A secret goes through a filter or the like, so that what is printed no longer shows the secret itself: looking
    /// for the secret in what leaves the program would not find it.
    pub secrets_changed: bool,
    /// `item`.
    pub item: bool,
    /// Template files that are included or imported, as named.
    pub templates: BTreeSet<String>,
}

impl Uses {
    /// Adds what another text uses.
    pub fn extend(&mut self, other: &Self) {
        self.variables.extend(other.variables.iter().cloned());
        self.templates.extend(other.templates.iter().cloned());
        self.node |= other.node;
        self.other_facts |= other.other_facts;
        self.secrets |= other.secrets;
        self.secrets_changed |= other.secrets_changed;
        self.item |= other.item;
    }
}

/// The fields of facts, as a value with every field in it.
pub(super) static FACTS: LazyLock<serde_json::Value> = LazyLock::new(|| {
    let sample =
        Facts { interfaces: vec![Interface::default()], mounts: vec![Mount::default()], ..Facts::default() };
    serde_json::to_value(sample).expect("facts are plain data with text keys")
});

/// The fields of this host's inventory entry and of another host's.
pub(super) const HOST: &[&str] = &["address", "groups", "name", "vars"];
pub(super) const OTHER_HOST: &[&str] = &["address", "facts", "groups", "name", "vars"];
/// The fields of a group.
pub(super) const GROUP: &[&str] = &["hosts"];
