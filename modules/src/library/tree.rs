//! `tree`: a folder of the role's files/ copied to the node.
//!
//! What differs is found by `compare`, told by `tell` and mended by `mend`.

mod compare;
mod mend;
mod tell;

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cm_wire::TreeEntry;

use self::compare::{Difference, What};
pub use self::mend::together;
use super::{glob::Glob, making::missing_parents, ownership::Ownership, walk::walk};
use crate::{
    AbsolutePath, Class, Context, Effect, FileMode, Module, ParamError, Params, Problem, Resource, Seen,
    Sign, SourceFolder, Thing, Touches, node::FileKind, params,
};

params! {
    /// A folder of the role's files/, copied with all that is in it: files, folders and links, names and
    /// contents byte for byte. Each file is written whole and atomically.
    pub struct Tree = "tree" {
        /// Where it is copied to.
        subject path: AbsolutePath,
        /// The folder in the role's files/.
        source: SourceFolder,
        /// Remove what is in the directory and not in the folder. A file or directory that is where the
        /// other is wanted is removed, too; without it, that is an error.
        delete: bool = false,
        /// Patterns of names that are neither copied nor removed: `*.bak`, `cache`, `logs/**`. One without
        /// `/` is for names at any depth, one with `/` for the path from the folder. What is below an
        /// excluded folder is excluded.
        exclude: Vec<String> = Vec::new(),
        /// The mode of every file, such as "0644"; executable ones may be executed by whoever may read them.
        /// Without it new files get 0644 or 0755, and others keep their mode but for the executable bits.
        file_mode: Option<FileMode>,
        /// The mode of every folder, such as "0755". Without it new ones get 0755.
        dir_mode: Option<FileMode>,
        /// The user that owns all of it, by name or number.
        owner: Option<String>,
        /// The group that owns all of it, by name or number.
        group: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Tree::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    Ok(Box::new(Wanted::from_params(params)?))
}

/// A copied folder.
struct Wanted {
    path: PathBuf,
    /// Without those that are excluded; folders before what they hold.
    entries: Vec<TreeEntry>,
    delete: bool,
    exclude: Vec<Glob>,
    file_mode: Option<FileMode>,
    dir_mode: Option<FileMode>,
    owner: Option<String>,
    group: Option<String>,
    /// What the last look found that a change would touch.
    touched: Mutex<Vec<PathBuf>>,
}

impl Wanted {
    fn from_params(params: &Params) -> Result<Self, ParamError> {
        let tree = Tree::from_params(params)?;
        let exclude: Vec<Glob> = tree
            .exclude
            .iter()
            .map(|pattern| Glob::parse(pattern).map_err(|error| ParamError::new("exclude", error)))
            .collect::<Result<_, _>>()?;
        let mut entries = tree.source.0;
        for entry in &entries {
            let parts = || entry.path.split(|&byte| byte == b'/');
            if entry.path.contains(&0) || parts().any(|part| matches!(part, b"" | b"." | b"..")) {
                let name = String::from_utf8_lossy(&entry.path);
                return Err(ParamError::new(
                    "source",
                    format!("holds an entry {name:?} that leads out of it"),
                ));
            }
        }
        entries.retain(|entry| !is_excluded(&exclude, &entry.path));
        // By bytes, whatever order the controller's file system has: folders stay before what they hold.
        crate::in_order::sort_by(&mut entries, |one, other| one.path.cmp(&other.path));
        Ok(Self {
            path: tree.path.0,
            entries,
            delete: tree.delete,
            exclude,
            file_mode: tree.file_mode,
            dir_mode: tree.dir_mode,
            owner: tree.owner,
            group: tree.group,
            touched: Mutex::new(Vec::new()),
        })
    }

    /// Where an entry belongs.
    fn place(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() { self.path.clone() } else { self.path.join(OsStr::from_bytes(relative)) }
    }

    /// Owner and group of everything, with this mode.
    fn ownership(&self, mode: Option<u32>) -> Ownership {
        Ownership { mode: mode.map(FileMode), owner: self.owner.clone(), group: self.group.clone() }
    }

    /// The mode of a file that has `current` now; none for a new one.
    fn file_mode(&self, executable: bool, current: Option<u32>) -> u32 {
        let base = self.file_mode.map(|mode| mode.0).or(current);
        match (base, executable) {
            (None, true) => 0o755,
            (None, false) => 0o644,
            // Whoever may read a program may execute it.
            (Some(mode), true) => mode | (mode & 0o444) >> 2,
            (Some(mode), false) if self.file_mode.is_some() => mode,
            (Some(mode), false) => mode & !0o111,
        }
    }
}

impl Wanted {
    /// Every path that mending these would make, change or remove.
    fn touched_by(&self, context: &Context<'_>, found: &[Difference]) -> Result<Vec<PathBuf>, Problem> {
        let mut touched = Vec::new();
        for difference in found {
            let path = self.place(&difference.relative);
            match &difference.what {
                What::Directory if difference.relative.is_empty() => {
                    touched.extend(missing_parents(context, &path)?);
                }
                // It goes with all that is in it.
                What::Blocked { found, .. } if self.delete && found.kind == FileKind::Directory => {
                    touched.extend(walk(context.node, &path)?.into_iter().map(|(inside, _)| inside));
                }
                _ => {}
            }
            // What is in the way of something is followed by that.
            if touched.last() != Some(&path) {
                touched.push(path);
            }
        }
        Ok(touched)
    }
}

/// Whether a relative path or one of the folders it is in is excluded.
fn is_excluded(exclude: &[Glob], path: &[u8]) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    ends.chain([path.len()]).any(|end| exclude.iter().any(|glob| glob.matches(&path[..end])))
}

/// A relative path for a person, on one line.
fn show(relative: &[u8]) -> String {
    let mut shown = String::new();
    for character in String::from_utf8_lossy(relative).chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Path(self.path.clone()))
            // What is in a folder, beside a task that makes the folder itself.
            .part()
            .parents(true)
            .owned(self.owner.as_deref(), self.group.as_deref())
    }

    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        Sign::with_all_below(&self.touches(), &self.path)
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let found = self.compare(context)?;
        let touched = self.touched_by(context, &found)?;
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = touched;
        self.tell(context, found).map(Seen::from_changes)
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let found = self.compare(context)?;
        self.mend(context, found)?;
        Ok(Effect::default())
    }

    /// What the last look found: a folder can hold thousands of files, of which few differ.
    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once::<&Path>(&self.path)
            .chain(touched.iter().map(PathBuf::as_path).filter(|path| *path != self.path))
            .map(|path| Thing::Path(path.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
