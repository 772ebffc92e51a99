//! `line`: one line of a text file, there or not.

use std::path::PathBuf;

use super::presence::State;
use super::{
    line_pattern::LinePattern,
    ownership::Ownership,
    place::Place,
    text_edit::{Lines, TextEdit},
};
use crate::{
    AbsolutePath, Class, Context, Effect, FileMode, Module, ParamError, Params, Problem, Resource, Seen,
    Thing, Touches, params,
};

params! {
    /// One line of a text file. The rest of the file stays byte for byte; a new line ends as the first
    /// line of the file does (`\n` or `\r\n`). Lines are compared whole, without what ends them.
    pub struct LineOfFile = "line" {
        /// The file.
        subject path: AbsolutePath,
        /// `present` or `absent`.
        state: State = State::Present,
        /// The line as it should be.
        text: Option<String>,
        /// A regular expression. Present: the last line it matches becomes `text`; where it matches none,
        /// or does not match `text` itself and `text` is there already, nothing is replaced. Absent:
        /// every line it matches goes. It matches anywhere in a line unless it says `^` or `$`.
        r#match: Option<String>,
        /// A regular expression: a new line is put after the last line it matches; without one, at the end.
        after: Option<String>,
        /// A regular expression: a new line is put before the last line it matches; without one, at the end.
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
pub const MODULE: Module = Module { schema: &LineOfFile::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = LineOfFile::from_params(params)?;
    let ownership = Ownership { mode: given.mode, owner: given.owner, group: given.group };
    if let Some(line) = &given.text
        && line.contains(['\n', '\r'])
    {
        return Err(ParamError::new(
            "text",
            "is one line and cannot hold a line break; `block` manages several",
        ));
    }
    let matches = given.r#match.map(|pattern| LinePattern::compile("match", &pattern)).transpose()?;
    let anchored = [("after", given.after.is_some()), ("before", given.before.is_some())];
    let place = Place::given(given.after, given.before)?;
    let edit = match given.state {
        State::Present => {
            let line = given.text.ok_or_else(|| ParamError::new("text", "is required (a string)"))?;
            Edit::Present { line, matches, place }
        }
        State::Absent => {
            for (name, given) in anchored.into_iter().chain([("create", given.create)]) {
                if given {
                    return Err(ParamError::new(name, "cannot be given for a line that is to be absent"));
                }
            }
            match (given.text, matches) {
                (None, None) => {
                    return Err(ParamError::new(
                        "text",
                        "or `match` is required: they say which lines are to go",
                    ));
                }
                (line, matches) => Edit::Absent { line, matches },
            }
        }
    };
    Ok(Box::new(Wanted { path: given.path.0, edit, create: given.create, ownership }))
}

struct Wanted {
    path: PathBuf,
    edit: Edit,
    create: bool,
    ownership: Ownership,
}

#[derive(Debug)]
enum Edit {
    Present {
        line: String,
        matches: Option<LinePattern>,
        place: Place,
    },
    /// Lines that equal `line` or match go.
    Absent {
        line: Option<String>,
        matches: Option<LinePattern>,
    },
}

impl Edit {
    /// The whole new text. Editing it again changes nothing, whatever the expressions are: either the
    /// last match is the line itself, or the line is there and that is enough.
    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut lines = Lines::of(text);
        match self {
            Self::Absent { line, matches } => lines.retain(|found| {
                let equal = line.as_ref().is_some_and(|line| *found.text == *line.as_bytes());
                !equal && !matches.as_ref().is_some_and(|pattern| pattern.matches(&found.text))
            }),
            Self::Present { line, matches, place } => {
                let last = |pattern: &LinePattern| {
                    lines.as_slice().iter().rposition(|found| pattern.matches(&found.text))
                };
                let there = lines.as_slice().iter().any(|found| *found.text == *line.as_bytes());
                let replaced = match matches {
                    Some(pattern) if pattern.matches(line.as_bytes()) || !there => last(pattern),
                    _ => None,
                };
                match replaced {
                    Some(index) => lines.replace(index, line.as_bytes()),
                    None if there => {}
                    None => lines.insert(place.index(&lines), line.as_bytes()),
                }
            }
        }
        lines.join()
    }
}

impl Wanted {
    fn file(&self) -> TextEdit<'_> {
        TextEdit {
            path: &self.path,
            create: self.create,
            takes_away: matches!(self.edit, Edit::Absent { .. }),
            ownership: &self.ownership,
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
        self.file().look(context, |text| Ok(self.edit.apply(text)))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.file().change(context, |text| Ok(self.edit.apply(text)))
    }

    fn edit(&self, text: &[u8], _context: &Context<'_>) -> Option<Result<Vec<u8>, Problem>> {
        Some(Ok(self.edit.apply(text)))
    }
}

#[cfg(test)]
mod tests;
