//! A scenario of `cm test`: hosts to make, how the role is set, what is damaged, and what must be true. Only data;
//! the files are read by `read/scenario.rs`, and run by the program.

use cm_syntax::{Node, Spanned};

/// The releases that a scenario can ask for, as users write them.
pub const RELEASES: [&str; 3] = ["debian-11", "debian-12", "debian-13"];

/// One file of a role's `tests/`, or the role with its defaults where it has none.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name without `.yaml`.
    pub name: String,
    /// The role it is about.
    pub role: String,
    /// What it shows.
    pub description: Option<String>,
    /// The releases it is for; empty: all.
    pub releases: Vec<String>,
    /// Its hosts; at least one.
    pub hosts: Vec<ScenarioHost>,
    /// Groups of them.
    pub groups: Vec<ScenarioGroup>,
    /// The target that the role is applied on.
    pub on: String,
    /// Values of the role's parameters, on all hosts.
    pub params: Vec<Setting>,
    /// Further variables of all hosts.
    pub vars: Vec<Setting>,
    /// Secrets and their values, which are no secrets at all.
    pub secrets: Vec<(String, String)>,
    /// Tasks that make the hosts ready, on all of them.
    pub before: Written,
    /// What must be true after each apply.
    pub then: Written,
    /// The role applied again with other parameters.
    pub later: Vec<Later>,
    /// Damage, which verify must name and apply must mend.
    pub drift: Vec<Drift>,
    /// Paths that may be there after the cleanup.
    pub leaves: Vec<String>,
    /// All roles that have a part in it, those needed too.
    pub roles: Vec<String>,
}

/// A variable and its value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value as written.
    pub value: Node,
}

/// A host of a scenario.
#[derive(Clone, Debug)]
pub struct ScenarioHost {
    /// Its name.
    pub name: String,
    /// Variables of its own.
    pub vars: Vec<Setting>,
    /// The release it always has; otherwise the one that is tested.
    pub release: Option<String>,
}

/// A group of hosts of a scenario.
#[derive(Clone, Debug)]
pub struct ScenarioGroup {
    /// Its name.
    pub name: String,
    /// Names of its hosts.
    pub hosts: Vec<String>,
    /// Its variables.
    pub vars: Vec<Setting>,
    /// Roles that are applied on it before the role that is tested.
    pub roles: Vec<String>,
}

/// A list of tasks or checks as written, each with its place for people.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The items, and where each stands: `roles/web/tests/tls.yaml:12`.
    pub items: Vec<(Node, String)>,
}

/// One further apply with other parameters.
#[derive(Clone, Debug)]
pub struct Later {
    /// What it is called in reports.
    pub name: String,
    /// Parameters that differ from those before.
    pub params: Vec<Setting>,
    /// What must be true then.
    pub then: Written,
}

/// Damage done past `cm`.
#[derive(Clone, Debug)]
pub struct Drift {
    /// What it is called in reports.
    pub name: String,
    /// The hosts that are damaged; empty: all that the role is on.
    pub on: Vec<String>,
    /// Command lines for a shell, run as root.
    pub commands: Vec<String>,
    /// Ids of the tasks that verify must name, and no others.
    pub finds: Vec<Spanned<String>>,
    /// What must be true after it was mended.
    pub then: Written,
}

impl Scenario {
    /// Whether it is for this release.
    #[must_use]
    pub fn is_for(&self, release: &str) -> bool {
        self.releases.is_empty() || self.releases.iter().any(|known| known == release)
    }
}

impl Written {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
