//! Why something could not be made at a path, for a person; and the parents of what is made.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{Context, Doing, Problem, node::FileKind};

/// Turns the failure of making something into one that names what is missing above it.
///
/// # Errors
/// The same failure, told.
pub fn making<T>(
    context: &Context<'_>,
    path: &Path,
    doing: &str,
    result: io::Result<T>,
) -> Result<T, Problem> {
    let kind = result.as_ref().err().map(io::Error::kind);
    if matches!(kind, Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
        && let Some(parent) = path.parent()
    {
        let is_directory = |stat: Option<crate::node::Stat>| {
            stat.is_some_and(|stat| matches!(stat.kind, FileKind::Directory | FileKind::Link))
        };
        let mut wrong = parent;
        // The outermost part that is not there or no directory.
        for ancestor in parent.ancestors() {
            if is_directory(context.node.stat(ancestor).unwrap_or(None)) {
                break;
            }
            wrong = ancestor;
        }
        return Err(match context.node.stat(wrong).unwrap_or(None) {
            None => Problem::new(format!(
                "{doing} {}: the directory {} is not there",
                path.display(),
                wrong.display()
            ))
            .hint(format!("a task `- directory: {}` makes it", parent.display())),
            Some(stat) => Problem::new(format!(
                "{doing} {}: {} is a {}, not a directory",
                path.display(),
                wrong.display(),
                stat.kind.word()
            )),
        });
    }
    result.doing(format_args!("{doing} {}", path.display()))
}

/// The directories above a path that are not there, outermost first. A link counts as there.
///
/// # Errors
/// When one of them cannot be looked at.
pub fn missing_parents(context: &Context<'_>, path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut missing = Vec::new();
    for parent in path.ancestors().skip(1) {
        let stat = context.node.stat(parent).doing(format_args!("looking at {}", parent.display()))?;
        if stat.is_some() {
            break;
        }
        missing.push(parent.to_owned());
    }
    missing.reverse();
    Ok(missing)
}

/// Makes the directories above a path that are not there, with mode 0755 and the agent's own user and group.
///
/// # Errors
/// When one of them cannot be made.
pub fn make_parents(context: &Context<'_>, path: &Path) -> Result<(), Problem> {
    for parent in missing_parents(context, path)? {
        let making = format_args!("making the directory {}", parent.display());
        let attributes = context.node.attributes_of_new(&parent, 0o755, FileKind::Directory).doing(making)?;
        match context.node.make_directory(&parent, attributes) {
            // Another task made it at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => self::making(context, &parent, "making the directory", other)?,
        }
    }
    Ok(())
}
