//! What differs between an archive and what the node has of it, and how that is told.

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use cm_wire::{Change, Digest};

use super::{
    Wanted,
    entries::{Entries, EntryKind},
    members::show,
};
use crate::{
    Context, Doing, Problem,
    library::ownership::Ownership,
    node::{FileKind, Stat},
};

/// So many changes are listed one by one.
const LISTED: usize = 4000;

/// One path that is not as wanted.
pub(super) struct Difference {
    /// From the destination; empty for the destination itself.
    pub(super) relative: Vec<u8>,
    pub(super) what: What,
}

/// In which way it differs.
pub(super) enum What {
    /// A directory is missing.
    Directory { mode: Option<u32> },
    /// A file is missing, is a link, or has another content.
    File { digest: Digest, size: u64, mode: u32, before: Option<(Stat, Digest)>, replaces: Option<FileKind> },
    /// A link is missing, points elsewhere, or is a file.
    Link { target: Vec<u8>, before: Option<Vec<u8>>, replaces: Option<FileKind> },
    /// Only its mode or owner differ.
    Attributes { stat: Stat, mode: Option<u32>, changes: Vec<Change> },
    /// Something is in the way that is not taken away.
    Blocked { found: FileKind, wanted: FileKind },
}

impl Wanted {
    /// Where an entry belongs.
    pub(super) fn place(&self, relative: &[u8]) -> PathBuf {
        let destination = &self.task.destination.0;
        if relative.is_empty() { destination.clone() } else { destination.join(OsStr::from_bytes(relative)) }
    }

    /// Owner and group of everything, with this mode.
    pub(super) fn ownership(&self, mode: Option<u32>) -> Ownership {
        Ownership {
            mode: mode.map(crate::FileMode),
            owner: self.task.owner.clone(),
            group: self.task.group.clone(),
        }
    }

    /// Everything that differs, directories before what they hold.
    pub(super) fn compare(
        &self,
        context: &Context<'_>,
        entries: &Entries,
    ) -> Result<Vec<Difference>, Problem> {
        let mut found = Vec::new();
        // Directories that are not there: nothing below them needs a look.
        let mut missing: BTreeSet<&[u8]> = BTreeSet::new();
        let root = EntryKind::Directory { mode: self.rules.dir_mode };
        let all = entries.iter().map(|(path, entry)| (&path[..], &entry.kind));
        for (relative, kind) in std::iter::once((&b""[..], &root)).chain(all) {
            let parent =
                relative.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |end| &relative[..end]);
            let path = self.place(relative);
            let hidden = !relative.is_empty() && missing.contains(parent);
            let stat = if hidden {
                None
            } else {
                context.node.stat(&path).doing(format_args!("looking at {}", path.display()))?
            };
            let there = stat.as_ref().map(|stat| stat.kind);
            let mut add = |what| found.push(Difference { relative: relative.to_owned(), what });
            match (kind, stat) {
                (EntryKind::Directory { mode }, Some(stat)) if stat.kind == FileKind::Directory => {
                    let changes = self.ownership(*mode).differences(context, &stat)?;
                    if !changes.is_empty() {
                        add(What::Attributes { stat, mode: *mode, changes });
                    }
                }
                (EntryKind::Directory { mode }, stat) => {
                    missing.insert(relative);
                    match stat {
                        Some(stat) => add(What::Blocked { found: stat.kind, wanted: FileKind::Directory }),
                        None => add(What::Directory { mode: *mode }),
                    }
                }
                (EntryKind::File { .. }, Some(stat)) if stat.kind == FileKind::Directory => {
                    add(What::Blocked { found: stat.kind, wanted: FileKind::File });
                }
                (EntryKind::Link { .. }, Some(stat)) if stat.kind == FileKind::Directory => {
                    add(What::Blocked { found: stat.kind, wanted: FileKind::Link });
                }
                (EntryKind::File { mode, digest, size }, Some(stat)) if stat.kind == FileKind::File => {
                    let reading = format_args!("reading {}", path.display());
                    let held = context.node.digest(&path).doing(reading)?;
                    let changes = self.ownership(Some(*mode)).differences(context, &stat)?;
                    if held != *digest {
                        let before = Some((stat, held));
                        add(What::File {
                            digest: *digest,
                            size: *size,
                            mode: *mode,
                            before,
                            replaces: there,
                        });
                    } else if !changes.is_empty() {
                        add(What::Attributes { stat, mode: Some(*mode), changes });
                    }
                }
                (EntryKind::Link { target }, Some(stat)) if stat.kind == FileKind::Link => {
                    let reading = format_args!("reading the link {}", path.display());
                    let now = context.node.read_link(&path).doing(reading)?;
                    let now = now.as_os_str().as_bytes();
                    let changes = self.ownership(None).differences(context, &stat)?;
                    if now != target {
                        let before = Some(now.to_owned());
                        add(What::Link { target: target.clone(), before, replaces: there });
                    } else if !changes.is_empty() {
                        add(What::Attributes { stat, mode: None, changes });
                    }
                }
                (EntryKind::File { mode, digest, size }, _) => {
                    let (digest, size, mode) = (*digest, *size, *mode);
                    add(What::File { digest, size, mode, before: None, replaces: there });
                }
                (EntryKind::Link { target }, _) => {
                    add(What::Link { target: target.clone(), before: None, replaces: there });
                }
            }
        }
        Ok(found)
    }

    /// Differences as changes, each by its path.
    pub(super) fn tell(&self, context: &Context<'_>, found: &[Difference]) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, difference) in found.iter().enumerate() {
            if changes.len() >= LISTED {
                let left = found.len() - index;
                changes.push(Change::new("more", None, Some(format!("{left} more differences"))));
                break;
            }
            tell_one(context, difference, &mut changes);
        }
        changes
    }
}

fn tell_one(context: &Context<'_>, difference: &Difference, changes: &mut Vec<Change>) {
    let own = difference.relative.is_empty();
    let name = if own { "state".to_owned() } else { show(&difference.relative) };
    let word = |kind: &Option<FileKind>| kind.map(|kind| kind.word().to_owned());
    let content = |digest: &Digest, size: u64| {
        if context.sensitive { "[secret]".to_owned() } else { format!("{} ({size} bytes)", digest.short()) }
    };
    match &difference.what {
        What::Directory { .. } => changes.push(Change::new(&name, None, Some("directory".into()))),
        What::File { digest, size, before, replaces, .. } => {
            let before = before.as_ref().map(|(stat, digest)| content(digest, stat.size)).or(word(replaces));
            changes.push(Change::new(&name, before, Some(content(digest, *size))));
        }
        What::Link { target, before, replaces } => {
            let link = |target: &[u8]| format!("link to {}", show(target));
            let before = before.as_deref().map(link).or(word(replaces));
            changes.push(Change::new(&name, before, Some(link(target))));
        }
        What::Attributes { changes: attributes, .. } => changes.extend(attributes.iter().map(|change| {
            let attribute =
                if own { change.attribute.clone() } else { format!("{name} {}", change.attribute) };
            Change { attribute, ..change.clone() }
        })),
        What::Blocked { found, wanted } => {
            changes.push(Change::new(&name, Some(found.word().into()), Some(wanted.word().into())));
        }
    }
}
