//! The state of a thing now.

use std::{
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use cm_wire::Digest;

use super::{Former, FormerFile, Item};
use crate::{
    Doing, Node, Problem,
    node::{FileKind, Remains, SettingKind, Stat},
};

/// Takes contents that are to be kept.
pub trait Keep {
    /// Keeps the content of a regular file under its digest: the digest, and whether it is kept (a content
    /// may be too large).
    ///
    /// # Errors
    /// When it cannot be read or kept.
    fn keep(&self, node: &dyn Node, path: &Path, stat: &Stat) -> io::Result<(Digest, bool)>;
}

/// Looks at an item as it is now. With `keep`, the content of a file is kept.
///
/// # Errors
/// When it cannot be read or its content cannot be kept.
pub fn capture(node: &dyn Node, item: &Item, keep: Option<&dyn Keep>) -> Result<Former, Problem> {
    match item {
        Item::Path(bytes) => {
            let path = PathBuf::from(std::ffi::OsString::from_vec(bytes.clone()));
            path_now(node, &path, keep).doing(format_args!("reading the state of {}", path.display()))
        }
        Item::Package(name) => match node.package(name)? {
            Some(package) => {
                Ok(Former::Package { version: package.version, manual: package.manual, held: package.held })
            }
            None if node.package_remains(name)? == Remains::Configuration => Ok(Former::Configuration),
            None => Ok(Former::Absent),
        },
        Item::User(name) => Ok(node.user(name).doing("reading the users")?.map_or(Former::Absent, |user| {
            let mut groups = user.groups;
            crate::in_order::sort(&mut groups);
            Former::User {
                uid: user.uid,
                gid: user.gid,
                comment: user.comment,
                home: user.home,
                shell: user.shell,
                groups,
                password: user.password,
            }
        })),
        Item::Group(name) => Ok(node
            .group(name)
            .doing("reading the groups")?
            .map_or(Former::Absent, |group| Former::Group { gid: group.gid, members: group.members })),
        Item::Unit(name) => {
            let mut units = node.units(std::slice::from_ref(name))?;
            Ok(units.remove(name).map_or(Former::Unknown, |unit| Former::Unit {
                load: unit.load,
                active: unit.active,
                file: unit.file,
            }))
        }
        // A module without the verb `undo` tells no state.
        Item::Setting(SettingKind::Custom, key) => {
            Ok(node.setting(SettingKind::Custom, key)?.map_or(Former::Unknown, Former::Setting))
        }
        Item::Setting(kind, key) => Ok(node.setting(*kind, key)?.map_or(Former::Absent, Former::Setting)),
    }
}

fn path_now(node: &dyn Node, path: &Path, keep: Option<&dyn Keep>) -> io::Result<Former> {
    let Some(stat) = node.stat(path)? else { return Ok(Former::Absent) };
    Ok(match stat.kind {
        FileKind::Directory => Former::Directory {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            extended: node.extended(path)?,
        },
        FileKind::Link => Former::Link {
            target: node.read_link(path)?.into_os_string().into_vec(),
            uid: stat.uid,
            gid: stat.gid,
        },
        FileKind::Other => Former::Special,
        FileKind::File => {
            let (content, kept) = match keep {
                Some(keep) => keep.keep(node, path, &stat)?,
                None => (node.digest(path)?, false),
            };
            Former::File(FormerFile {
                mode: stat.mode,
                uid: stat.uid,
                gid: stat.gid,
                modified: stat.modified,
                size: stat.size,
                content,
                kept,
                extended: node.extended(path)?,
            })
        }
    })
}
