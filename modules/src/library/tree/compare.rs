//! What differs between a folder and its copy on the node.

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use cm_wire::{Change, ContentRef, TreeKind};

use super::{Wanted, is_excluded};
use crate::{
    Context, Doing, Problem,
    library::content::Before,
    node::{FileKind, Stat},
};

/// The texts of so many changed files are kept for their diffs; of the others only digests.
const DIFFS: usize = 40;

/// One entry of the copy that is not as wanted.
pub(super) struct Difference {
    /// Its path from the folder; empty for the folder itself.
    pub(super) relative: Vec<u8>,
    pub(super) what: What,
}

/// In which way it differs.
pub(super) enum What {
    /// A directory is missing.
    Directory,
    /// A file is missing, is a link, or has another content.
    File { content: ContentRef, executable: bool, before: Option<(Stat, Before)>, replaces: Option<FileKind> },
    /// A link is missing, points elsewhere, or is a file.
    Link { target: Vec<u8>, before: Option<Vec<u8>>, replaces: Option<FileKind> },
    /// Only its mode or owner differ.
    Attributes { stat: Stat, mode: Option<u32>, changes: Vec<Change> },
    /// A directory is where something else is wanted, or the other way round.
    Blocked { found: Stat, wanted: FileKind },
    /// It is not wanted. What a directory holds comes before it.
    Extra(Stat),
}

impl Wanted {
    /// Everything that differs. Something that is in the way is followed by what takes its place.
    pub(super) fn compare(&self, context: &Context<'_>) -> Result<Vec<Difference>, Problem> {
        let mut found = Vec::new();
        // Directories that are not there: nothing below them needs a look.
        let mut missing: BTreeSet<&[u8]> = BTreeSet::new();
        let mut wanted: BTreeSet<&[u8]> = BTreeSet::new();
        let mut texts = 0;
        let root = (&b""[..], &TreeKind::Directory);
        for (relative, kind) in
            std::iter::once(root).chain(self.entries.iter().map(|entry| (&entry.path[..], &entry.kind)))
        {
            wanted.insert(relative);
            let is_missing = !relative.is_empty() && missing.contains(parent(relative));
            let stat = if is_missing { None } else { stat(context, &self.place(relative))? };
            let replaces = stat.as_ref().map(|stat| stat.kind);
            let mut add = |what| found.push(Difference { relative: relative.to_owned(), what });
            match (kind, stat) {
                (TreeKind::Directory, Some(stat)) if stat.kind == FileKind::Directory => {
                    if let Some(what) = self.attributes(context, stat, self.dir_mode.map(|mode| mode.0))? {
                        add(what);
                    }
                }
                (TreeKind::Directory, stat) => {
                    missing.insert(relative);
                    if let Some(found) = stat {
                        add(What::Blocked { found, wanted: FileKind::Directory });
                    }
                    add(What::Directory);
                }
                (TreeKind::File { .. }, Some(stat)) if stat.kind == FileKind::Directory => {
                    add(What::Blocked { found: stat, wanted: FileKind::File });
                    add(new(kind, None));
                }
                (TreeKind::Link(_), Some(stat)) if stat.kind == FileKind::Directory => {
                    add(What::Blocked { found: stat, wanted: FileKind::Link });
                    add(new(kind, None));
                }
                (TreeKind::File { content, executable }, Some(stat)) if stat.kind == FileKind::File => {
                    match Before::unless_same(context, &self.place(relative), &stat, *content)? {
                        Some(mut before) => {
                            texts += 1;
                            if texts > DIFFS {
                                before.bytes = None;
                            }
                            add(What::File {
                                content: *content,
                                executable: *executable,
                                before: Some((stat, before)),
                                replaces,
                            });
                        }
                        None => {
                            let mode = self.file_mode(*executable, Some(stat.mode));
                            if let Some(what) = self.attributes(context, stat, Some(mode))? {
                                add(what);
                            }
                        }
                    }
                }
                (TreeKind::Link(target), Some(stat)) if stat.kind == FileKind::Link => {
                    let path = self.place(relative);
                    let current = context
                        .node
                        .read_link(&path)
                        .doing(format_args!("reading the link {}", path.display()))?;
                    let current = current.as_os_str().as_bytes();
                    if *current != **target {
                        add(What::Link {
                            target: target.clone(),
                            before: Some(current.to_owned()),
                            replaces,
                        });
                    } else if let Some(what) = self.attributes(context, stat, None)? {
                        add(what);
                    }
                }
                (kind, _) => add(new(kind, replaces)),
            }
        }
        if self.delete && !missing.contains(&b""[..]) {
            self.extras(context, b"", &wanted, &mut found)?;
        }
        Ok(found)
    }

    fn attributes(
        &self,
        context: &Context<'_>,
        stat: Stat,
        mode: Option<u32>,
    ) -> Result<Option<What>, Problem> {
        let changes = self.ownership(mode).differences(context, &stat)?;
        Ok((!changes.is_empty()).then_some(What::Attributes { stat, mode, changes }))
    }

    /// What is in a directory of the copy and is not wanted, deepest first; whether all of it is to go.
    fn extras(
        &self,
        context: &Context<'_>,
        directory: &[u8],
        wanted: &BTreeSet<&[u8]>,
        found: &mut Vec<Difference>,
    ) -> Result<bool, Problem> {
        let place = self.place(directory);
        let mut all = true;
        for name in context.node.list(&place).doing(format_args!("listing {}", place.display()))? {
            let relative = join(directory, &name);
            if is_excluded(&self.exclude, &relative) {
                all = false;
                continue;
            }
            let Some(stat) = stat(context, &self.place(&relative))? else { continue };
            let is_wanted = wanted.contains(&relative[..]);
            all &= !is_wanted;
            let mut goes = !is_wanted;
            // A directory that is in the way of a file goes as a whole with it.
            let blocks = is_wanted && !self.is_directory(&relative);
            if stat.kind == FileKind::Directory && !blocks {
                // One that holds something excluded stays.
                goes &= self.extras(context, &relative, wanted, found)?;
                all &= goes;
            }
            if goes {
                found.push(Difference { relative, what: What::Extra(stat) });
            }
        }
        Ok(all)
    }

    fn is_directory(&self, relative: &[u8]) -> bool {
        // Entries are sorted by path.
        self.entries
            .binary_search_by(|entry| entry.path[..].cmp(relative))
            .is_ok_and(|index| self.entries[index].kind == TreeKind::Directory)
    }
}

/// An entry that is not there, or whose place something of another kind has.
fn new(kind: &TreeKind, replaces: Option<FileKind>) -> What {
    match kind {
        TreeKind::Directory => What::Directory,
        TreeKind::File { content, executable } => {
            What::File { content: *content, executable: *executable, before: None, replaces }
        }
        TreeKind::Link(target) => What::Link { target: target.clone(), before: None, replaces },
    }
}

fn stat(context: &Context<'_>, path: &Path) -> Result<Option<Stat>, Problem> {
    context.node.stat(path).doing(format_args!("looking at {}", path.display()))
}

fn parent(relative: &[u8]) -> &[u8] {
    relative.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |end| &relative[..end])
}

fn join(directory: &[u8], name: &OsStr) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    path
}
