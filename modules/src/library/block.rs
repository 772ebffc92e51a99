//! `block`: several lines of a text file between two marker lines, there or not.

use std::{borrow::Cow, path::PathBuf};

use cm_wire::ContentRef;

use super::presence::State;
use super::{
    content,
    ownership::Ownership,
    place::Place,
    text_edit::{Lines, TextEdit},
};
use crate::{
    AbsolutePath, Class, Context, Effect, FileMode, Module, ParamError, Params, Problem, Resource, Seen,
    TemplateContent, Thing, Touches, node::Content, params,
};

params! {
    /// Several lines of a text file between two marker lines: `# BEGIN cm NAME` and `# END cm NAME`. What
    /// stands between them is replaced as a whole; the rest of the file stays byte for byte. New lines end
    /// as the first line of the file does (`\n` or `\r\n`). Blanks around a marker do not matter.
    ///
    /// A file may hold several blocks, each with a `name` of its own. A marker without its counterpart, or
    /// a second block of the same name, is an error: nothing is changed then.
    pub struct Block = "block" {
        /// The file.
        subject path: AbsolutePath,
        /// `present` or `absent`; absent takes the markers away, too.
        state: State = State::Present,
        /// Tells this block from others of the same file: a part of its markers. Without it they are
        /// `# BEGIN cm` and `# END cm`.
        name: Option<String>,
        /// The lines, without markers. May be a template itself.
        text: Option<String>,
        /// A file of the role's templates/ that gives the lines, rendered.
        template: Option<TemplateContent>,
        /// What begins a comment in this file: `#`, `//`, `;`.
        comment: String = "#".to_owned(),
        /// The whole line before the block, instead of one of `comment` and `name`:
        /// `<!-- BEGIN site -->`. Together with `end`.
        begin: Option<String>,
        /// The whole line after the block.
        end: Option<String>,
        /// A regular expression: a new block is put after the last line it matches; without one, at the
        /// end. A block that is there stays where it is.
        after: Option<String>,
        /// A regular expression: a new block is put before the last line it matches; without one, at the
        /// end.
        before: Option<String>,
        /// Make the file where it is missing.
        create: bool = false,
        /// The file's mode, such as "0644".
        mode: Option<FileMode>,
        /// The user that owns the file, by name or number.
        owner: Option<String>,
        /// The group that owns the file, by name or number.
        group: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Block::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Block::from_params(params)?;
    let ownership = Ownership { mode: given.mode, owner: given.owner, group: given.group };
    let markers = Markers::given(given.name.as_deref(), &given.comment, given.begin, given.end)?;
    let anchored = [("after", given.after.is_some()), ("before", given.before.is_some())];
    let place = Place::given(given.after, given.before)?;
    let text = match (given.text, given.template) {
        (Some(_), Some(_)) => {
            return Err(ParamError::new("template", "cannot be given together with `text`"));
        }
        (Some(text), None) => Some(Text::Inline(text)),
        (None, Some(template)) => Some(Text::Rendered(template.0)),
        (None, None) => None,
    };
    let edit = match (given.state, text) {
        (State::Present, None) => {
            return Err(ParamError::new("text", "or `template` is required: the lines of the block"));
        }
        (State::Present, Some(text)) => {
            if let Text::Inline(text) = &text
                && let Some(marker) = markers.within(text.as_bytes())
            {
                return Err(ParamError::new(
                    "text",
                    format!("holds the marker `{marker}` itself; the block has its markers around it"),
                ));
            }
            Edit::Present { text, place }
        }
        (State::Absent, text) => {
            let text = [("text", text.is_some()), ("create", given.create)];
            for (name, given) in anchored.into_iter().chain(text) {
                if given {
                    return Err(ParamError::new(name, "cannot be given for a block that is to be absent"));
                }
            }
            Edit::Absent
        }
    };
    Ok(Box::new(Wanted { path: given.path.0, markers, edit, create: given.create, ownership }))
}

/// The lines around a block, without blanks around them.
#[derive(Debug)]
struct Markers {
    begin: String,
    end: String,
}

impl Markers {
    fn given(
        name: Option<&str>,
        comment: &str,
        begin: Option<String>,
        end: Option<String>,
    ) -> Result<Self, ParamError> {
        let line = |param: &str, text: &str| {
            if text.contains(['\n', '\r', '\0']) {
                return Err(ParamError::new(param, "is part of one line and cannot hold a line break"));
            }
            if text.trim().is_empty() {
                return Err(ParamError::new(
                    param,
                    "is empty; without markers a block cannot be found again",
                ));
            }
            Ok(text.trim().to_owned())
        };
        match (begin, end) {
            (None, None) => {
                let comment = line("comment", comment)?;
                let name = name.map(|name| line("name", name)).transpose()?;
                let name = name.map(|name| format!(" {name}")).unwrap_or_default();
                Ok(Self {
                    begin: format!("{comment} BEGIN cm{name}"),
                    end: format!("{comment} END cm{name}"),
                })
            }
            (Some(begin), Some(end)) => {
                if name.is_some() {
                    return Err(ParamError::new("name", "cannot be given together with `begin` and `end`"));
                }
                let (begin, end) = (line("begin", &begin)?, line("end", &end)?);
                if begin == end {
                    return Err(ParamError::new("end", "is the same line as `begin`"));
                }
                Ok(Self { begin, end })
            }
            (Some(_), None) => Err(ParamError::new("end", "is required with `begin`")),
            (None, Some(_)) => Err(ParamError::new("begin", "is required with `end`")),
        }
    }

    /// The marker that a text holds as a line.
    fn within(&self, text: &[u8]) -> Option<&str> {
        let is = |marker: &str| lines_of(text).any(|line| line.trim_ascii() == marker.as_bytes());
        [&*self.begin, &*self.end].into_iter().find(|marker| is(marker))
    }
}

/// The lines of a block, without what ends them.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let none = text.is_empty();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(move |_| !none)
}

#[derive(Debug)]
enum Edit {
    Present { text: Text, place: Place },
    Absent,
}

#[derive(Debug)]
enum Text {
    Inline(String),
    /// Rendered by the controller, sent by digest.
    Rendered(ContentRef),
}

struct Wanted {
    path: PathBuf,
    markers: Markers,
    edit: Edit,
    create: bool,
    ownership: Ownership,
}

impl Wanted {
    fn file(&self) -> TextEdit<'_> {
        TextEdit {
            path: &self.path,
            create: self.create,
            takes_away: matches!(self.edit, Edit::Absent),
            ownership: &self.ownership,
        }
    }

    /// The lines that are wanted, as one text.
    fn text(&self, context: &Context<'_>) -> Result<Cow<'_, [u8]>, Problem> {
        match &self.edit {
            Edit::Absent => Ok(Cow::Borrowed(b"")),
            Edit::Present { text: Text::Inline(text), .. } => Ok(Cow::Borrowed(text.as_bytes())),
            Edit::Present { text: Text::Rendered(content), .. } => {
                let Content::Bytes(text) = content::fetch(context, *content)? else {
                    return Err(Problem::new(format!(
                        "the block for {} has {} bytes, which is too large for a part of a file",
                        self.path.display(),
                        content.size
                    )));
                };
                if let Some(marker) = self.markers.within(&text) {
                    return Err(Problem::new(format!(
                        "the template of the block for {} gives the marker `{marker}` itself",
                        self.path.display()
                    ))
                    .hint("the block has its markers around it; take the line out of the template"));
                }
                Ok(Cow::Owned(text))
            }
        }
    }

    /// The whole new text of the file.
    fn edited(&self, file: &[u8], text: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut lines = Lines::of(file);
        let found = self.find(&lines)?;
        match (&self.edit, found) {
            (Edit::Absent, None) => {}
            (Edit::Absent, Some((begin, end))) => lines.remove(begin..end + 1),
            (Edit::Present { .. }, Some((begin, end))) => {
                let there = lines.as_slice()[begin + 1..end].iter().map(|line| &*line.text);
                if !there.eq(lines_of(text)) {
                    lines.remove(begin + 1..end);
                    for (offset, line) in lines_of(text).enumerate() {
                        lines.insert(begin + 1 + offset, line.to_vec());
                    }
                }
            }
            (Edit::Present { place, .. }, None) => {
                let whole = [self.markers.begin.as_bytes()]
                    .into_iter()
                    .chain(lines_of(text))
                    .chain([self.markers.end.as_bytes()]);
                let index = place.index(&lines);
                for (offset, line) in whole.enumerate() {
                    lines.insert(index + offset, line.to_vec());
                }
            }
        }
        Ok(lines.join())
    }

    /// The lines of both markers; none where there is no block.
    fn find(&self, lines: &Lines<'_>) -> Result<Option<(usize, usize)>, Problem> {
        let Markers { begin, end } = &self.markers;
        let at = |marker: &str| -> Vec<usize> {
            let lines = lines.as_slice().iter().enumerate();
            lines
                .filter(|(_, line)| line.text.trim_ascii() == marker.as_bytes())
                .map(|(index, _)| index)
                .collect()
        };
        let (begins, ends) = (at(begin), at(end));
        let damaged = |what: String, hint: &str| {
            let message = format!("the block in {} is damaged: {what}", self.path.display());
            Err(Problem::new(message).hint(hint))
        };
        match (&begins[..], &ends[..]) {
            ([], []) => Ok(None),
            (&[first], &[last]) if first < last => Ok(Some((first, last))),
            (&[first], []) => damaged(
                format!("`{begin}` in line {} has no `{end}` after it", first + 1),
                "put the end line back where the block ends, or take the begin line away",
            ),
            ([], &[last]) => damaged(
                format!("`{end}` in line {} has no `{begin}` before it", last + 1),
                "put the begin line back where the block begins, or take the end line away",
            ),
            (&[first], &[last]) => damaged(
                format!("`{end}` in line {} stands before `{begin}` in line {}", last + 1, first + 1),
                "take both lines away, and the old lines of the block with them",
            ),
            _ => {
                let count = begins.len().max(ends.len());
                damaged(
                    format!("its markers `{begin}` and `{end}` are there {count} times"),
                    "leave one block of them; two blocks of one file need a `name` each",
                )
            }
        }
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        Touches::new(Class::File)
            .makes(Thing::Path(self.path.clone()))
            .owned(self.ownership.owner.as_deref(), self.ownership.group.as_deref())
            .part()
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        if let Edit::Present { text: Text::Rendered(content), .. } = &self.edit {
            content::announce(context, &[*content]);
        }
        let text = self.text(context)?;
        self.file().look(context, |file| self.edited(file, &text))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let text = self.text(context)?;
        self.file().change(context, |file| self.edited(file, &text))
    }

    fn edit(&self, file: &[u8], context: &Context<'_>) -> Option<Result<Vec<u8>, Problem>> {
        Some(self.text(context).and_then(|text| self.edited(file, &text)))
    }
}

#[cfg(test)]
mod tests;
