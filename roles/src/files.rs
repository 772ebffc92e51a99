//! The files of a role: where they are, what there is, and their bytes.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

/// Where a role's files are.
#[derive(Clone, Debug)]
pub enum RoleFiles {
    /// A folder of the repository.
    Folder {
        /// Its path.
        path: PathBuf,
        /// As a person is shown it: `roles/web`.
        shown: String,
    },
    /// Inside of the program.
    Shipped {
        /// The role's name.
        role: &'static str,
        /// Paths below the role and contents, sorted by path.
        files: &'static [(&'static str, &'static [u8])],
    },
}

/// One file of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleFile {
    /// It is on disk.
    Path(PathBuf),
    /// It is in the program.
    Bytes(&'static [u8]),
}

impl RoleFiles {
    /// The role's folder as a person is shown it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Folder { shown, .. } => shown.clone(),
            Self::Shipped { role, .. } => format!("shipped:{role}"),
        }
    }

    /// All files in `templates` or `files` (with the folders in between where `folders` is true), by
    /// their path below it. What cannot be read or is not UTF-8 is left out.
    #[must_use]
    pub fn list(&self, below: &str, folders: bool) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        match self {
            Self::Folder { path, .. } => walk(&path.join(below), "", folders, &mut found),
            Self::Shipped { files, .. } => {
                for (path, _) in *files {
                    let Some(rest) = path.strip_prefix(below).and_then(|rest| rest.strip_prefix('/')) else {
                        continue;
                    };
                    found.insert(rest.to_owned());
                    if folders {
                        let parents = rest.match_indices('/').map(|(end, _)| rest[..end].to_owned());
                        found.extend(parents);
                    }
                }
            }
        }
        found
    }

    /// Finds a file below `templates` or `files`; none where there is none, or it leads out of the folder.
    #[must_use]
    pub fn find(&self, below: &str, name: &str) -> Option<RoleFile> {
        let inside = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside || name.is_empty() {
            return None;
        }
        match self {
            Self::Folder { path, .. } => {
                let path = path.join(below).join(name);
                path.exists().then_some(RoleFile::Path(path))
            }
            Self::Shipped { files, .. } => {
                let wanted = format!("{below}/{name}");
                files.iter().find(|(path, _)| *path == wanted).map(|(_, bytes)| RoleFile::Bytes(bytes))
            }
        }
    }

    /// The files of a shipped role below a folder of its `files`.
    #[must_use]
    pub fn shipped_below(&self, folder: &str) -> Vec<(&'static str, &'static [u8])> {
        let Self::Shipped { files, .. } = self else { return Vec::new() };
        let prefix = format!("files/{}/", folder.trim_end_matches('/'));
        files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&prefix)?, *bytes))).collect()
    }
}

impl RoleFile {
    /// Opens it for reading.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> io::Result<Box<dyn io::Read>> {
        Ok(match self {
            Self::Path(path) => Box::new(std::fs::File::open(path)?),
            Self::Bytes(bytes) => Box::new(io::Cursor::new(*bytes)),
        })
    }
}

fn walk(folder: &Path, below: &str, folders: bool, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let shown = if below.is_empty() { name } else { format!("{below}/{name}") };
        // Links are followed: a role may share a file with another.
        if entry.path().is_dir() {
            if folders {
                found.insert(shown.clone());
            }
            if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                walk(&entry.path(), &shown, folders, found);
            }
        } else {
            found.insert(shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names can come from facts, and so from nodes that want to read the controller's files.
    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("files/conf")).unwrap();
        std::fs::write(folder.path().join("files/conf/a"), "a").unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        let files = RoleFiles::Folder { path: folder.path().to_owned(), shown: "roles/web".into() };
        assert!(files.find("files", "conf/a").is_some());
        let absolute = folder.path().join("secret");
        for name in
            ["../secret", "conf/../../secret", "/etc/passwd", absolute.to_str().unwrap(), ".", "", ".."]
        {
            assert_eq!(files.find("files", name), None, "{name}");
        }
    }
}
