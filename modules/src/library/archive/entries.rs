//! What an archive becomes: every path with its kind, mode and digest.

use std::{collections::BTreeMap, io::Read};

use cm_wire::Digest;

use super::members::{self, Member, MemberKind};
use crate::Problem;

/// One path below the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    /// The member of the archive that has its content.
    pub member: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Without a mode where the archive has no member for it.
    Directory {
        mode: Option<u32>,
    },
    File {
        mode: u32,
        digest: Digest,
        size: u64,
    },
    Link {
        target: Vec<u8>,
    },
}

/// All of them by path; the destination itself is not among them.
pub type Entries = BTreeMap<Vec<u8>, Entry>;

/// How members become entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Leading components taken away.
    pub strip: usize,
    /// The mode of every file.
    pub file_mode: Option<u32>,
    /// The mode of every directory.
    pub dir_mode: Option<u32>,
}

/// Gathers entries from members.
pub struct Gathering<'a> {
    rules: &'a Rules,
    entries: Entries,
    /// The next member's number.
    next: usize,
}

impl<'a> Gathering<'a> {
    pub fn new(rules: &'a Rules) -> Self {
        Self { rules, entries: Entries::new(), next: 0 }
    }

    /// Takes the next member.
    ///
    /// # Errors
    /// When it may not be unpacked, or cannot be read.
    pub fn take(&mut self, member: Member, content: &mut dyn Read) -> Result<(), Problem> {
        let number = self.next;
        self.next += 1;
        let shown = members::show(&member.name);
        if let MemberKind::Special(what) = member.kind {
            return Err(Problem::new(format!(
                "the archive's member {shown:?} is a {what}; nothing was unpacked"
            ))
            .hint("only files, directories and links are unpacked"));
        }
        let Some(path) = members::place(&member.name, self.rules.strip)? else { return Ok(()) };
        let kind = match member.kind {
            MemberKind::Special(_) => return Ok(()),
            MemberKind::Directory { mode } => {
                EntryKind::Directory { mode: Some(self.rules.dir_mode.unwrap_or(mode & 0o777)) }
            }
            MemberKind::Link { target } => {
                members::check_link(&path, &target)?;
                EntryKind::Link { target }
            }
            MemberKind::File { mode } => {
                let (digest, size) = Digest::of_reader(content).map_err(|error| {
                    Problem::new(format!("reading the archive's member {shown:?}: {error}"))
                })?;
                EntryKind::File { mode: self.rules.mode_of(mode), digest, size }
            }
            MemberKind::HardLink { target } => {
                let known = members::place(&target, self.rules.strip)?;
                let first = known
                    .and_then(|target| self.entries.get(&target))
                    .filter(|entry| matches!(entry.kind, EntryKind::File { .. } | EntryKind::Link { .. }));
                let Some(first) = first.cloned() else {
                    return Err(Problem::new(format!(
                        "the archive's member {shown:?} is another name of {:?}, which is not before it",
                        members::show(&target)
                    )));
                };
                self.put(path, first);
                return Ok(());
            }
        };
        self.put(path, Entry { kind, member: number });
        Ok(())
    }

    fn put(&mut self, path: Vec<u8>, entry: Entry) {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for end in ends.collect::<Vec<_>>() {
            let implied = EntryKind::Directory { mode: self.rules.dir_mode };
            self.entries.entry(path[..end].to_vec()).or_insert(Entry { kind: implied, member: usize::MAX });
        }
        self.entries.insert(path, entry);
    }

    /// All that was taken.
    ///
    /// # Errors
    /// When something would have to lie below a file or a link.
    pub fn finish(self) -> Result<Entries, Problem> {
        for path in self.entries.keys() {
            let Some(end) = path.iter().rposition(|&byte| byte == b'/') else { continue };
            let parent = self.entries.get(&path[..end]);
            if !parent.is_some_and(|parent| matches!(parent.kind, EntryKind::Directory { .. })) {
                return Err(Problem::new(format!(
                    "the archive's member {:?} lies below something that is no directory; nothing was unpacked",
                    members::show(path)
                ))
                .hint("a member below a link would be put where the link leads"));
            }
        }
        Ok(self.entries)
    }
}

impl Rules {
    /// The mode of a file whose mode in the archive is this.
    fn mode_of(&self, mode: u32) -> u32 {
        match self.file_mode {
            // Whoever may read a program may execute it.
            Some(wanted) if mode & 0o111 != 0 => wanted | (wanted & 0o444) >> 2,
            Some(wanted) => wanted,
            // Never setuid or setgid, whoever made the archive.
            None => mode & 0o777,
        }
    }
}
