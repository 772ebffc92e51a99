//! A repository, read and checked as a whole.

mod check;
mod load;
mod set;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_inventory::{HostId, Inventory, Origin};
use cm_roles::{Argument, CustomModules, Role, Roles, World};
use cm_syntax::{Diagnostic, Diagnostics, Sources, Spanned};
use minijinja::Value;

use crate::{
    compile::{Orders, Prepared},
    content::Contents,
    rules::Rules,
    secrets::Secrets,
    settings::Settings,
    waivers::Waivers,
};

pub use load::{LoadError, LoadOptions};
pub(crate) use set::SetValue;

/// A repository without errors. Cheap to clone; all compilation starts here, from as many threads as there are.
#[derive(Clone, Debug)]
pub struct Project {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub root: PathBuf,
    pub sources: Sources,
    pub settings: Settings,
    pub inventory: Inventory,
    pub roles: Roles,
    pub secrets: Arc<Secrets>,
    pub waivers: Waivers,
    pub world: World,
    /// `--set`.
    pub set: BTreeMap<String, SetValue>,
    /// The variables of each host, by its place in the inventory.
    pub host_variables: Vec<BTreeMap<String, HostVariable>>,
    /// The roles of each host, likewise.
    pub assigned: Vec<Vec<Assigned>>,
    /// `groups` of templates.
    pub groups: Value,
    pub contents: Contents,
    /// Tasks that are the same on every host, compiled once.
    pub prepared: Prepared,
    pub orders: Orders,
    /// Whether any variable of the inventory asks for other hosts' facts.
    pub inventory_uses_other_facts: bool,
    pub warnings: Diagnostics,
    /// `where` of groups, compiled.
    pub rules: Rules,
    /// What it was read with.
    pub options: LoadOptions,
}

/// A variable of a host with its templates compiled.
#[derive(Clone, Debug)]
pub(crate) struct HostVariable {
    pub argument: Arc<Argument>,
    pub origin: Origin,
    pub overridden: Vec<Origin>,
    /// Why its templates cannot be used, where they are not of our kind.
    pub broken: Option<Arc<Diagnostic>>,
}

/// A role that a group assigns, with what it is given.
#[derive(Clone, Debug)]
pub(crate) struct Assigned {
    pub role: Spanned<String>,
    pub with: Vec<(Spanned<String>, Arc<Argument>)>,
}

impl Project {
    /// The folder of the repository.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// All files that were read, for rendering diagnostics.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.inner.sources
    }

    /// `cm.toml`.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Hosts and groups.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inner.inventory
    }

    /// A role of the repository or, where one is needed, of the library.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.inner.roles.get(name)
    }

    /// All roles that were read, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.inner.roles.iter()
    }

    /// The repository's own modules.
    #[must_use]
    pub fn custom_modules(&self) -> &CustomModules {
        self.inner.roles.custom_modules()
    }

    /// Names of all roles that can be named, those of the library too.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        self.inner.roles.names()
    }

    /// The repository's secrets.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    /// Drift that is known and let be.
    #[must_use]
    pub fn waivers(&self) -> &Waivers {
        &self.inner.waivers
    }

    /// What is worth a look but no error.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        &self.inner.warnings
    }

    /// Names of the roles that the groups of a host assign, in order.
    pub fn roles_of(&self, host: HostId) -> impl Iterator<Item = &str> {
        self.inner.assigned[host.index()].iter().map(|assigned| assigned.role.value.as_str())
    }

    /// Whether what these roles (and those they need) do on some host depends on facts of other hosts: then facts of all
    /// hosts are wanted before any is compiled.
    #[must_use]
    pub fn needs_other_facts<'a>(&self, roles: impl IntoIterator<Item = &'a str>) -> bool {
        let mut wanted: Vec<String> = roles.into_iter().map(str::to_owned).collect();
        let mut next = 0;
        while next < wanted.len() {
            if let Some(role) = self.role(&wanted[next]) {
                if role.uses.other_facts {
                    return true;
                }
                for need in &role.needs {
                    if !wanted.contains(&need.role.value) {
                        wanted.push(need.role.value.clone());
                    }
                }
            }
            next += 1;
        }
        self.inner.inventory_uses_other_facts
    }
}
