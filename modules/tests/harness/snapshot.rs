//! Everything a node shows, in a form that can be compared and read: one line a thing.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use cm_modules::{
    Node, Thing,
    node::{FileKind, Stat},
};

/// A thing's name and its state.
pub type Snapshot = BTreeMap<String, String>;

/// The file tree below a folder, and the state of things that are no path.
pub fn snapshot(node: &dyn Node, root: &Path, things: &[Thing]) -> Snapshot {
    let mut found = Snapshot::new();
    below(node, root, &mut found);
    for thing in things {
        if let Some(state) = state(node, thing) {
            found.insert(format!("{thing:?}"), state);
        }
    }
    found
}

/// What differs: `name: before -> after`.
pub fn difference(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let show = |state: Option<&String>| state.map_or("nothing", String::as_str).to_owned();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differing.map(|name| format!("{name}: {} -> {}", show(before.get(name)), show(after.get(name)))).collect()
}

/// The contents of all regular files, by path.
pub fn contents(node: &dyn Node, root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for name in node.list(&folder).unwrap() {
            let path = folder.join(name);
            match node.stat(&path).unwrap().map(|stat| stat.kind) {
                Some(FileKind::File) => {
                    let content = node.read(&path, 1 << 24).unwrap();
                    found.insert(path, content);
                }
                Some(FileKind::Directory) => folders.push(path),
                _ => {}
            }
        }
    }
    found
}

fn below(node: &dyn Node, folder: &Path, found: &mut Snapshot) {
    let names = node.list(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for name in names {
        let path = folder.join(name);
        let Some(stat) = node.stat(&path).unwrap() else { continue };
        found.insert(path.as_os_str().as_bytes().escape_ascii().to_string(), file(node, &path, &stat));
        if stat.kind == FileKind::Directory {
            below(node, &path, found);
        }
    }
}

fn file(node: &dyn Node, path: &Path, stat: &Stat) -> String {
    let extended = match stat.kind {
        FileKind::File | FileKind::Directory => node.extended(path).unwrap_or_default(),
        _ => Default::default(),
    };
    let extended: Vec<String> = extended
        .iter()
        .map(|(name, value)| format!(" {}={}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    let body = match stat.kind {
        FileKind::File => match node.read(path, 4096) {
            Ok(bytes) => format!("\"{}\"", bytes.escape_ascii()),
            Err(_) => node.digest(path).map_or_else(|error| error.to_string(), |digest| digest.to_string()),
        },
        FileKind::Link => format!("-> {}", node.read_link(path).unwrap().display()),
        _ => String::new(),
    };
    // The mode of a link means nothing.
    let mode = if stat.kind == FileKind::Link { 0 } else { stat.mode };
    format!("{} {mode:04o} {}:{}{} {body}", stat.kind.word(), stat.uid, stat.gid, extended.concat())
}

fn state(node: &dyn Node, thing: &Thing) -> Option<String> {
    match thing {
        Thing::User(name) => Some(match node.user(name).unwrap() {
            Some(user) => format!("{user:?}"),
            None => "none".into(),
        }),
        Thing::Group(name) => Some(match node.group(name).unwrap() {
            Some(mut group) => {
                group.members.sort();
                format!("{group:?}")
            }
            None => "none".into(),
        }),
        Thing::Package(name) => {
            Some(format!("{:?} {:?}", node.package(name).unwrap(), node.package_remains(name).unwrap()))
        }
        Thing::Unit(name) | Thing::Service(name) => {
            let unit = node.units(std::slice::from_ref(name)).unwrap().remove(name).unwrap_or_default();
            Some(format!("{} {} {}", unit.load, unit.active, unit.file))
        }
        Thing::Setting(kind, key) => Some(node.setting(*kind, key).unwrap().unwrap_or_else(|| "none".into())),
        Thing::Path(_) | Thing::Mount(_) | Thing::Repository(_) | Thing::Other(_) => None,
    }
}
