//! What a resource was before `cm` first touched it: what rollback and cleanup go back to.

use std::path::Path;

use cm_modules::{Node, Thing, node::FileKind};
use cm_wire::Digest;
use serde::{Deserialize, Serialize};

use crate::state_dir::StateDir;

/// Contents up to this many bytes are kept; of larger ones only digest and size are known.
const KEEP_LIMIT: u64 = 4 * 1024 * 1024;

/// A former state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Former {
    /// It was not there.
    Absent,
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Nanoseconds since 1970.
        modified: i128,
        /// Its content, kept under this name unless it was too large.
        content: Digest,
        /// Whether the content is kept.
        kept: bool,
    },
    /// A directory (not what was in it).
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A symbolic link.
    Link {
        /// Where it pointed, as bytes.
        target: Vec<u8>,
    },
    /// A device, socket or pipe: never touched by `cm`, told for the record.
    Special,
    /// An installed package.
    Package {
        /// Its version.
        version: String,
        /// It was asked for by somebody.
        manual: bool,
        /// It was held.
        held: bool,
    },
    /// A user account.
    User {
        /// User id.
        uid: u32,
        /// Primary group id.
        gid: u32,
        /// Comment field.
        comment: String,
        /// Home directory.
        home: String,
        /// Login shell.
        shell: String,
        /// Supplementary groups.
        groups: Vec<String>,
    },
    /// A group.
    Group {
        /// Group id.
        gid: u32,
        /// Members.
        members: Vec<String>,
    },
    /// A systemd unit.
    Unit {
        /// `LoadState`.
        load: String,
        /// `ActiveState`.
        active: String,
        /// `UnitFileState`.
        file: String,
    },
    /// Nothing is known of its former state.
    Unknown,
}

/// Looks at a thing as it is now, and keeps its content where it has one.
///
/// A former state that cannot be read is an error: what cannot be put back must not be changed.
///
/// # Errors
/// When it cannot be read or its content cannot be kept.
pub fn capture(node: &dyn Node, state: &StateDir, thing: &Thing) -> Result<Former, String> {
    match thing {
        Thing::Path(path) => path_now(node, state, path),
        Thing::Package(name) => {
            Ok(node.package(name).map_err(|problem| problem.message)?.map_or(Former::Absent, |package| {
                Former::Package { version: package.version, manual: package.manual, held: package.held }
            }))
        }
        Thing::User(name) => {
            Ok(node.user(name).map_err(|error| error.to_string())?.map_or(Former::Absent, |user| {
                Former::User {
                    uid: user.uid,
                    gid: user.gid,
                    comment: user.comment,
                    home: user.home,
                    shell: user.shell,
                    groups: user.groups,
                }
            }))
        }
        Thing::Group(name) => Ok(node
            .group(name)
            .map_err(|error| error.to_string())?
            .map_or(Former::Absent, |group| Former::Group { gid: group.gid, members: group.members })),
        Thing::Unit(name) | Thing::Service(name) => {
            let mut units = node.units(std::slice::from_ref(name)).map_err(|problem| problem.message)?;
            Ok(units.remove(name).map_or(Former::Unknown, |unit| Former::Unit {
                load: unit.load,
                active: unit.active,
                file: unit.file,
            }))
        }
        Thing::Setting(..) | Thing::Repository(_) | Thing::Mount(_) | Thing::Other(_) => Ok(Former::Unknown),
    }
}

fn path_now(node: &dyn Node, state: &StateDir, path: &Path) -> Result<Former, String> {
    let tell = |error: std::io::Error| format!("cannot keep the former state of {}: {error}", path.display());
    let Some(stat) = node.stat(path).map_err(tell)? else { return Ok(Former::Absent) };
    Ok(match stat.kind {
        FileKind::Directory => Former::Directory { mode: stat.mode, uid: stat.uid, gid: stat.gid },
        FileKind::Link => {
            let target = node.read_link(path).map_err(tell)?;
            Former::Link { target: std::os::unix::ffi::OsStringExt::into_vec(target.into_os_string()) }
        }
        FileKind::Other => Former::Special,
        FileKind::File => {
            let (content, kept) = if stat.size <= KEEP_LIMIT {
                let bytes = node.read(path, KEEP_LIMIT).map_err(tell)?;
                let digest = Digest::of(&bytes);
                keep(state, &digest, &bytes).map_err(tell)?;
                (digest, true)
            } else {
                (node.digest(path).map_err(tell)?, false)
            };
            Former::File {
                mode: stat.mode,
                uid: stat.uid,
                gid: stat.gid,
                modified: stat.modified,
                content,
                kept,
            }
        }
    })
}

/// Writes a content under its digest; a reader sees it whole or not at all.
fn keep(state: &StateDir, digest: &Digest, bytes: &[u8]) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let place = state.kept().join(digest.to_string());
    if place.exists() {
        return Ok(());
    }
    let temporary = state.kept().join(format!(".{digest}.{:?}", std::thread::current().id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &place)?;
    std::fs::File::open(place.parent().unwrap_or(Path::new("/")))?.sync_all()
}
