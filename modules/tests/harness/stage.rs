//! A node that a case is played on: the fake one, or a directory of this machine.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cm_modules::{
    Empty, Node, Overlay, Real,
    node::{Attributes, Content, FileKind, PackageAction, PackageRequest, Transaction, Waiting},
};

use crate::case::{Act, Case, Fact, Where, file};

/// Directories of every machine, which the fake node has from the start.
const MACHINE: &[&str] = &[
    "/boot",
    "/dev",
    "/etc",
    "/etc/apt",
    "/etc/apt/sources.list.d",
    "/etc/apt/keyrings",
    "/etc/cron.d",
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/security",
    "/etc/security/limits.d",
    "/etc/sysctl.d",
    "/etc/systemd",
    "/etc/systemd/system",
    "/home",
    "/lib",
    "/lib/systemd",
    "/lib/systemd/system",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/spool",
    "/var/spool/cron",
];

/// As Debian has it, in short.
const LOGIN_DEFS: &str = "UMASK 022\nHOME_MODE 0700\nUSERGROUPS_ENAB yes\n";

/// A node with a folder for one case.
pub struct Stage {
    /// Where it is.
    pub place: Where,
    node: Kind,
    /// The case's own folder.
    pub base: PathBuf,
    /// What is compared: everything below it.
    pub root: PathBuf,
    /// Removed with the stage.
    _directory: Option<tempfile::TempDir>,
}

enum Kind {
    Fake(Box<Overlay<'static>>),
    Tree(Box<Real>),
}

impl Stage {
    /// A fresh node with the folder `name` for a case.
    pub fn new(place: Where, name: &str) -> Self {
        match place {
            Where::Fake => {
                let fake = Overlay::new(&Empty);
                let root = Attributes { mode: 0o755, uid: 0, gid: 0 };
                for directory in MACHINE {
                    cm_modules::node::Files::make_directory(&fake, Path::new(directory), root).unwrap();
                }
                let stage = Self {
                    place,
                    node: Kind::Fake(Box::new(fake)),
                    base: Path::new("/srv").join(name),
                    root: "/".into(),
                    _directory: None,
                };
                make_directories(stage.node(), &stage.base);
                stage.act(&[file("/etc/login.defs", LOGIN_DEFS, 0o644)]);
                stage
            }
            Where::Tree => {
                let directory = tempfile::Builder::new().prefix("cm-harness-").tempdir().unwrap();
                let base = directory.path().join(name);
                let stage = Self {
                    place,
                    node: Kind::Tree(Box::new(Real::new())),
                    base,
                    root: directory.path().to_owned(),
                    _directory: Some(directory),
                };
                make_directories(stage.node(), &stage.base);
                stage
            }
            Where::Host => unreachable!("hosts of the lab are played on by another suite"),
        }
    }

    /// A stage prepared for a case, and the case moved to it.
    pub fn of(place: Where, name: &str, case: &Case) -> (Self, Case) {
        let stage = Self::new(place, name);
        let case = case.moved(&stage.base);
        stage.act(&case.before);
        (stage, case)
    }

    /// The node itself.
    pub fn node(&self) -> &dyn Node {
        match &self.node {
            Kind::Fake(fake) => &**fake,
            Kind::Tree(real) => &**real,
        }
    }

    /// Does something by hand.
    pub fn act(&self, acts: &[Act]) {
        for act in acts {
            self.act_once(act);
        }
    }

    fn act_once(&self, act: &Act) {
        let node = self.node();
        let deadline = Instant::now() + Duration::from_secs(60);
        let own = |mode| {
            let (uid, gid) = node.own_ids();
            Attributes { mode, uid, gid }
        };
        match act {
            Act::File { path, content, mode } => {
                make_directories(node, path.parent().unwrap());
                node.write(path, &Content::Bytes(content.clone()), own(*mode), None).unwrap().unwrap();
                // A file that was there keeps its attributes otherwise.
                node.set_owner(path, own(0).uid, own(0).gid).unwrap();
                node.set_mode(path, *mode).unwrap();
            }
            Act::Directory { path, mode } => {
                make_directories(node, path);
                node.set_mode(path, *mode).unwrap();
            }
            Act::Link { path, target } => {
                make_directories(node, path.parent().unwrap());
                node.make_link(path, target).unwrap();
            }
            Act::Mode { path, mode } => node.set_mode(path, *mode).unwrap(),
            Act::Owner { path, uid, gid } => {
                if node.own_ids().0 == 0 {
                    let mode = node.stat(path).unwrap().unwrap();
                    node.set_owner(path, *uid, *gid).unwrap();
                    if mode.kind != FileKind::Link {
                        node.set_mode(path, mode.mode).unwrap();
                    }
                }
            }
            Act::Extended { path, name, value } => {
                let mut extended = node.extended(path).unwrap();
                extended.insert(format!("user.{name}").into_bytes(), value.clone());
                node.set_extended(path, &extended).unwrap();
            }
            Act::Remove { path } => node.remove_tree(path).unwrap(),
            Act::User(change) => {
                let create = node.user(&change.name).unwrap().is_none();
                let change = cm_modules::node::UserChange { create, ..change.clone() };
                node.change_user(&change).unwrap();
            }
            Act::NoUser(name) => node.remove_user(name, true).unwrap(),
            Act::Group(change) => {
                let create = node.group(&change.name).unwrap().is_none();
                let change = cm_modules::node::GroupChange { create, ..change.clone() };
                node.change_group(&change).unwrap();
            }
            Act::NoGroup(name) => node.remove_group(name).unwrap(),
            Act::Offer { name, versions } => {
                if let Kind::Fake(fake) = &self.node {
                    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
                    fake.offer_package(name, &versions);
                }
            }
            Act::Install { name, version } => self.transact(
                name,
                version.clone().map_or(PackageAction::Install, PackageAction::InstallVersion),
            ),
            Act::Purge(name) => self.transact(name, PackageAction::Purge),
            Act::Hold(name, held) => {
                self.transact(name, if *held { PackageAction::Hold } else { PackageAction::Unhold });
            }
            Act::Unit(name, state) => {
                if let Kind::Fake(fake) = &self.node {
                    fake.prepare_unit(name, (**state).clone());
                }
            }
            Act::Manage(name, action) => node.unit(name, *action, deadline).unwrap(),
            Act::Setting(kind, key, value) => node.set(*kind, key, value.as_deref(), deadline).unwrap(),
            Act::Shell(_) => {}
        }
    }

    fn transact(&self, name: &str, action: PackageAction) {
        let transaction = Transaction {
            requests: vec![PackageRequest { name: name.to_owned(), action }],
            recommends: None,
            deadline: Instant::now() + Duration::from_secs(60),
            waiting: Waiting::default(),
        };
        for result in self.node().transact(&transaction).results {
            result.unwrap();
        }
    }

    /// What is not as it should be.
    pub fn wrong(&self, facts: &[Fact]) -> Vec<String> {
        facts.iter().filter(|fact| !self.is_so(fact)).map(|fact| format!("not so: {fact:?}")).collect()
    }

    fn is_so(&self, fact: &Fact) -> bool {
        let node = self.node();
        let stat = |path: &Path| node.stat(path).unwrap();
        match fact {
            Fact::Holds { path, content } => {
                stat(path).is_some_and(|stat| stat.kind == FileKind::File)
                    && node.read(path, 1 << 20).unwrap() == *content
            }
            Fact::HasMode { path, mode } => stat(path).is_some_and(|stat| stat.mode == *mode),
            Fact::HasOwner { path, uid, gid } => {
                node.own_ids().0 != 0 || stat(path).is_some_and(|stat| (stat.uid, stat.gid) == (*uid, *gid))
            }
            Fact::IsDirectory { path } => stat(path).is_some_and(|stat| stat.kind == FileKind::Directory),
            Fact::LeadsTo { path, target } => {
                stat(path).is_some_and(|stat| stat.kind == FileKind::Link)
                    && node.read_link(path).unwrap() == *target
            }
            Fact::Gone { path } => stat(path).is_none(),
            Fact::HasUser { name, there } => node.user(name).unwrap().is_some() == *there,
            Fact::HasGroup { name, there } => node.group(name).unwrap().is_some() == *there,
            Fact::HasPackage { name, there } => node.package(name).unwrap().is_some() == *there,
            Fact::Active { unit, state } => self.unit(unit).active == *state,
            Fact::Enabled { unit, state } => self.unit(unit).file == *state,
            Fact::Value { kind, key, value } => node.setting(*kind, key).unwrap() == *value,
        }
    }

    fn unit(&self, name: &str) -> cm_modules::node::UnitState {
        self.node().units(&[name.to_owned()]).unwrap().remove(name).unwrap_or_default()
    }
}

fn make_directories(node: &dyn Node, path: &Path) {
    let (uid, gid) = node.own_ids();
    let missing: Vec<&Path> =
        path.ancestors().take_while(|path| node.stat(path).unwrap().is_none()).collect();
    for path in missing.into_iter().rev() {
        node.make_directory(path, Attributes { mode: 0o755, uid, gid }).unwrap();
    }
}
