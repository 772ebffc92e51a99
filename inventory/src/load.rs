//! Finds the files of an inventory: `inventory.yaml`, or all `*.yaml` in the folder `inventory/`, in the order of their names.

use std::path::{Path, PathBuf};

use cm_syntax::{Diagnostic, Diagnostics, FileId, Sources, parse_collecting};

use crate::draft::Draft;
use crate::{Inventory, build, native};

const FILE: &str = "inventory.yaml";
const FOLDER: &str = "inventory";

impl Inventory {
    /// Reads the inventory of the repository at `root`.
    ///
    /// All that is wrong goes to `diagnostics`; the inventory that is given back in spite of errors holds what could be
    /// understood, so that roles can be checked against it in the same go, and must not be used to touch hosts.
    /// None when there is no inventory or no file of it can be read.
    pub fn load(sources: &Sources, root: &Path, diagnostics: &mut Diagnostics) -> Option<Self> {
        let files = find(root, diagnostics)?;
        let mut read = Vec::new();
        for file in files {
            match sources.read(root, &file) {
                Ok(file) => read.push(file),
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        if read.is_empty() && diagnostics.has_errors() {
            return None;
        }
        Some(Self::from_files(sources, &read, diagnostics))
    }

    /// Makes an inventory of files that are already among the sources; see [`Inventory::load`].
    pub fn from_files(sources: &Sources, files: &[FileId], diagnostics: &mut Diagnostics) -> Self {
        let mut draft = Draft::default();
        for file in files {
            if let Some(root) = parse_collecting(sources, *file, diagnostics) {
                native::read(sources, &root, &mut draft, diagnostics);
            }
        }
        build::build(draft, sources, diagnostics)
    }
}

/// The files to read, relative to the repository.
fn find(root: &Path, diagnostics: &mut Diagnostics) -> Option<Vec<PathBuf>> {
    let (file, folder) = (root.join(FILE).exists(), root.join(FOLDER).is_dir());
    match (file, folder) {
        (true, false) => Some(vec![PathBuf::from(FILE)]),
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
            let other = ["inventory.yml", "hosts.yaml", "hosts.yml", "inventory.ini", "hosts"];
            diagnostics.push(match other.iter().find(|name| root.join(name).is_file()) {
                Some(name) => {
                    missing.hint(format!("`{name}` is not read; our own format is expected in `{FILE}`"))
                }
                None => missing
                    .hint("`cm init` writes a small repository to begin with; `-C DIR` names another one"),
            });
            None
        }
    }
}

fn in_folder(root: &Path, diagnostics: &mut Diagnostics) -> Option<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| {
        Diagnostic::error(format!("cannot read the folder `{FOLDER}`")).caused_by(error.to_string())
    };
    let entries = match std::fs::read_dir(root.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) => {
            diagnostics.push(unreadable(error));
            return None;
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = match entry {
            Ok(entry) => PathBuf::from(entry.file_name()),
            Err(error) => {
                diagnostics.push(unreadable(error));
                continue;
            }
        };
        // Editors' leavings and hidden files are nobody's inventory.
        let hidden = name.to_string_lossy().starts_with('.');
        match name.extension().and_then(|extension| extension.to_str()) {
            Some("yaml") if !hidden => files.push(Path::new(FOLDER).join(name)),
            Some("yml") if !hidden => diagnostics.push(
                Diagnostic::warning(format!("`{FOLDER}/{}` is not read", name.display()))
                    .hint("files of an inventory end in `.yaml`"),
            ),
            _ => {}
        }
    }
    files.sort();
    if files.is_empty() {
        diagnostics.push(
            Diagnostic::error(format!("the folder `{FOLDER}/` holds no `*.yaml`"))
                .hint("a first file could hold: hosts: { web1: { address: 10.0.0.21 } }"),
        );
        return None;
    }
    Some(files)
}
