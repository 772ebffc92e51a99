//! `group_vars/` and `host_vars/` beside an inventory, by the rules of ansible-core's `host_group_vars`.

use std::path::{Path, PathBuf};

use cm_syntax::{Diagnostic, Diagnostics, Sources, Yaml, parse_of_ansible};

use super::world::{Set, Variables, World};

/// Endings of files of variables, in the order they are looked for; a folder or a file without one comes first.
const ENDINGS: [&str; 4] = ["", ".yml", ".yaml", ".json"];
/// How a file begins that Ansible Vault encrypted.
const VAULT: &str = "$ANSIBLE_VAULT;";
/// Folders are searched this deep.
const DEEPEST: usize = 16;

/// What `group_vars/` of one folder says.
#[derive(Debug, Default)]
pub(crate) struct VarsFiles {
    /// Variables of groups, by the group's place in the world.
    pub groups: Vec<(usize, Variables)>,
}

/// Reads both folders beside an inventory; variables of hosts go into the world.
pub(crate) fn read(
    sources: &Sources,
    root: &Path,
    folder: &Path,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> VarsFiles {
    let mut found = VarsFiles::default();
    let beside = |name: &str| Some(folder.join(name)).filter(|folder| root.join(folder).is_dir());
    if let Some(folder) = beside("group_vars") {
        for group in 0..world.groups.len() {
            let variables = of_name(sources, root, &folder, &world.groups[group].name, diagnostics);
            if !variables.is_empty() {
                found.groups.push((group, variables));
            }
        }
    }
    if let Some(folder) = beside("host_vars") {
        for host in 0..world.hosts.len() {
            let variables = of_name(sources, root, &folder, &world.hosts[host].name, diagnostics);
            world.hosts[host].variables.extend(variables);
        }
    }
    found
}

/// The variables of one group or host; later files win.
fn of_name(
    sources: &Sources,
    root: &Path,
    folder: &Path,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Variables {
    let mut variables = Variables::new();
    // A name is one part of a path; Ansible takes others as they are, which could lead anywhere.
    if name.contains('/') || name.starts_with('.') {
        return variables;
    }
    let mut files = Vec::new();
    for ending in ENDINGS {
        let path = folder.join(format!("{name}{ending}"));
        let full = root.join(&path);
        if full.is_dir() {
            in_folder(root, &path, 0, &mut files);
            break;
        } else if full.exists() {
            files.push(path);
            break;
        }
    }
    for file in files {
        read_file(sources, root, &file, &mut variables, diagnostics);
    }
    variables
}

/// Files of a folder in the order of their names; folders in it are entered, hidden files and backups passed over.
fn in_folder(root: &Path, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let text = name.to_string_lossy();
        if text.starts_with('.') || text.ends_with('~') {
            continue;
        }
        let path = folder.join(&name);
        let ending =
            path.extension().map_or_else(String::new, |ending| format!(".{}", ending.to_string_lossy()));
        let full = root.join(&path);
        if full.is_dir() {
            if ending.is_empty() && depth < DEEPEST {
                in_folder(root, &path, depth + 1, files);
            }
        } else if full.is_file() && ENDINGS.contains(&ending.as_str()) {
            files.push(path);
        }
    }
}

fn read_file(
    sources: &Sources,
    root: &Path,
    path: &Path,
    variables: &mut Variables,
    diagnostics: &mut Diagnostics,
) {
    let file = match sources.read(root, path) {
        Ok(file) => file,
        Err(diagnostic) => return diagnostics.push(diagnostic),
    };
    if sources.text(file).starts_with(VAULT) {
        diagnostics.push(
            Diagnostic::error(format!("`{}` is encrypted by Ansible Vault", path.display()))
                .caused_by("nothing here has its key")
                .hint("decrypt it with `ansible-vault decrypt`, and keep its secrets in secrets.yaml: `cm secrets`"),
        );
        return;
    }
    let Some(node) = parse_of_ansible(sources, file, diagnostics) else { return };
    match node.value {
        Yaml::Null => {}
        Yaml::Map(entries) => {
            for entry in entries {
                let set = Set { span: entry.key.span, node: entry.value };
                variables.insert(entry.key.value, set);
            }
        }
        _ => diagnostics.push(
            Diagnostic::error(format!("`{}` is no map of variables", path.display())).at(node.span, ""),
        ),
    }
}
