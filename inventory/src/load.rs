//! Finds the files of an inventory and reads each by its kind: `inventory.yaml` or the folder `inventory/`, or what was named.

use std::path::{Path, PathBuf};

use cm_syntax::{Diagnostic, Diagnostics, FileId, Sources, Span, parse_collecting, parse_of_ansible};

use crate::ansible::folder::{self, Kind};
use crate::ansible::{World, ini, into_draft, json, pattern, script, vars_files, yaml};
use crate::draft::Draft;
use crate::remote::{self, GiveSecret};
use crate::{Inventory, build, native};

const FILE: &str = "inventory.yaml";
const FOLDER: &str = "inventory";
/// How the output of `ansible-inventory --list` is told from other JSON.
const META: &str = "_meta";

/// Where an inventory is, and what reading it takes.
pub struct Reading<'a> {
    /// The repository.
    pub root: &'a Path,
    /// Files and folders that were named (by `inventory` of cm.toml or `-i`), absolute or from the top of the repository,
    /// or hosts parted by commas. Empty: `inventory.yaml` or `inventory/`.
    pub named: &'a [PathBuf],
    /// Gives secrets, for headers of sources.
    pub secret: &'a GiveSecret<'a>,
}

/// A file to read, from the top of the repository or absolute.
struct Found {
    path: PathBuf,
    kind: Kind,
}

/// What was read so far.
#[derive(Default)]
struct Read {
    draft: Draft,
    world: World,
}

impl Inventory {
    /// Reads the inventory of the repository at `root`, where nothing else was named; see [`Inventory::load_from`].
    pub fn load(sources: &Sources, root: &Path, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::load_from(sources, &Reading { root, named: &[], secret: &|_| None }, diagnostics)
    }

    /// Reads an inventory: its files, those that are programs run, those of others as they are; then its sources are asked.
    ///
    /// All that is wrong goes to `diagnostics`; the inventory that is given back in spite of errors holds what could be
    /// understood, so that roles can be checked against it in the same go, and must not be used to touch hosts.
    /// None when there is no inventory or no file of it can be read.
    pub fn load_from(
        sources: &Sources,
        reading: &Reading<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let root = reading.root;
        let (mut files, mut folders, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        if reading.named.is_empty() {
            let (found, folder) = find(root, diagnostics)?;
            files = found;
            folders.push(folder);
        }
        for path in reading.named {
            named(root, path, (&mut files, &mut folders, &mut lists), diagnostics);
        }
        let mut read = Read::default();
        let mut any = !lists.is_empty();
        for found in &files {
            any |= read.file(sources, root, found, diagnostics);
        }
        for list in lists {
            read.list(sources, &list, diagnostics);
        }
        if !any && diagnostics.has_errors() {
            return None;
        }
        let Read { mut draft, mut world } = read;
        let specs = std::mem::take(&mut draft.sources);
        remote::read(&specs, root, reading.secret, sources, (&mut draft, &mut world), diagnostics);
        if !world.is_empty() {
            let files: Vec<vars_files::VarsFiles> = once_each(folders)
                .iter()
                .map(|folder| vars_files::read(sources, root, folder, &mut world, diagnostics))
                .collect();
            into_draft::add(&mut world, &files, sources, &mut draft, diagnostics);
        }
        Some(build::build(draft, sources, diagnostics))
    }

    /// Makes an inventory of files that are already among the sources; see [`Inventory::load`]. Nothing is run, and no
    /// source asked.
    pub fn from_files(sources: &Sources, files: &[FileId], diagnostics: &mut Diagnostics) -> Self {
        let mut read = Read::default();
        for &file in files {
            let kind = match sources.path(file).extension().and_then(|ending| ending.to_str()) {
                Some("yaml" | "yml") => Kind::Yaml,
                Some("json") => Kind::Json,
                Some("ini") => Kind::Ini,
                _ => Kind::Unsaid,
            };
            read.text(sources, file, kind, diagnostics);
        }
        let Read { mut draft, mut world } = read;
        if !world.is_empty() {
            into_draft::add(&mut world, &[], sources, &mut draft, diagnostics);
        }
        build::build(draft, sources, diagnostics)
    }
}

impl Read {
    /// Reads a file; whether there was one to read.
    fn file(&mut self, sources: &Sources, root: &Path, found: &Found, diagnostics: &mut Diagnostics) -> bool {
        if found.kind == Kind::Program {
            script::read(sources, root, &found.path, &mut self.world, diagnostics);
            return true;
        }
        match sources.read(root, &found.path) {
            Ok(file) => {
                self.text(sources, file, found.kind, diagnostics);
                true
            }
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                false
            }
        }
    }

    fn text(&mut self, sources: &Sources, file: FileId, kind: Kind, diagnostics: &mut Diagnostics) {
        match kind {
            Kind::Program => {}
            Kind::Ini => ini::read(sources, file, &mut self.world, diagnostics),
            Kind::Json => self.json(sources, file, diagnostics),
            Kind::Yaml => self.yaml(sources, file, diagnostics),
            Kind::Unsaid => {
                let mut unheard = Diagnostics::new();
                let root = parse_collecting(sources, file, &mut unheard);
                let ours = root.as_ref().is_some_and(|root| {
                    ["hosts", "groups", "defaults", "sources"].iter().any(|key| root.get(key).is_some())
                });
                if ours || root.is_some_and(|root| yaml::is_one(&root)) {
                    self.yaml(sources, file, diagnostics);
                } else {
                    ini::read(sources, file, &mut self.world, diagnostics);
                }
            }
        }
    }

    /// Reads YAML, ours or Ansible's.
    fn yaml(&mut self, sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) {
        let mut problems = Diagnostics::new();
        let root = parse_collecting(sources, file, &mut problems);
        // What only Ansible's YAML allows may be what is wrong with it.
        let theirs = match &root {
            Some(root) => yaml::is_one(root),
            None => parse_of_ansible(sources, file, &mut Diagnostics::new())
                .is_some_and(|root| yaml::is_one(&root)),
        };
        if theirs {
            if let Some(root) = parse_of_ansible(sources, file, diagnostics) {
                yaml::read(&root, &mut self.world, diagnostics);
            }
            return;
        }
        diagnostics.extend(problems);
        if let Some(root) = root {
            native::read(sources, &root, &mut self.draft, diagnostics);
        }
    }

    /// Reads JSON: what `--list` printed, or what YAML could say as well.
    fn json(&mut self, sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) {
        let text = sources.text(file);
        let value = serde_json::from_str::<serde_json::Value>(&text).ok();
        let listed = |value: &serde_json::Value| {
            let groups = value.as_object();
            let list =
                |group: &serde_json::Value| group.get("hosts").is_some_and(serde_json::Value::is_array);
            value.get(META).is_some() || groups.is_some_and(|groups| groups.values().any(list))
        };
        match value.filter(listed) {
            Some(value) => {
                // Within u32: sources refuse larger files.
                let span = Span::new(file, 0, 1.min(text.len() as u32));
                json::read_list(&value, span, &mut self.world, diagnostics);
            }
            None => self.yaml(sources, file, diagnostics),
        }
    }

    /// Reads hosts parted by commas.
    fn list(&mut self, sources: &Sources, list: &str, diagnostics: &mut Diagnostics) {
        let file = sources.add("-i", list.to_owned());
        for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let start = part.as_ptr() as usize - list.as_ptr() as usize;
            let span = Span::new(file, start as u32, (start + part.len()) as u32);
            match pattern::expand(part) {
                Ok(hosts) => {
                    let port = hosts.port.map(|port| (port, span));
                    for name in hosts.names {
                        self.world.host_at(&name, port, span, Some(1), diagnostics);
                    }
                }
                Err(error) => diagnostics.push(
                    Diagnostic::error(format!("`{part}` cannot be the name of a host"))
                        .at(span, error.to_string()),
                ),
            }
        }
    }
}

/// The files of what was named, the folder its variables lie in, and lists of hosts.
fn named(
    root: &Path,
    path: &Path,
    (files, folders, lists): (&mut Vec<Found>, &mut Vec<PathBuf>, &mut Vec<String>),
    diagnostics: &mut Diagnostics,
) {
    let full = root.join(path);
    // What lies in the repository is shown as such.
    let path = path.strip_prefix(root).unwrap_or(path);
    if full.is_dir() {
        folders.push(path.to_owned());
        for file in folder::files(root, path, diagnostics) {
            let kind = folder::kind(root, &file);
            files.push(Found { path: file, kind });
        }
    } else if !full.exists() && path.to_string_lossy().contains(',') {
        let text = path.to_string_lossy();
        lists.push(text.into_owned());
    } else {
        folders.push(path.parent().map(Path::to_owned).unwrap_or_default());
        files.push(Found { path: path.to_owned(), kind: folder::kind(root, path) });
    }
}

/// Each folder once, where it stands last: what comes later wins.
fn once_each(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut once: Vec<PathBuf> = Vec::new();
    for folder in folders.into_iter().rev() {
        if !once.contains(&folder) {
            once.insert(0, folder);
        }
    }
    once
}

/// The files to read where nothing was named, and the folder that holds them.
fn find(root: &Path, diagnostics: &mut Diagnostics) -> Option<(Vec<Found>, PathBuf)> {
    let (file, folder) = (root.join(FILE).exists(), root.join(FOLDER).is_dir());
    match (file, folder) {
        (true, false) => Some((vec![Found { path: PathBuf::from(FILE), kind: Kind::Yaml }], PathBuf::new())),
        (false, true) => in_folder(root, diagnostics),
        (true, true) => {
            diagnostics.push(
                Diagnostic::error(format!("there is both `{FILE}` and `{FOLDER}/`"))
                    .hint(format!("move the file into the folder: mv {FILE} {FOLDER}/")),
            );
            None
        }
        (false, false) => {
            let missing = Diagnostic::error("there is no inventory")
                .caused_by(format!("`{}` holds neither `{FILE}` nor `{FOLDER}/`", root.display()));
            let other = [
                "inventory.yml",
                "hosts.yaml",
                "hosts.yml",
                "hosts.ini",
                "inventory.ini",
                "hosts",
                "hosts.json",
            ];
            diagnostics.push(match other.iter().find(|name| root.join(name).is_file()) {
                Some(name) => missing.hint(format!(
                    "`{name}` is read when it is named: -i {name}, or inventory = [\"{name}\"] in cm.toml"
                )),
                None => missing
                    .hint("`cm init` writes a small repository to begin with; `-C DIR` names another one"),
            });
            None
        }
    }
}

fn in_folder(root: &Path, diagnostics: &mut Diagnostics) -> Option<(Vec<Found>, PathBuf)> {
    let folder = PathBuf::from(FOLDER);
    let before = diagnostics.len();
    let files: Vec<Found> = folder::files(root, &folder, diagnostics)
        .into_iter()
        .map(|path| Found { kind: folder::kind(root, &path), path })
        .collect();
    if !files.is_empty() {
        return Some((files, folder));
    }
    if diagnostics.len() == before {
        diagnostics.push(
            Diagnostic::error(format!("the folder `{FOLDER}/` holds no inventory")).hint(
                "a first file, such as hosts.yaml, could hold: hosts: { web1: { address: 10.0.0.21 } }",
            ),
        );
    }
    None
}
