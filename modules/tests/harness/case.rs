//! The form of a case: a module on a prepared node, what is wanted of it, and how it can be damaged.
//!
//! Cases for a module are one file, `cases/NAME.rs` with `pub fn cases() -> Cases`, and its line in
//! `cases/mod.rs` (take the name out of `MISSING` there). A case is data: the same one runs on the fake node,
//! in a directory of this machine, under system calls that fail, and as a role on hosts of the lab.
//!
//! ```ignore
//! Cases::of("file")
//!     .without_drift("validate", "says how, not what")        // every other parameter needs a drift
//!     .case(Case::new("content", [("path", at("motd")), ("content", content("hello\n"))])
//!         .before([file("motd", "old\n", 0o640)])             // relative paths are below a folder of its own
//!         .drift(["content"], "content", [file("motd", "x", 0o640)]) // parameters, attribute found, damage
//!         .ends([holds("motd", "hello\n")]))                  // facts, judged without the module
//! ```
//!
//! Paths that a parameter names are written with [`at`] (or [`BASE`] in a text), so that the harness can move
//! the case elsewhere. [`Case::only`] says where it can run: `Fake` (an overlay over nothing, with packages,
//! units, accounts and settings in memory), `Tree` (a real directory; nothing outside of it may be touched),
//! `Host` (a role on a Debian 12 host of the lab, together with all other cases: names of accounts, packages
//! and units must be the case's own). Programs that the module runs on the fake node are [`Case::programs`].
//! Damage that is not to be taken back byte for byte (a line elsewhere in the file) is [`Case::loose_drift`].
//! `CASE=MODULE cargo test -p cm-modules --test harness` runs the checks of one module, `CASE=MODULE/NAME` of one
//! case.
#![allow(dead_code, reason = "the hosts of the lab use another part of it than the fake node does")]

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cm_modules::{
    Node, Thing,
    custom::Declaration,
    node::{Command, Finished, GroupChange, SettingKind, UnitAction, UnitState, UserChange},
};
use cm_wire::{ContentRef, Digest, Notice, TreeEntry, TreeKind, Value};

/// The folder that cases speak of; each runs in a folder of its own in its place.
pub const BASE: &str = "/srv/harness";

/// Where a case can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// An overlay over nothing.
    Fake,
    /// A directory of this machine.
    Tree,
    /// A host of the lab.
    Host,
}

/// All cases of one module.
pub struct Cases {
    /// Its name.
    pub module: &'static str,
    /// Parameters that nothing on the node can differ from, each with the reason.
    pub without_drift: Vec<(&'static str, &'static str)>,
    /// The cases.
    pub cases: Vec<Case>,
}

impl Cases {
    /// No cases yet.
    pub fn of(module: &'static str) -> Self {
        Self { module, without_drift: Vec::new(), cases: Vec::new() }
    }

    /// Says why no damage belongs to a parameter.
    pub fn without_drift(mut self, param: &'static str, reason: &'static str) -> Self {
        self.without_drift.push((param, reason));
        self
    }

    /// Adds a case.
    pub fn case(mut self, case: Case) -> Self {
        self.cases.push(case);
        self
    }
}

/// What runs in place of a node's programs on the fake node: changes the node as the program would.
pub type Programs = fn(&dyn Node, &Command<'_>) -> io::Result<Finished>;

/// One task on a prepared node.
#[derive(Clone)]
pub struct Case {
    /// Unique in its module; letters, digits and `-`.
    pub name: &'static str,
    /// The parameters, the subject among them.
    pub params: BTreeMap<String, Value>,
    /// What is done to the empty node before.
    pub before: Vec<Act>,
    /// What must be so after the change, judged without the module.
    pub ends: Vec<Fact>,
    /// Damage that is found and mended.
    pub drifts: Vec<Drift>,
    /// Things whose state is compared beside the whole file tree and what the task itself keeps.
    pub watch: Vec<Thing>,
    /// Where it runs.
    pub runs: Vec<Where>,
    /// Programs of the fake node.
    pub programs: Option<Programs>,
    /// What tasks before this one ask of it (a service).
    pub notices: Vec<(Notice, String)>,
    /// Why it cannot run in a folder with an odd name; none: it can.
    pub plain_names: Option<&'static str>,
    /// Nothing differs on the prepared node: the case is only about damage.
    pub at_rest: bool,
    /// Why taking the change back cannot be proven by comparing; none: it is.
    pub no_undo: Option<&'static str>,
    /// A program of the repository does the work: what it leaves is not on the image of a plan, and its state is
    /// what it tells itself.
    pub foreign: bool,
}

/// Damage done by hand.
#[derive(Clone)]
pub struct Drift {
    /// The parameters whose attribute is damaged.
    pub params: Vec<&'static str>,
    /// The attribute that a look must name.
    pub attribute: &'static str,
    /// The damage.
    pub acts: Vec<Act>,
    /// The node after mending is not as it was before the damage, byte for byte.
    pub loose: bool,
}

impl Case {
    /// A task with these parameters on an empty node, that runs everywhere.
    pub fn new<const N: usize>(name: &'static str, params: [(&str, Value); N]) -> Self {
        Self {
            name,
            params: params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            before: Vec::new(),
            ends: Vec::new(),
            drifts: Vec::new(),
            watch: Vec::new(),
            runs: vec![Where::Fake, Where::Tree, Where::Host],
            programs: None,
            notices: Vec::new(),
            plain_names: None,
            at_rest: false,
            no_undo: None,
            foreign: false,
        }
    }

    /// A task of a module of the repository, in a directory of this machine.
    pub fn foreign<const N: usize>(
        name: &'static str,
        declaration: &Declaration,
        params: [(&str, Value); N],
    ) -> Self {
        let mut case = Self { foreign: true, ..Self::new(name, params) }.only([Where::Tree]);
        case.params.extend(declaration.constants());
        case
    }

    /// What is on the node before.
    pub fn before<const N: usize>(mut self, acts: [Act; N]) -> Self {
        self.before.extend(acts);
        self
    }

    /// What must be so afterwards.
    pub fn ends<const N: usize>(mut self, facts: [Fact; N]) -> Self {
        self.ends.extend(facts);
        self
    }

    /// Damage of what these parameters say, found as this attribute; mending gives the state before it.
    pub fn drift<const P: usize, const A: usize>(
        mut self,
        params: [&'static str; P],
        attribute: &'static str,
        acts: [Act; A],
    ) -> Self {
        self.drifts.push(Drift { params: params.to_vec(), attribute, acts: acts.to_vec(), loose: false });
        self
    }

    /// The same; some of the damage is nothing that the task manages, and stays.
    pub fn loose_drift<const P: usize, const A: usize>(
        mut self,
        params: [&'static str; P],
        attribute: &'static str,
        acts: [Act; A],
    ) -> Self {
        self.drifts.push(Drift { params: params.to_vec(), attribute, acts: acts.to_vec(), loose: true });
        self
    }

    /// Compares these, too.
    pub fn watch<const N: usize>(mut self, things: [Thing; N]) -> Self {
        self.watch.extend(things);
        self
    }

    /// Runs only there.
    pub fn only<const N: usize>(mut self, places: [Where; N]) -> Self {
        self.runs = places.to_vec();
        self
    }

    /// Runs on the fake node alone.
    pub fn fake(self) -> Self {
        self.only([Where::Fake])
    }

    /// What the node's programs do on the fake node.
    pub fn programs(mut self, programs: Programs) -> Self {
        self.programs = Some(programs);
        self
    }

    /// A restart or reload that a task before this one asks for.
    pub fn notice(mut self, notice: Notice) -> Self {
        self.notices.push((notice, "file:/etc/of-another-task".to_owned()));
        self
    }

    /// Says why it cannot run in a folder whose name has spaces, quotes and line breaks.
    pub fn plain_names(mut self, reason: &'static str) -> Self {
        self.plain_names = Some(reason);
        self
    }

    /// Nothing differs at first.
    pub fn at_rest(mut self) -> Self {
        self.at_rest = true;
        self
    }

    /// Says why the state after an undo differs from the first.
    pub fn no_undo(mut self, reason: &'static str) -> Self {
        self.no_undo = Some(reason);
        self
    }

    /// The same case in another folder.
    pub fn moved(&self, base: &Path) -> Self {
        let text = base.to_str().expect("folders of cases are named in text");
        let mut case = self.clone();
        case.params.values_mut().for_each(|value| move_value(value, text));
        case.before.iter_mut().for_each(|act| act.move_to(base));
        case.ends.iter_mut().for_each(|fact| fact.move_to(base));
        case.drifts.iter_mut().flat_map(|drift| &mut drift.acts).for_each(|act| act.move_to(base));
        case.watch.iter_mut().for_each(|thing| move_thing(thing, base));
        case
    }
}

fn move_value(value: &mut Value, base: &str) {
    match value {
        Value::Text(text) => *text = text.replace(BASE, base),
        Value::List(values) => values.iter_mut().for_each(|value| move_value(value, base)),
        Value::Map(values) => values.values_mut().for_each(|value| move_value(value, base)),
        Value::Content(reference) => {
            // A program stays as it is.
            if let Some(bytes) = content_of(&reference.digest) {
                *reference = keep(replace(&bytes, base.as_bytes()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Tree(_) => {}
    }
}

fn move_path(path: &mut PathBuf, base: &Path) {
    if let Ok(rest) = path.strip_prefix(BASE) {
        *path = if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) };
    }
}

fn move_thing(thing: &mut Thing, base: &Path) {
    match thing {
        Thing::Path(path) | Thing::Mount(path) => move_path(path, base),
        Thing::Setting(_, key) | Thing::Other(key) => *key = key.replace(BASE, &base.to_string_lossy()),
        _ => {}
    }
}

/// The text with another folder in place of [`BASE`].
fn replace(bytes: &[u8], base: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(found) = rest.windows(BASE.len()).position(|window| window == BASE.as_bytes()) {
        out.extend_from_slice(&rest[..found]);
        out.extend_from_slice(base);
        rest = &rest[found + BASE.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Something done to a node by hand.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes a file (and the directories above it).
    File { path: PathBuf, content: Vec<u8>, mode: u32 },
    /// Makes a directory (and those above it).
    Directory { path: PathBuf, mode: u32 },
    /// Makes a link, in place of a file or link.
    Link { path: PathBuf, target: PathBuf },
    /// Changes the mode.
    Mode { path: PathBuf, mode: u32 },
    /// Changes owner and group; nothing in a directory of a user who is not root.
    Owner { path: PathBuf, uid: u32, gid: u32 },
    /// Sets an extended attribute, `user.` in front of its name.
    Extended { path: PathBuf, name: String, value: Vec<u8> },
    /// Removes something with all below it.
    Remove { path: PathBuf },
    /// Makes or changes a user.
    User(UserChange),
    /// Removes a user, its home too.
    NoUser(String),
    /// Makes or changes a group.
    Group(GroupChange),
    /// Removes a group.
    NoGroup(String),
    /// The fake node's index has these versions of a package, the newest first. Elsewhere nothing.
    Offer { name: String, versions: Vec<String> },
    /// Installs a package: this version, or the newest.
    Install { name: String, version: Option<String> },
    /// Removes a package, its configuration too.
    Purge(String),
    /// Holds a package, or lets it go.
    Hold(String, bool),
    /// The fake node has this unit. Elsewhere nothing.
    Unit(String, Box<UnitState>),
    /// Does something with a unit.
    Manage(String, UnitAction),
    /// Sets a value of the running node, or takes it away.
    Setting(SettingKind, String, Option<String>),
    /// Runs a shell line, on a host alone: what the fake node has otherwise.
    Shell(String),
}

impl Act {
    fn move_to(&mut self, base: &Path) {
        match self {
            Self::File { path, content, .. } => {
                move_path(path, base);
                *content = replace(content, base.as_os_str().as_bytes());
            }
            Self::Link { path, target } => {
                move_path(path, base);
                move_path(target, base);
            }
            Self::Directory { path, .. }
            | Self::Mode { path, .. }
            | Self::Owner { path, .. }
            | Self::Extended { path, .. }
            | Self::Remove { path } => move_path(path, base),
            Self::User(change) => {
                if let Some(home) = &mut change.home {
                    *home = home.replace(BASE, &base.to_string_lossy());
                }
            }
            Self::Setting(_, key, value) => {
                *key = key.replace(BASE, &base.to_string_lossy());
                if let Some(value) = value {
                    *value = value.replace(BASE, &base.to_string_lossy());
                }
            }
            Self::Shell(line) => *line = line.replace(BASE, &base.to_string_lossy()),
            _ => {}
        }
    }
}

/// Something that must be so on a node.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A file holds exactly this.
    Holds { path: PathBuf, content: Vec<u8> },
    /// Something has this mode.
    HasMode { path: PathBuf, mode: u32 },
    /// Something has this owner and group.
    HasOwner { path: PathBuf, uid: u32, gid: u32 },
    /// There is a directory.
    IsDirectory { path: PathBuf },
    /// A link points there.
    LeadsTo { path: PathBuf, target: PathBuf },
    /// There is nothing.
    Gone { path: PathBuf },
    /// A user is there or not.
    HasUser { name: String, there: bool },
    /// A group is there or not.
    HasGroup { name: String, there: bool },
    /// A package is installed (in this version, where one is given) or not.
    HasPackage { name: String, there: bool },
    /// `ActiveState` of a unit.
    Active { unit: String, state: String },
    /// `UnitFileState` of a unit.
    Enabled { unit: String, state: String },
    /// A value of the running node. On a host judged by the module alone.
    Value { kind: SettingKind, key: String, value: Option<String> },
}

impl Fact {
    fn move_to(&mut self, base: &Path) {
        match self {
            Self::Holds { path, content } => {
                move_path(path, base);
                *content = replace(content, base.as_os_str().as_bytes());
            }
            Self::LeadsTo { path, target } => {
                move_path(path, base);
                move_path(target, base);
            }
            Self::HasMode { path, .. }
            | Self::HasOwner { path, .. }
            | Self::IsDirectory { path }
            | Self::Gone { path } => move_path(path, base),
            Self::Value { key, value, .. } => {
                *key = key.replace(BASE, &base.to_string_lossy());
                if let Some(value) = value {
                    *value = value.replace(BASE, &base.to_string_lossy());
                }
            }
            _ => {}
        }
    }
}

/// A path of the case: relative ones are below [`BASE`]; names may be any bytes.
pub fn path(path: impl AsRef<[u8]>) -> PathBuf {
    Path::new(BASE).join(OsStr::from_bytes(path.as_ref()))
}

/// The same as a parameter.
pub fn at(relative: &str) -> Value {
    path(relative).to_str().expect("it was text").into()
}

/// A parameter of several texts.
pub fn list<const N: usize>(texts: [&str; N]) -> Value {
    Value::List(texts.into_iter().map(Value::from).collect())
}

static CONTENTS: Mutex<BTreeMap<Digest, Vec<u8>>> = Mutex::new(BTreeMap::new());

fn keep(bytes: Vec<u8>) -> ContentRef {
    let digest = Digest::of(&bytes);
    let size = bytes.len() as u64;
    CONTENTS.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, bytes);
    ContentRef { digest, size }
}

/// A content that some case has made.
pub fn content_of(digest: &Digest) -> Option<Vec<u8>> {
    CONTENTS.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
}

/// A program that can be executed.
pub fn program(bytes: &[u8]) -> ContentRef {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let digest = Digest::of(bytes);
    let path = program_path(&digest);
    if !path.exists() {
        let beside = path.with_extension(format!("{}.{:?}", std::process::id(), std::thread::current().id()));
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder for programs");
        fs::write(&beside, bytes).expect("a program");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o700)).expect("its own file");
        fs::rename(&beside, &path).expect("one folder");
    }
    ContentRef { digest, size: bytes.len() as u64 }
}

/// Where a program is that some case has made.
pub fn program_path(digest: &Digest) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs").join(digest.to_string())
}

/// A content as a parameter: `content`, `template` or `source`.
pub fn content(bytes: impl AsRef<[u8]>) -> Value {
    Value::Content(keep(bytes.as_ref().to_vec()))
}

/// A folder as a parameter, by sorted path: `dir/` a folder, `name*` executable, `name -> target` a link.
pub fn folder<const N: usize>(entries: [(&[u8], &[u8]); N]) -> Value {
    let entry = |(name, content): (&[u8], &[u8])| {
        let arrow = name.windows(4).position(|window| window == b" -> ");
        let file = |executable| TreeKind::File { content: keep(content.to_vec()), executable };
        let (path, kind) = match (name, arrow) {
            ([path @ .., b'/'], _) => (path, TreeKind::Directory),
            ([path @ .., b'*'], _) => (path, file(true)),
            (_, Some(arrow)) => (&name[..arrow], TreeKind::Link(name[arrow + 4..].to_vec())),
            (path, None) => (path, file(false)),
        };
        TreeEntry { path: path.to_vec(), kind }
    };
    Value::Tree(entries.into_iter().map(entry).collect())
}

/// [`Act::File`].
pub fn file(at: impl AsRef<[u8]>, content: impl AsRef<[u8]>, mode: u32) -> Act {
    Act::File { path: path(at), content: content.as_ref().to_vec(), mode }
}

/// [`Act::Directory`].
pub fn directory(at: impl AsRef<[u8]>, mode: u32) -> Act {
    Act::Directory { path: path(at), mode }
}

/// [`Act::Link`]; the target is written as it is.
pub fn link(at: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Act {
    Act::Link { path: path(at), target: OsStr::from_bytes(target.as_ref()).into() }
}

/// [`Act::Mode`].
pub fn mode(at: impl AsRef<[u8]>, mode: u32) -> Act {
    Act::Mode { path: path(at), mode }
}

/// [`Act::Owner`].
pub fn owner(at: impl AsRef<[u8]>, uid: u32, gid: u32) -> Act {
    Act::Owner { path: path(at), uid, gid }
}

/// [`Act::Extended`].
pub fn extended(at: impl AsRef<[u8]>, name: &str, value: impl AsRef<[u8]>) -> Act {
    Act::Extended { path: path(at), name: name.to_owned(), value: value.as_ref().to_vec() }
}

/// [`Act::Remove`].
pub fn remove(at: impl AsRef<[u8]>) -> Act {
    Act::Remove { path: path(at) }
}

/// [`Fact::Holds`].
pub fn holds(at: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Fact {
    Fact::Holds { path: path(at), content: content.as_ref().to_vec() }
}

/// [`Fact::HasMode`].
pub fn has_mode(at: impl AsRef<[u8]>, mode: u32) -> Fact {
    Fact::HasMode { path: path(at), mode }
}

/// [`Fact::HasOwner`].
pub fn has_owner(at: impl AsRef<[u8]>, uid: u32, gid: u32) -> Fact {
    Fact::HasOwner { path: path(at), uid, gid }
}

/// [`Fact::IsDirectory`].
pub fn is_directory(at: impl AsRef<[u8]>) -> Fact {
    Fact::IsDirectory { path: path(at) }
}

/// [`Fact::LeadsTo`].
pub fn leads_to(at: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Fact {
    Fact::LeadsTo { path: path(at), target: OsStr::from_bytes(target.as_ref()).into() }
}

/// [`Fact::Gone`].
pub fn gone(at: impl AsRef<[u8]>) -> Fact {
    Fact::Gone { path: path(at) }
}

/// Several lines of a case's text, each ended.
pub fn lines<const N: usize>(lines: [&str; N]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// [`Fact::HasUser`].
pub fn has_user(name: &str, there: bool) -> Fact {
    Fact::HasUser { name: name.to_owned(), there }
}

/// [`Fact::HasGroup`].
pub fn has_group(name: &str, there: bool) -> Fact {
    Fact::HasGroup { name: name.to_owned(), there }
}

/// [`Fact::HasPackage`].
pub fn has_package(name: &str, there: bool) -> Fact {
    Fact::HasPackage { name: name.to_owned(), there }
}

/// [`Fact::Active`] and [`Fact::Enabled`].
pub fn unit_is(unit: &str, active: &str, enabled: &str) -> [Fact; 2] {
    [
        Fact::Active { unit: unit.to_owned(), state: active.to_owned() },
        Fact::Enabled { unit: unit.to_owned(), state: enabled.to_owned() },
    ]
}

/// [`Act::User`], with what of it matters.
pub fn user(name: &str, change: UserChange) -> Act {
    Act::User(UserChange { name: name.to_owned(), ..change })
}

/// [`Act::Group`], with what of it matters.
pub fn group(name: &str, change: GroupChange) -> Act {
    Act::Group(GroupChange { name: name.to_owned(), ..change })
}

/// [`Act::Offer`]: the newest version first.
pub fn offer<const N: usize>(name: &str, versions: [&str; N]) -> Act {
    Act::Offer { name: name.to_owned(), versions: versions.map(str::to_owned).to_vec() }
}

/// [`Act::Install`].
pub fn install(name: &str, version: Option<&str>) -> Act {
    Act::Install { name: name.to_owned(), version: version.map(str::to_owned) }
}

/// [`Act::Manage`].
pub fn manage(unit: &str, action: UnitAction) -> Act {
    Act::Manage(unit.to_owned(), action)
}
