//! What a task makes and what it rests on: the ground of the graph's deduced edges and of conflicts.

use std::path::PathBuf;

use crate::node::SettingKind;

/// Something on a node that a task can make or need.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// A path of the file system. Making one needs its parent.
    Path(PathBuf),
    /// A user account.
    User(String),
    /// A group of users.
    Group(String),
    /// A package of the node's package manager.
    Package(String),
    /// Any source of packages; making one comes before every package.
    Repository(String),
    /// A systemd unit with its suffix, `nginx.service`: what a unit file makes and a service needs.
    Unit(String),
    /// The running state of a systemd unit; what a service task makes.
    Service(String),
    /// A mounted file system; everything under its path rests on it.
    Mount(PathBuf),
    /// A named value of the running node.
    Setting(SettingKind, String),
    /// Anything else that only one task may define: `hostname`, `sysctl:vm.swappiness`.
    Other(String),
}

/// The class of a module for the order within a role: packages, then files, then services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Brings packages; before files and services of its role.
    Package,
    /// Writes files; after packages, before services of its role.
    File,
    /// Runs services; after packages and files of its role.
    Service,
    /// Nobody can see what it touches: ordered with all tasks written before and after it.
    Opaque,
    /// Looks only, after everything else of its role.
    Check,
    /// Ordered only by what it makes and needs.
    Free,
}

/// What a task makes and needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touches {
    /// Its class.
    pub class: Class,
    /// What it defines; two tasks that define one thing must agree.
    pub makes: Vec<Thing>,
    /// What must be there before, if some task makes it.
    pub needs: Vec<Thing>,
    /// It takes something away: edges to what it makes are turned (children before parents).
    pub removes: bool,
    /// It edits a part of what it makes: other tasks may edit other parts.
    pub part: bool,
    /// It makes the directories above what it makes where they are missing: who needs them comes after it.
    pub parents: bool,
}

impl Touches {
    /// Touches nothing that others know of.
    #[must_use]
    pub fn new(class: Class) -> Self {
        Self { class, makes: Vec::new(), needs: Vec::new(), removes: false, part: false, parents: false }
    }

    /// Adds something it makes.
    #[must_use]
    pub fn makes(mut self, thing: Thing) -> Self {
        self.makes.push(thing);
        self
    }

    /// Adds something it needs.
    #[must_use]
    pub fn needs(mut self, thing: Thing) -> Self {
        self.needs.push(thing);
        self
    }

    /// Adds the user and group that own what it makes, where they are given. A group may be made by its
    /// own task, or come with the user of its name.
    #[must_use]
    pub fn owned(mut self, owner: Option<&str>, group: Option<&str>) -> Self {
        self.needs.extend(owner.map(|name| Thing::User(name.to_owned())));
        if let Some(group) = group {
            self.needs.push(Thing::Group(group.to_owned()));
            if owner != Some(group) {
                self.needs.push(Thing::User(group.to_owned()));
            }
        }
        self
    }

    /// Marks it as one that takes away.
    #[must_use]
    pub fn removes(mut self, removes: bool) -> Self {
        self.removes = removes;
        self
    }

    /// Marks it as one that makes missing directories above.
    #[must_use]
    pub fn parents(mut self, parents: bool) -> Self {
        self.parents = parents;
        self
    }

    /// Marks it as an edit of a part.
    #[must_use]
    pub fn part(mut self) -> Self {
        self.part = true;
        self
    }
}
