//! Which files of a folder are inventories, and of which kind a file is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cm_syntax::{Diagnostic, Diagnostics};

/// Endings that Ansible passes over in a folder. (It passes `.ini` over too, which we read.)
const PASSED_OVER: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];
/// Folders that hold variables.
const OF_VARIABLES: [&str; 3] = ["group_vars", "host_vars", "vars_plugins"];
/// Folders are entered this deep.
const DEEPEST: usize = 16;

/// What kind of inventory a file can be, before its text is looked at.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// To be run.
    Program,
    /// By its name.
    Yaml,
    /// By its name.
    Json,
    /// By its name.
    Ini,
    /// Without an ending that says it: YAML if that makes sense, else INI.
    Unsaid,
}

/// Finds the inventories in a folder, in the order of their names; folders in it are entered where they stand.
pub(crate) fn files(root: &Path, folder: &Path, diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    let mut files = Vec::new();
    enter(root, folder, 0, &mut files, diagnostics);
    files
}

fn enter(root: &Path, folder: &Path, depth: usize, files: &mut Vec<PathBuf>, diagnostics: &mut Diagnostics) {
    let mut names = Vec::new();
    match std::fs::read_dir(root.join(folder)) {
        Ok(entries) => {
            for entry in entries.flatten() {
                names.push(entry.file_name());
            }
        }
        Err(error) => {
            diagnostics.push(
                Diagnostic::error(format!("cannot read the folder `{}`", folder.display()))
                    .caused_by(error.to_string()),
            );
            return;
        }
    }
    names.sort();
    for name in &names {
        let text = name.to_string_lossy();
        let passed_over = text.starts_with('.') || PASSED_OVER.iter().any(|ending| text.ends_with(ending));
        if passed_over || OF_VARIABLES.contains(&&*text) {
            continue;
        }
        let path = folder.join(name);
        let full = root.join(&path);
        if full.is_dir() {
            if depth < DEEPEST {
                enter(root, &path, depth + 1, files, diagnostics);
            }
        } else if !(text.ends_with(".ini") && is_setting_of_a_program(root, &path)) {
            files.push(path);
        }
    }
}

/// `ec2.ini` beside an executable `ec2.py` belongs to that.
fn is_setting_of_a_program(root: &Path, file: &Path) -> bool {
    let Some(stem) = file.file_stem() else { return false };
    let others = [file.with_extension("py"), file.with_extension("sh"), file.with_file_name(stem)];
    others.iter().any(|other| kind(root, other) == Kind::Program)
}

/// The kind of a file. A program has the executable bit and begins as programs do: on some file systems all files have
/// the bit.
pub(crate) fn kind(root: &Path, file: &Path) -> Kind {
    let full = root.join(file);
    let executable = std::fs::metadata(&full)
        .is_ok_and(|known| known.is_file() && known.permissions().mode() & 0o111 != 0);
    if executable && begins_as_program(&full) {
        return Kind::Program;
    }
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml") => Kind::Yaml,
        Some("json") => Kind::Json,
        Some("ini") => Kind::Ini,
        _ => Kind::Unsaid,
    }
}

fn begins_as_program(file: &Path) -> bool {
    use std::io::Read as _;
    let mut first = [0; 4];
    let Ok(mut file) = std::fs::File::open(file) else { return false };
    let read = file.read(&mut first).unwrap_or_default();
    first[..read].starts_with(b"#!") || first[..read] == *b"\x7fELF"
}
