//! Edits of a part of a text file, as every module of that kind makes them: the module says how the
//! whole new text follows from the old one, the rest is here.
//!
//! Texts are bytes: a file need not be UTF-8, and what an edit does not touch stays byte for byte.

use std::{borrow::Cow, ops::Range, path::Path};

use cm_wire::Change;

use super::{
    content::{self, After, Before},
    making::making,
    ownership::Ownership,
};
use crate::{
    Context, Doing, Effect, Problem, Seen,
    node::{Attributes, Content, FileKind, Stat},
};

/// Larger files are not edited.
const EDIT_LIMIT: u64 = 16 * 1024 * 1024;

/// A file that is edited.
pub struct TextEdit<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Make it, empty, where it is missing.
    pub create: bool,
    /// A missing file is as wanted: the edit only takes something away.
    pub takes_away: bool,
    /// Mode and owner; none: as they are.
    pub ownership: &'a Ownership,
}

impl TextEdit<'_> {
    /// Compares the file with what the edit makes of it.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file or cannot be edited.
    pub fn look(
        &self,
        context: &Context<'_>,
        edit: impl Fn(&[u8]) -> Result<Vec<u8>, Problem>,
    ) -> Result<Seen, Problem> {
        let Some(stat) = self.stat(context)? else {
            if self.takes_away {
                return Ok(Seen::AsWanted);
            }
            let text = edit(b"")?;
            let mut changes = Vec::new();
            if self.create {
                changes.push(Change::new("state", None, Some("file".into())));
            }
            changes.push(content::difference(context, "content", None, After::Bytes(&text))?);
            changes.extend(self.ownership.all());
            return Ok(Seen::Differs(changes));
        };
        let text = self.read(context, &stat)?;
        let after = edit(&text)?;
        let mut changes = Vec::new();
        if *after != *text {
            let before = Before::of(&text);
            changes.push(content::difference(context, "content", Some(&before), After::Bytes(&after))?);
        }
        changes.extend(self.ownership.differences(context, &stat)?);
        Ok(Seen::from_changes(changes))
    }

    /// Edits the file.
    ///
    /// # Errors
    /// When it is missing and not to be made, or cannot be read, edited or written.
    pub fn change(
        &self,
        context: &Context<'_>,
        edit: impl Fn(&[u8]) -> Result<Vec<u8>, Problem>,
    ) -> Result<Effect, Problem> {
        let path = self.path;
        let Some(stat) = self.stat(context)? else {
            if self.takes_away {
                return Ok(Effect::default());
            }
            if !self.create && !context.node.may_appear() {
                return Err(Problem::new(format!("there is no file {}", path.display()))
                    .hint("`create: true` makes it, or a `file` task does"));
            }
            let default = context
                .node
                .attributes_of_new(path, 0o644, FileKind::File)
                .doing(format_args!("writing {}", path.display()))?;
            return self.write(context, edit(b"")?, self.ownership.attributes(context, default)?);
        };
        let text = self.read(context, &stat)?;
        let after = edit(&text)?;
        if *after == *text {
            self.ownership.apply(context, path, &stat)?;
            return Ok(Effect::default());
        }
        let current = Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid };
        self.write(context, after, self.ownership.attributes(context, current)?)
    }

    fn stat(&self, context: &Context<'_>) -> Result<Option<Stat>, Problem> {
        context.node.stat(self.path).doing(format_args!("looking at {}", self.path.display()))
    }

    fn read(&self, context: &Context<'_>, stat: &Stat) -> Result<Vec<u8>, Problem> {
        let path = self.path;
        if stat.kind == FileKind::Link {
            let target = context.node.read_link(path).doing(format_args!("reading {}", path.display()))?;
            return Err(Problem::new(format!("{} is a link to {}", path.display(), target.display()))
                .hint("edit the file that it points to, by that file's own path"));
        }
        if stat.kind != FileKind::File {
            return Err(Problem::new(format!("{} is a {}, not a file", path.display(), stat.kind.word())));
        }
        if stat.size > EDIT_LIMIT {
            return Err(Problem::new(format!(
                "{} has {} bytes; files above {EDIT_LIMIT} bytes are not edited",
                path.display(),
                stat.size
            )));
        }
        context.node.read(path, EDIT_LIMIT).doing(format_args!("reading {}", path.display()))
    }

    fn write(&self, context: &Context<'_>, text: Vec<u8>, attributes: Attributes) -> Result<Effect, Problem> {
        let written = context.node.write(self.path, &Content::Bytes(text), attributes, None);
        making(context, self.path, "writing", written)??;
        Ok(Effect::default())
    }
}

/// A text taken apart into lines, and put together again byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines<'a> {
    lines: Vec<Line<'a>>,
    /// What new lines end with: what the first line of the text ends with.
    ending: &'static [u8],
}

/// One line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Without what ends it.
    pub text: Cow<'a, [u8]>,
    /// `\n`, `\r\n`, or nothing for a last line that is not ended.
    ending: &'static [u8],
}

impl<'a> Lines<'a> {
    /// Takes a text apart.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        let lines: Vec<Line<'a>> = text
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| {
                let (text, ending): (_, &'static [u8]) = match line {
                    [text @ .., b'\r', b'\n'] => (text, b"\r\n"),
                    [text @ .., b'\n'] => (text, b"\n"),
                    text => (text, b""),
                };
                Line { text: Cow::Borrowed(text), ending }
            })
            .collect();
        let ending = match lines.first() {
            Some(Line { ending: b"\r\n", .. }) => b"\r\n",
            _ => &b"\n"[..],
        };
        Self { lines, ending }
    }

    /// The lines.
    #[must_use]
    pub fn as_slice(&self) -> &[Line<'a>] {
        &self.lines
    }

    /// Replaces the text of one line, which ends as before.
    pub fn replace(&mut self, index: usize, text: impl Into<Cow<'a, [u8]>>) {
        let line = &mut self.lines[index];
        line.text = text.into();
        if line.text.is_empty() && line.ending.is_empty() {
            // An empty last line that is not ended is no line at all.
            line.ending = self.ending;
        }
    }

    /// Puts a line before the one of this index, or after the last.
    pub fn insert(&mut self, index: usize, text: impl Into<Cow<'a, [u8]>>) {
        if index == self.lines.len()
            && let Some(last) = self.lines.last_mut()
            && last.ending.is_empty()
        {
            last.ending = self.ending;
        }
        self.lines.insert(index, Line { text: text.into(), ending: self.ending });
    }

    /// Takes lines away.
    pub fn remove(&mut self, range: Range<usize>) {
        self.lines.drain(range);
    }

    /// Keeps the lines that are not to go.
    pub fn retain(&mut self, keep: impl FnMut(&Line<'a>) -> bool) {
        self.lines.retain(keep);
    }

    /// The text.
    #[must_use]
    pub fn join(&self) -> Vec<u8> {
        let size = self.lines.iter().map(|line| line.text.len() + line.ending.len()).sum();
        let mut text = Vec::with_capacity(size);
        for line in &self.lines {
            text.extend_from_slice(&line.text);
            text.extend_from_slice(line.ending);
        }
        text
    }
}
