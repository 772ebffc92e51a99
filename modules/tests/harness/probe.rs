//! A node between a module and the real or fake one: it counts what writes, fails at the n-th of it, and
//! plays the programs of the fake node.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use cm_modules::{
    Node, Prefetch, Problem,
    custom::Call,
    node::{
        Accounts, Attributes, Command, Commands, Content, Extended, FileKind, Files, Finished, Group,
        GroupChange, InstalledPackage, PackageManager, PackageRequest, Packages, Predicted, Remains,
        SettingKind, Settings, Source, Spool, Stat, Streams, Transacted, Transaction, UnitAction, UnitState,
        Units, User, UserChange, Validate,
    },
};
use cm_wire::Digest;

use crate::case::Programs;

/// A call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which writing call, from 0.
    pub call: usize,
    /// It is made, and then it is said to have failed.
    pub after: bool,
}

/// The node `inner`, watched.
pub struct Probe<'a> {
    inner: &'a dyn Node,
    programs: Option<Programs>,
    fault: Option<Fault>,
    calls: AtomicUsize,
}

impl<'a> Probe<'a> {
    /// Watches a node.
    pub fn new(inner: &'a dyn Node, programs: Option<Programs>, fault: Option<Fault>) -> Self {
        Self { inner, programs, fault, calls: AtomicUsize::new(0) }
    }

    /// How many calls that write were made.
    pub fn writes(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn write<T, E>(&self, failed: impl Fn() -> E, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fault.filter(|fault| fault.call == number) {
            None => call(),
            Some(Fault { after: false, .. }) => Err(failed()),
            Some(Fault { after: true, .. }) => call().and_then(|_| Err(failed())),
        }
    }

    fn io<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.write(|| io::Error::other("injected"), call)
    }

    fn told<T>(&self, call: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
        self.write(|| Problem::new("injected"), call)
    }
}

impl Node for Probe<'_> {
    fn prefetch(&self, wants: &Prefetch) {
        self.inner.prefetch(wants);
    }
    // It is a machine, even where it is made of an overlay: what is not there does not appear.
}

impl Files for Probe<'_> {
    fn own_ids(&self) -> (u32, u32) {
        self.inner.own_ids()
    }
    fn attributes_of_new(&self, path: &Path, mode: u32, kind: FileKind) -> io::Result<Attributes> {
        self.inner.attributes_of_new(path, mode, kind)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.inner.stat(path)
    }
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.inner.read(path, limit)
    }
    fn digest(&self, path: &Path) -> io::Result<Digest> {
        self.inner.digest(path)
    }
    fn known_digest(&self, path: &Path, stat: &Stat) -> io::Result<Option<Digest>> {
        self.inner.known_digest(path, stat)
    }
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.read_link(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(path)
    }
    fn write(
        &self,
        path: &Path,
        content: &Content,
        attributes: Attributes,
        validate: Option<Validate<'_>>,
    ) -> io::Result<Result<(), Problem>> {
        self.io(|| self.inner.write(path, content, attributes, validate))
    }
    fn make_directory(&self, path: &Path, attributes: Attributes) -> io::Result<()> {
        self.io(|| self.inner.make_directory(path, attributes))
    }
    fn make_link(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.io(|| self.inner.make_link(path, target))
    }
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.io(|| self.inner.set_mode(path, mode))
    }
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.io(|| self.inner.set_owner(path, uid, gid))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.io(|| self.inner.remove(path))
    }
    fn extended(&self, path: &Path) -> io::Result<Extended> {
        self.inner.extended(path)
    }
    fn set_extended(&self, path: &Path, extended: &Extended) -> io::Result<()> {
        self.io(|| self.inner.set_extended(path, extended))
    }
    fn set_modified(&self, path: &Path, modified: i128) -> io::Result<()> {
        self.io(|| self.inner.set_modified(path, modified))
    }
    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        self.io(|| self.inner.remove_tree(path))
    }
}

impl Streams for Probe<'_> {
    fn open(&self, path: &Path) -> io::Result<Source> {
        self.inner.open(path)
    }
    fn open_content(&self, content: &Content) -> io::Result<Source> {
        self.inner.open_content(content)
    }
    fn spool(&self, near: &Path) -> Spool {
        self.inner.spool(near)
    }
}

impl Commands for Probe<'_> {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        let run = || match self.programs {
            Some(programs) => programs(self.inner, command),
            None => self.inner.run(command),
        };
        if command.changes { self.io(run) } else { run() }
    }
}

impl Accounts for Probe<'_> {
    fn user(&self, name: &str) -> io::Result<Option<User>> {
        self.inner.user(name)
    }
    fn group(&self, name: &str) -> io::Result<Option<Group>> {
        self.inner.group(name)
    }
    fn user_name(&self, uid: u32) -> String {
        self.inner.user_name(uid)
    }
    fn group_name(&self, gid: u32) -> String {
        self.inner.group_name(gid)
    }
    fn change_user(&self, change: &UserChange) -> Result<(), Problem> {
        self.told(|| self.inner.change_user(change))
    }
    fn remove_user(&self, name: &str, home: bool) -> Result<(), Problem> {
        self.told(|| self.inner.remove_user(name, home))
    }
    fn change_group(&self, change: &GroupChange) -> Result<(), Problem> {
        self.told(|| self.inner.change_group(change))
    }
    fn remove_group(&self, name: &str) -> Result<(), Problem> {
        self.told(|| self.inner.remove_group(name))
    }
}

impl Packages for Probe<'_> {
    fn package_manager(&self) -> Option<PackageManager> {
        self.inner.package_manager()
    }
    fn sources_may_appear(&self) -> bool {
        self.inner.sources_may_appear()
    }
    fn package(&self, name: &str) -> Result<Option<InstalledPackage>, Problem> {
        self.inner.package(name)
    }
    fn package_list(&self) -> Result<BTreeMap<String, InstalledPackage>, Problem> {
        self.inner.package_list()
    }
    fn package_remains(&self, name: &str) -> Result<Remains, Problem> {
        self.inner.package_remains(name)
    }
    fn candidates(&self, names: &[String]) -> Result<BTreeMap<String, String>, Problem> {
        self.inner.candidates(names)
    }
    fn version_matching(&self, name: &str, pattern: &str) -> Result<Option<String>, Problem> {
        self.inner.version_matching(name, pattern)
    }
    fn refresh_index(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.inner.refresh_index(older_than, deadline)
    }
    fn refresh_index_copy(&self, older_than: u64, deadline: Instant) -> Result<bool, Problem> {
        self.inner.refresh_index_copy(older_than, deadline)
    }
    fn predict(&self, before: &[PackageRequest], transaction: &Transaction<'_>) -> Predicted {
        self.inner.predict(before, transaction)
    }
    fn transact(&self, transaction: &Transaction<'_>) -> Transacted {
        let done = self.told(|| Ok(self.inner.transact(transaction)));
        done.unwrap_or_else(|problem| Transacted {
            results: transaction.requests.iter().map(|_| Err(problem.clone())).collect(),
            notes: Vec::new(),
        })
    }
}

impl Units for Probe<'_> {
    fn units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        self.inner.units(names)
    }
    fn fresh_units(&self, names: &[String]) -> Result<BTreeMap<String, UnitState>, Problem> {
        self.inner.fresh_units(names)
    }
    fn unit(&self, name: &str, action: UnitAction, deadline: Instant) -> Result<(), Problem> {
        self.told(|| self.inner.unit(name, action, deadline))
    }
    fn settle(&self, name: &str, during: Duration, deadline: Instant) -> Result<(), Problem> {
        self.inner.settle(name, during, deadline)
    }
    fn unit_names(&self) -> Result<Vec<String>, Problem> {
        self.inner.unit_names()
    }
    fn reload_units(&self, deadline: Instant) -> Result<(), Problem> {
        self.told(|| self.inner.reload_units(deadline))
    }
}

impl Settings for Probe<'_> {
    fn setting(&self, kind: SettingKind, key: &str) -> Result<Option<String>, Problem> {
        self.inner.setting(kind, key)
    }
    fn set(
        &self,
        kind: SettingKind,
        key: &str,
        value: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Problem> {
        self.told(|| self.inner.set(kind, key, value, deadline))
    }
    fn learn(&self, key: &str, call: &Call, state: Option<String>) {
        self.inner.learn(key, call, state);
    }
    fn known(&self, key: &str) -> Option<Call> {
        self.inner.known(key)
    }
}
