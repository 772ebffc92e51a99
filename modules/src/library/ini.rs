//! `ini`: an option of a section of an INI file, there or not.

mod document;
mod style;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use self::{
    document::{Document, Entry, Found},
    style::{Separator, Style},
};
use super::presence::State;
use super::{
    ownership::Ownership,
    scalar::Scalar,
    text_edit::{Lines, TextEdit},
};
use crate::{
    AbsolutePath, Class, Context, Effect, FileMode, Module, ParamError, Params, Problem, Resource, Seen,
    Thing, Touches, params,
};

params! {
    /// An option in a section of an INI file: `[section]` in a line of its own, options below it, comments
    /// behind `#` or `;`. What is not the option's own line stays byte for byte: comments, order, blanks
    /// around `=`, line ends. Names are compared as they are, capital letters and all.
    ///
    /// The value is all that stands behind the separator up to the end of the line, so a comment there goes
    /// with the value it follows. A value that goes on (a backslash at the end of its line, or further
    /// lines indented deeper than the option) is taken as a whole. A new option is put behind a line that
    /// has it commented out, else behind the last option of its section; a new section at the end.
    pub struct Ini = "ini" {
        /// The file.
        subject path: AbsolutePath,
        /// `present` or `absent`. Absent takes away the option wherever the section has it (with `value`:
        /// only with that value), or without `option` the whole section.
        state: State = State::Present,
        /// The section's name without brackets. Without it: the options before the first section. A
        /// section that is there several times counts as one.
        section: Option<String>,
        /// The option's name.
        option: Option<String>,
        /// Its value: a string or number. A list: the option is there once for each, in this order.
        value: Option<Vec<Scalar>>,
        /// The option stands alone, without separator and value: `skip-networking`.
        bare: bool = false,
        /// The option has no other values: further lines of it go. `false`: others may stay.
        exclusive: bool = true,
        /// What stands between option and value: `=`, `:` or a blank. With blanks around it (`" = "`), new
        /// options are written so; without, as the others of the file are. `=` unless given.
        separator: Option<String>,
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
pub const MODULE: Module = Module { schema: &Ini::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Ini::from_params(params)?;
    let separator = Separator::given(given.separator.as_deref())?;
    let section = given.section.map(check_section).transpose()?;
    let option = given.option.map(|option| check_option(option, &separator)).transpose()?;
    let values: Option<Vec<Entry>> = match given.value {
        Some(_) if given.bare => {
            return Err(ParamError::new("value", "cannot be given for an option that stands alone (`bare`)"));
        }
        None if given.bare => Some(vec![None]),
        None => None,
        Some(values) => Some(
            values
                .into_iter()
                .map(|value| check_value(value.0, &separator).map(Some))
                .collect::<Result<_, _>>()?,
        ),
    };
    let edit = match given.state {
        State::Present => {
            let option = option.ok_or_else(|| ParamError::new("option", "is required (a string)"))?;
            let values = values.ok_or_else(|| {
                ParamError::new(
                    "value",
                    "is required (a string or a number); `bare: true` for an option without one",
                )
            })?;
            if values.is_empty() {
                return Err(ParamError::new(
                    "value",
                    "is an empty list; `state: absent` takes the option away",
                ));
            }
            Edit::Present { option, values, exclusive: given.exclusive }
        }
        State::Absent => {
            for (name, given) in [("create", given.create), ("exclusive", !given.exclusive)] {
                if given {
                    return Err(ParamError::new(name, "cannot be given for an option that is to be absent"));
                }
            }
            match (option, values) {
                (Some(option), values) => Edit::Absent { option, values },
                (None, Some(_)) => return Err(ParamError::new("option", "is required with `value`")),
                (None, None) if section.is_none() => {
                    return Err(ParamError::new(
                        "section",
                        "or `option` is required: they say what is to go",
                    ));
                }
                (None, None) => Edit::NoSection,
            }
        }
    };
    let ownership = Ownership { mode: given.mode, owner: given.owner, group: given.group };
    Ok(Box::new(Wanted { path: given.path.0, section, edit, separator, create: given.create, ownership }))
}

fn one_line(param: &str, text: &str) -> Result<(), ParamError> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(ParamError::new(param, "is part of one line and cannot hold a line break"));
    }
    if text != text.trim_matches([' ', '\t']) {
        return Err(ParamError::new(
            param,
            "has blanks around it, which are not part of it in such a file; where its reader takes quotes, \
             write them into it",
        ));
    }
    Ok(())
}

fn check_section(section: String) -> Result<String, ParamError> {
    one_line("section", &section)?;
    if section.contains([']', '[']) || section.is_empty() {
        return Err(ParamError::new(
            "section",
            format!("{section:?} cannot be a name; write it without brackets"),
        ));
    }
    Ok(section)
}

fn check_option(option: String, separator: &Separator) -> Result<String, ParamError> {
    one_line("option", &option)?;
    if option.is_empty() || option.starts_with(['#', ';', '[']) || separator.is_in(&option) {
        return Err(ParamError::new("option", format!("{option:?} cannot be the name of an option")));
    }
    if option.ends_with('\\') {
        return Err(ParamError::new("option", "ends with a backslash: the line would go on in the next one"));
    }
    Ok(option)
}

fn check_value(value: String, separator: &Separator) -> Result<Vec<u8>, ParamError> {
    one_line("value", &value)?;
    if value.ends_with('\\') {
        return Err(ParamError::new("value", "ends with a backslash: the line would go on in the next one"));
    }
    if value.is_empty() && separator.is_blank() {
        return Err(ParamError::new("value", "is empty; an option without a value is `bare: true`"));
    }
    Ok(value.into_bytes())
}

#[derive(Debug)]
enum Edit {
    Present {
        option: String,
        values: Vec<Entry>,
        exclusive: bool,
    },
    /// The option goes, or only its lines with these values.
    Absent {
        option: String,
        values: Option<Vec<Entry>>,
    },
    /// The whole section goes.
    NoSection,
}

#[derive(Debug)]
struct Wanted {
    path: PathBuf,
    section: Option<String>,
    edit: Edit,
    separator: Separator,
    create: bool,
    ownership: Ownership,
}

impl Wanted {
    fn file(&self) -> TextEdit<'_> {
        TextEdit {
            path: &self.path,
            create: self.create,
            takes_away: !matches!(self.edit, Edit::Present { .. }),
            ownership: &self.ownership,
        }
    }

    fn edited(&self, text: &[u8]) -> Result<Vec<u8>, Problem> {
        let once = self.apply(text);
        if once == text {
            return Ok(once);
        }
        // Lines that read otherwise after the edit (a deeper indented one that is now part of a value): nothing
        // is known of such a file then, and nothing is changed.
        if self.apply(&once) != once || self.others(text) != self.others(&once) {
            let what = match &self.edit {
                Edit::Present { option, .. } | Edit::Absent { option, .. } => option,
                Edit::NoSection => self.section.as_deref().unwrap_or_default(),
            };
            return Err(Problem::new(format!(
                "`{what}` cannot be edited in {}: lines beside it would mean something else then",
                self.path.display()
            ))
            .hint(
                "a backslash at the end of a line or a deeper indentation makes lines parts of one value; write \
                 the options of the section alike first",
            ));
        }
        Ok(once)
    }

    /// All options that the edit is not about.
    fn others(&self, text: &[u8]) -> Vec<Found> {
        let lines = Lines::of(text);
        let mut options = Document::of(&lines, &self.separator).all_options(&lines);
        options.retain(|(section, key, _)| {
            let same_section = section.as_deref() == self.section.as_deref().map(str::as_bytes);
            let same_option = match &self.edit {
                Edit::NoSection => true,
                Edit::Present { option, .. } | Edit::Absent { option, .. } => option.as_bytes() == key,
            };
            !(same_section && same_option)
        });
        options
    }

    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut lines = Lines::of(text);
        let document = Document::of(&lines, &self.separator);
        let section = self.section.as_deref().map(str::as_bytes);
        match &self.edit {
            Edit::NoSection => {
                for range in document.section_ranges(section).into_iter().rev() {
                    lines.remove(range);
                }
            }
            Edit::Absent { option, values } => {
                for found in document.options(&lines, section, option.as_bytes()).into_iter().rev() {
                    let goes = values.as_ref().is_none_or(|values| values.contains(&found.value(&lines)));
                    if goes {
                        lines.remove(found.lines.clone());
                    }
                }
            }
            Edit::Present { option, values, exclusive } => {
                self.present(&mut lines, &document, option, values, *exclusive);
            }
        }
        lines.join()
    }

    fn present(
        &self,
        lines: &mut Lines<'_>,
        document: &Document,
        option: &str,
        values: &[Entry],
        exclusive: bool,
    ) {
        let section = self.section.as_deref().map(str::as_bytes);
        let found = document.options(lines, section, option.as_bytes());
        let there: Vec<Entry> = found.iter().map(|found| found.value(lines)).collect();
        let new: Vec<&Entry> = if exclusive {
            values.iter().skip(there.len()).collect()
        } else {
            values.iter().filter(|value| !there.contains(value)).collect()
        };
        // From the end, so that the lines before keep their numbers.
        if !new.is_empty() {
            let place = match found.last() {
                Some(last) => last.lines.end,
                None => match document.place(section, option.as_bytes(), lines, &self.separator) {
                    Some(place) => place,
                    None => {
                        let end = lines.as_slice().len();
                        let gap =
                            lines.as_slice().last().is_some_and(|last| !last.text.trim_ascii().is_empty());
                        if gap {
                            lines.insert(end, Vec::new());
                        }
                        // A place is missing only where a named section is.
                        let header = format!("[{}]", self.section.as_deref().unwrap_or_default());
                        lines.insert(lines.as_slice().len(), header.into_bytes());
                        lines.as_slice().len()
                    }
                },
            };
            let style = Style::of(document, section, place, lines, &self.separator);
            for (offset, value) in new.into_iter().enumerate() {
                lines.insert(place + offset, style.line(option.as_bytes(), value.as_deref()));
            }
        }
        if exclusive {
            for found in found.iter().skip(values.len()).rev() {
                lines.remove(found.lines.clone());
            }
            let style = || Style::of(document, section, 0, lines, &self.separator);
            let changed: Vec<_> = found
                .iter()
                .zip(values)
                .zip(&there)
                .filter(|((_, value), there)| value != there)
                .map(|((found, value), _)| (found, found.with_value(lines, value.as_deref(), &style())))
                .collect();
            for (found, line) in changed.into_iter().rev() {
                lines.replace(found.lines.start, line);
                lines.remove(found.lines.start + 1..found.lines.end);
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
        self.file().look(context, |text| self.edited(text))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        self.file().change(context, |text| self.edited(text))
    }

    fn edit(&self, text: &[u8], _context: &Context<'_>) -> Option<Result<Vec<u8>, Problem>> {
        Some(self.edited(text))
    }
}
