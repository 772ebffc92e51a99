//! A small file whose whole text a module dictates: written where it differs, removed where it is not wanted.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cm_wire::Change;

use super::{
    content::{After, Before, difference},
    making::{make_parents, making, missing_parents},
};
use crate::{
    Context, Doing, Problem, Thing,
    node::{Attributes, Content, FileKind},
};

/// A file that belongs to a task.
pub struct OwnFile {
    path: PathBuf,
    /// What it is to hold; none: it is not to be there.
    text: Option<String>,
    /// Folders above it that the last look found missing.
    missing: Mutex<Vec<PathBuf>>,
}

impl OwnFile {
    /// A file at this path with this text, or none.
    #[must_use]
    pub fn new(path: PathBuf, text: Option<String>) -> Self {
        Self { path, text, missing: Mutex::new(Vec::new()) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What writing it touches: the file, and folders that are made for it.
    #[must_use]
    pub fn keeps(&self) -> Vec<Thing> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.iter().chain([&self.path]).cloned().map(Thing::Path).collect()
    }

    /// How the file differs from what is wanted, as a change of this attribute; none where it does not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(&self, context: &Context<'_>, attribute: &str) -> Result<Option<Change>, Problem> {
        let path = &self.path;
        let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        if stat.is_none() && self.text.is_some() {
            let missing = missing_parents(context, path)?;
            *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
        }
        let (stat, text) = match (stat, &self.text) {
            (None, None) => return Ok(None),
            (None, Some(text)) => {
                return difference(context, attribute, None, After::Bytes(text.as_bytes())).map(Some);
            }
            (Some(stat), None) => {
                return Ok(Some(Change::new(attribute, Some(stat.kind.word().into()), None)));
            }
            (Some(stat), Some(text)) => (stat, text),
        };
        if stat.kind != FileKind::File {
            return Ok(Some(Change::new(attribute, Some(stat.kind.word().into()), Some("file".into()))));
        }
        let before = Before::read(context, path, &stat)?;
        if before.digest == cm_wire::Digest::of(text.as_bytes()) {
            return Ok(None);
        }
        difference(context, attribute, Some(&before), After::Bytes(text.as_bytes())).map(Some)
    }

    /// Makes it so: mode and owner of a file that is there stay.
    ///
    /// # Errors
    /// When it cannot be written or removed.
    pub fn change(&self, context: &Context<'_>) -> Result<(), Problem> {
        if self.look(context, "content")?.is_none() {
            return Ok(());
        }
        let (node, path) = (context.node, &self.path);
        let stat = node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        if stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory) {
            return Err(Problem::new(format!("{} is a directory, not a file", path.display()))
                .hint("move it away: this task writes a file there"));
        }
        let Some(text) = &self.text else {
            return node.remove(path).doing(format_args!("removing {}", path.display()));
        };
        let writing = format_args!("writing {}", path.display()).to_string();
        let attributes = match stat.filter(|stat| stat.kind == FileKind::File) {
            Some(stat) => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
            None => {
                make_parents(context, path)?;
                node.attributes_of_new(path, 0o644, FileKind::File).doing(&writing)?
            }
        };
        let content = Content::Bytes(text.clone().into_bytes());
        making(context, path, "writing", node.write(path, &content, attributes, None))?
    }
}
