//! Everything below a directory of a node, links not followed.

use std::path::{Path, PathBuf};

use crate::{
    Doing, Node, Problem,
    node::{FileKind, Stat},
};

/// Everything below a directory, parents before what they hold; the directory itself left out.
///
/// # Errors
/// When a directory cannot be listed. What goes away meanwhile is left out.
pub fn walk(node: &dyn Node, directory: &Path) -> Result<Vec<(PathBuf, Stat)>, Problem> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for name in node.list(&directory).doing(format_args!("listing {}", directory.display()))? {
            let path = directory.join(name);
            let Some(stat) = node.stat(&path).doing(format_args!("looking at {}", path.display()))? else {
                continue;
            };
            if stat.kind == FileKind::Directory {
                directories.push(path.clone());
            }
            found.push((path, stat));
        }
    }
    Ok(found)
}
