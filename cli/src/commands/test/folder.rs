//! The folder that a test works in: all roles that can be used, and a place for each case. Also what a killed test left.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
};

use cm_roles::{ROLES, shipped_files, shipped_names};

use crate::failure::Failure;

/// The beginning of the names of labs and folders.
const NAME: &str = "test";
/// In a lab's folder: its owner wants it to stay.
const KEPT: &str = "kept";

/// A folder with the roles of the repository and those that ship with the program, and nothing else.
pub struct Workplace {
    folder: PathBuf,
    own: BTreeSet<String>,
    shipped: BTreeSet<String>,
}

impl Workplace {
    /// Makes it: roles of the repository are linked, shipped ones written out.
    pub fn make(repository: Option<&Path>) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("cm-{NAME}-{}", std::process::id()));
        let made = Self::fill(&folder, repository);
        made.map_err(|error| {
            Failure::because(format!("the folder `{}` cannot be made", folder.display()), &error)
        })
    }

    fn fill(folder: &Path, repository: Option<&Path>) -> io::Result<Self> {
        // Of a process of the same number, long gone.
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let roles = folder.join(ROLES);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&roles)?;
        let mut own = BTreeSet::new();
        if let Some(repository) = repository {
            let repository = fs::canonicalize(repository)?;
            let below = repository.join(ROLES);
            for entry in fs::read_dir(&below).into_iter().flatten().flatten() {
                if let Ok(name) = entry.file_name().into_string()
                    && entry.path().join("role.yaml").is_file()
                {
                    symlink(entry.path(), roles.join(&name))?;
                    own.insert(name);
                }
            }
            // Modules of the repository's own.
            if repository.join("modules").is_dir() {
                symlink(repository.join("modules"), folder.join("modules"))?;
            }
        }
        let mut shipped = BTreeSet::new();
        for name in shipped_names() {
            shipped.insert(name.to_owned());
            if own.contains(name) {
                continue;
            }
            for (path, bytes) in shipped_files(name).unwrap_or_default() {
                let path = roles.join(name).join(path);
                fs::create_dir_all(path.parent().unwrap_or(&roles))?;
                fs::write(path, bytes)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), own, shipped })
    }

    /// A folder that reads as a repository with roles alone.
    pub fn root(&self) -> &Path {
        &self.folder
    }

    /// The repository's roles.
    pub fn own(&self) -> &BTreeSet<String> {
        &self.own
    }

    /// Those that ship.
    pub fn shipped(&self) -> &BTreeSet<String> {
        &self.shipped
    }

    /// Whether there is such a role.
    pub fn has(&self, role: &str) -> bool {
        self.own.contains(role) || self.shipped.contains(role)
    }

    /// The folder of a case; not made yet.
    pub fn case(&self, index: usize) -> PathBuf {
        self.folder.join(format!("case{index}"))
    }

    /// The name of a case's lab.
    pub fn lab(index: usize) -> String {
        format!("{NAME}-{}-{index}", std::process::id())
    }

    /// Removes it with all in it.
    pub fn remove(&self) {
        // A folder for temporary files: what stays there is swept away by the system.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Marks a lab as one that is to stay when this process has ended.
pub fn keep(lab: &cm_lab::Lab) {
    // Without the mark the next test removes it.
    let _ = fs::write(lab.dir().join(KEPT), "");
}

/// Removes labs of tests that were killed.
pub fn remove_remains() {
    for lab in cm_lab::list().unwrap_or_default() {
        let Some(rest) = lab.name().strip_prefix(NAME).and_then(|rest| rest.strip_prefix('-')) else {
            continue;
        };
        let Some((process, index)) = rest.split_once('-') else { continue };
        let numbers = process.parse::<u32>().is_ok() && index.parse::<usize>().is_ok();
        let lives = Path::new("/proc").join(process).exists();
        if numbers && !lives && !lab.dir().join(KEPT).exists() {
            // Whoever tests is told of a lab in the way by the lab itself.
            let _ = cm_lab::down(lab.name());
        }
    }
}
