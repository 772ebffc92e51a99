//! Makes a copied folder as wanted.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    Wanted,
    compare::{Difference, What},
};
use crate::{
    Context, Doing, Problem,
    library::{
        content,
        making::{make_parents, making},
    },
    node::{Attributes, FileKind},
};

/// Files written at once: each waits for the disk several times, and a journalling file system
/// gathers such waits of several writers.
const WRITERS: usize = 8;

impl Wanted {
    pub(super) fn mend(&self, context: &Context<'_>, found: Vec<Difference>) -> Result<(), Problem> {
        self.refuse_what_is_in_the_way(&found)?;
        let contents: Vec<_> = found
            .iter()
            .filter_map(|difference| match &difference.what {
                What::File { content, .. } => Some(*content),
                _ => None,
            })
            .collect();
        content::announce(context, &contents);
        let mut files = Vec::new();
        // Directories as they come: parents are before what they hold. Links and attributes need nothing
        // but these; files are many and go together.
        for difference in &found {
            let path = self.place(&difference.relative);
            match &difference.what {
                What::Blocked { .. } => {
                    context.node.remove_tree(&path).doing(format_args!("removing {}", path.display()))?;
                }
                What::Directory => self.make_directory(context, &path, difference.relative.is_empty())?,
                What::File { .. } => files.push((path, &difference.what)),
                What::Link { target, .. } => self.make_link(context, &path, target)?,
                What::Attributes { stat, mode, .. } => self.ownership(*mode).apply(context, &path, stat)?,
                What::Extra(_) => {}
            }
        }
        together(&files, context.stopping, |(path, what)| self.write(context, path, what))?;
        for difference in &found {
            if let What::Extra(_) = &difference.what {
                let path = self.place(&difference.relative);
                match context.node.remove(&path) {
                    // What a killed run left half-written goes with the first write beside it.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    other => other.doing(format_args!("removing {}", path.display()))?,
                }
            }
        }
        Ok(())
    }

    fn refuse_what_is_in_the_way(&self, found: &[Difference]) -> Result<(), Problem> {
        for difference in found {
            let What::Blocked { found, wanted } = &difference.what else { continue };
            let path = self.place(&difference.relative);
            let problem = Problem::new(format!(
                "{} is a {}, not a {}",
                path.display(),
                found.kind.word(),
                wanted.word()
            ));
            if difference.relative.is_empty() {
                return Err(problem.hint("name the directory itself, or move away what is there"));
            }
            if !self.delete {
                return Err(problem.hint("`delete: true` removes what is in the way, with all that is in it"));
            }
        }
        Ok(())
    }

    fn make_directory(&self, context: &Context<'_>, path: &Path, is_root: bool) -> Result<(), Problem> {
        if is_root {
            make_parents(context, path)?;
        }
        let default = context
            .node
            .attributes_of_new(path, 0o755, FileKind::Directory)
            .doing(format_args!("making the directory {}", path.display()))?;
        let attributes = self.ownership(self.dir_mode.map(|mode| mode.0)).attributes(context, default)?;
        making(context, path, "making the directory", context.node.make_directory(path, attributes))
    }

    fn make_link(&self, context: &Context<'_>, path: &Path, target: &[u8]) -> Result<(), Problem> {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let target = Path::new(OsStr::from_bytes(target));
        making(context, path, "making the link", context.node.make_link(path, target))?;
        if let Some(stat) = context.node.stat(path).doing(format_args!("looking at {}", path.display()))? {
            self.ownership(None).apply(context, path, &stat)?;
        }
        Ok(())
    }

    fn write(&self, context: &Context<'_>, path: &Path, what: &What) -> Result<(), Problem> {
        let What::File { content, executable, before, .. } = what else { return Ok(()) };
        let current = match before {
            Some((stat, _)) => Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid },
            None => context
                .node
                .attributes_of_new(path, 0o644, FileKind::File)
                .doing(format_args!("writing {}", path.display()))?,
        };
        let mode = self.file_mode(*executable, before.as_ref().map(|(stat, _)| stat.mode));
        let attributes = self.ownership(Some(mode)).attributes(context, current)?;
        let content = content::fetch(context, *content)?;
        making(context, path, "writing", context.node.write(path, &content, attributes, None))??;
        Ok(())
    }
}

/// Does a thing to each of many, several at once; the first failure ends it.
pub fn together<T: Sync>(
    items: &[T],
    stopping: &(dyn Fn() -> bool + Sync),
    each: impl Fn(&T) -> Result<(), Problem> + Sync,
) -> Result<(), Problem> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let result = if stopping() {
                Err(Problem::new("the run was stopped; what was written so far is whole"))
            } else {
                each(item)
            };
            if let Err(problem) = result {
                stopped.store(true, Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem);
            }
        }
    };
    let writers = WRITERS.min(items.len().div_ceil(4));
    std::thread::scope(|scope| {
        for _ in 1..writers {
            // A thread that cannot be started is one writer fewer.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}
