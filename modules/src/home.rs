//! A home directory as useradd(8) makes it: the directory and a copy of /etc/skel, owned by its user.

use std::path::Path;

use crate::{
    Doing, Problem,
    node::{Attributes, FileKind, Files},
};

/// Where the first content of homes is kept.
const SKELETON: &str = "/etc/skel";
/// Largest file of the skeleton that is copied, in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;
/// Folders in folders that are followed.
const DEPTH: usize = 32;

/// Makes a home directory with its parents. One that is there is left as it is.
///
/// # Errors
/// When it cannot be written.
pub fn make_home(files: &dyn Files, home: &Path, attributes: Attributes) -> Result<(), Problem> {
    if files.stat(home).doing(format_args!("looking at {}", home.display()))?.is_some() {
        return Ok(());
    }
    if let Some(parent) = home.parent() {
        make_parents(files, parent)?;
    }
    files.make_directory(home, attributes).doing(format_args!("making {}", home.display()))?;
    copy(files, Path::new(SKELETON), home, attributes, DEPTH)
}

fn make_parents(files: &dyn Files, path: &Path) -> Result<(), Problem> {
    if files.stat(path).doing(format_args!("looking at {}", path.display()))?.is_some() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_parents(files, parent)?;
    }
    let attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
    files.make_directory(path, attributes).doing(format_args!("making {}", path.display()))
}

/// Copies what a folder holds; nothing where there is no such folder.
fn copy(files: &dyn Files, from: &Path, to: &Path, owner: Attributes, depth: usize) -> Result<(), Problem> {
    let stat = files.stat(from).doing(format_args!("looking at {}", from.display()))?;
    if depth == 0 || !stat.is_some_and(|stat| stat.kind == FileKind::Directory) {
        return Ok(());
    }
    for name in files.list(from).doing(format_args!("listing {}", from.display()))? {
        let (source, target) = (from.join(&name), to.join(&name));
        let Some(stat) = files.stat(&source).doing(format_args!("looking at {}", source.display()))? else {
            continue;
        };
        let attributes = Attributes { mode: stat.mode, ..owner };
        let making = format!("making {}", target.display());
        match stat.kind {
            FileKind::Directory => {
                files.make_directory(&target, attributes).doing(making)?;
                copy(files, &source, &target, owner, depth - 1)?;
            }
            FileKind::File => {
                let content =
                    files.read(&source, FILE_LIMIT).doing(format_args!("reading {}", source.display()))?;
                files
                    .write(&target, &crate::node::Content::Bytes(content), attributes, None)
                    .doing(making)??;
            }
            FileKind::Link => {
                let link = files.read_link(&source).doing(format_args!("reading {}", source.display()))?;
                files.make_link(&target, &link).doing(making)?;
                files
                    .set_owner(&target, owner.uid, owner.gid)
                    .doing(format_args!("changing the owner of {}", target.display()))?;
            }
            FileKind::Other => {}
        }
    }
    Ok(())
}
