//! `replace`: every match of a regular expression in a text file becomes another text.

mod lossless;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use regex_lite::{Captures, Regex, RegexBuilder};

use self::lossless::Lossless;
use super::{line_pattern::LinePattern, ownership::Ownership, text_edit::TextEdit};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, FileMode, Module, ParamError, Params, Problem, Resource,
    Seen, Thing, Touches, params,
};

params! {
    /// Every match of a regular expression in a text file, replaced. Where nothing matches all is as
    /// wanted. The expression is matched against the whole text: `^` and `$` stand at the beginning and
    /// the end of each line, `.` matches no line break unless the expression says `(?s)`.
    ///
    /// Replacing again must change nothing, for the next run does it again: `foo` by `foobar` is refused
    /// on the node, with what it would become. In a file whose lines end with `\r\n` they go on doing so,
    /// and the expression sees `\n`, unless it names `\r` itself.
    pub struct Replace = "replace" {
        /// The file. It must be there.
        subject path: AbsolutePath,
        /// The regular expression.
        r#match: String,
        /// What each match becomes. `$1` or `${1}` stands for what the first group matched, `$name` for a
        /// named one, `$0` for all, `$$` for a dollar sign.
        text: String,
        /// A regular expression: only what stands after its first match is replaced; nothing, where it
        /// does not match.
        after: Option<String>,
        /// A regular expression: only what stands before its first match (the first one behind `after`)
        /// is replaced; nothing, where it does not match.
        before: Option<String>,
        /// The file's mode, such as "0644".
        mode: Option<FileMode>,
        /// The user that owns the file, by name or number.
        owner: Option<String>,
        /// The group that owns the file, by name or number.
        group: Option<String>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Replace::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let given = Replace::from_params(params)?;
    let ownership = Ownership { mode: given.mode, owner: given.owner, group: given.group };
    let edit = Edit::given(&given.r#match, given.text, given.after.as_deref(), given.before.as_deref())?;
    Ok(Box::new(Wanted { path: given.path.0, edit, ownership }))
}

/// An expression whose `^` and `$` stand at lines.
fn by_lines(name: &str, pattern: &str) -> Result<Regex, ParamError> {
    // For the message of a wrong one.
    LinePattern::compile(name, pattern)?;
    RegexBuilder::new(pattern)
        .multi_line(true)
        .build()
        .map_err(|error| ParamError::new(name, format!("is not a regular expression: {error}")))
}

#[derive(Debug)]
struct Edit {
    pattern: Regex,
    text: String,
    after: Option<Regex>,
    before: Option<Regex>,
    /// The expressions speak of carriage returns themselves.
    names_returns: bool,
}

impl Edit {
    fn given(
        pattern: &str,
        text: String,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Result<Self, ParamError> {
        let written = [Some(pattern), after, before];
        let names_returns =
            written.into_iter().flatten().any(|pattern| pattern.contains("\\r") || pattern.contains('\r'));
        let pattern = by_lines("match", pattern)?;
        let after = after.map(|after| by_lines("after", after)).transpose()?;
        let before = before.map(|before| by_lines("before", before)).transpose()?;
        for group in references(&text) {
            let known = match group.parse::<usize>() {
                Ok(number) => number < pattern.captures_len(),
                Err(_) => pattern.capture_names().flatten().any(|name| name == group),
            };
            if !known {
                let digits = group.bytes().take_while(u8::is_ascii_digit).count();
                let mut message = format!("refers to `${group}`, a group that `match` does not have");
                if digits > 0 && digits < group.len() {
                    let (number, rest) = group.split_at(digits);
                    message +=
                        &format!("; write `${{{number}}}{rest}` for group {number} followed by {rest:?}");
                } else {
                    message += "; a dollar sign itself is `$$`";
                }
                return Err(ParamError::new("text", message));
            }
        }
        Ok(Self { pattern, text, after, before, names_returns })
    }

    /// The whole new text.
    fn apply(&self, text: &[u8]) -> Result<Vec<u8>, Refused> {
        let once = self.replace(text)?;
        if once == text {
            return Ok(once);
        }
        // The next run would do it again.
        let twice = self.replace(&once)?;
        if twice == once { Ok(once) } else { Err(Refused::Grows(first_difference(&once, &twice))) }
    }

    fn replace(&self, text: &[u8]) -> Result<Vec<u8>, Refused> {
        let coded = Lossless::of(text).ok_or(Refused::Reserved)?;
        let returns = !self.names_returns && ends_with_returns(text);
        let (text, new) = if returns {
            (coded.text.replace("\r\n", "\n"), self.text.replace("\r\n", "\n"))
        } else {
            (coded.text, self.text.clone())
        };
        let mut edited = self.replaced(&text, &new);
        if returns {
            edited = edited.replace('\n', "\r\n");
        }
        Ok(Lossless { text: edited }.bytes())
    }

    fn replaced(&self, text: &str, new: &str) -> String {
        let Some((start, end)) = self.limits(text) else { return text.to_owned() };
        let (within, mut edited) = (&text[..end], text[..start].to_owned());
        // Matches begin at `start`, but see what stands before it.
        let (mut from, mut copied) = (start, start);
        while let Some(captures) = self.pattern.captures_at(within, from) {
            let found = range(&captures);
            // An empty match right behind another match is none.
            if !(found.is_empty() && found.start == copied && copied > start) {
                edited.push_str(&within[copied..found.start]);
                captures.expand(new, &mut edited);
                copied = found.end;
            }
            from = match within[found.end..].chars().next() {
                _ if !found.is_empty() => found.end,
                Some(next) => found.end + next.len_utf8(),
                None => break,
            };
        }
        edited.push_str(&text[copied..]);
        edited
    }

    /// Where replacing begins and ends; none where a limit is not there.
    fn limits(&self, text: &str) -> Option<(usize, usize)> {
        let start = match &self.after {
            Some(after) => after.find(text)?.end(),
            None => 0,
        };
        let end = match &self.before {
            Some(before) => before.find_at(text, start)?.start(),
            None => text.len(),
        };
        Some((start, end))
    }
}

fn range(captures: &Captures<'_>) -> std::ops::Range<usize> {
    // Group 0 is the whole match and always there.
    captures.get(0).map(|found| found.range()).unwrap_or_default()
}

/// Whether all lines end with `\r\n`.
fn ends_with_returns(text: &[u8]) -> bool {
    let mut lines =
        text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")).peekable();
    lines.peek().is_some() && lines.all(|line| line.ends_with(b"\r\n"))
}

/// The groups that a replacement refers to, as [`Captures::expand`] reads them.
fn references(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some(braced) = rest.strip_prefix('{') {
            if let Some(end) = braced.find('}') {
                found.push(&braced[..end]);
                rest = &braced[end + 1..];
            }
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            if end > 0 {
                found.push(&rest[..end]);
            }
            rest = &rest[end..];
        }
    }
    found
}

/// Why an edit is refused.
#[derive(Debug, PartialEq)]
enum Refused {
    /// Replacing again changes the text again: this line, into that.
    Grows((String, String)),
    /// The text holds characters that stand for bytes here.
    Reserved,
}

/// The first line that differs, in both texts.
fn first_difference(one: &[u8], other: &[u8]) -> (String, String) {
    let mut others = other.split(|&byte| byte == b'\n');
    for line in one.split(|&byte| byte == b'\n') {
        let other = others.next().unwrap_or_default();
        if line != other {
            return (shown(line), shown(other));
        }
    }
    (String::new(), shown(others.next().unwrap_or_default()))
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if text.chars().count() <= 80 {
        text.into_owned()
    } else {
        text.chars().take(80).chain(['…']).collect()
    }
}

struct Wanted {
    path: PathBuf,
    edit: Edit,
    ownership: Ownership,
}

impl Wanted {
    fn file(&self) -> TextEdit<'_> {
        TextEdit { path: &self.path, create: false, takes_away: false, ownership: &self.ownership }
    }

    fn edited(&self, text: &[u8], sensitive: bool) -> Result<Vec<u8>, Problem> {
        let path = self.path.display();
        self.edit.apply(text).map_err(|refused| match refused {
            Refused::Grows(_) if sensitive => {
                Problem::new(format!("replacing in {path} never ends: the next run would replace again"))
                    .hint("`match` must not match what `text` makes of it, or give the same again")
            }
            Refused::Grows((once, twice)) => Problem::new(format!(
                "replacing in {path} never ends: it makes {once:?}, and the next run would make {twice:?} of it"
            ))
            .hint("`match` must not match what `text` makes of it, or give the same again: `^name$`, not `name`"),
            Refused::Reserved => Problem::new(format!(
                "{path} holds characters from U+10FE80 to U+10FEFF, which stand for other things here"
            ))
            .hint("`line` and `block` edit such a file"),
        })
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
        self.file().look(context, |text| self.edited(text, context.sensitive))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let path = &self.path;
        let stat = context.node.stat(path).doing(format_args!("looking at {}", path.display()))?;
        if stat.is_none() && !context.node.may_appear() {
            return Err(Problem::new(format!("there is no file {}", path.display()))
                .hint("a `file` task makes it; `replace` edits only what is there"));
        }
        self.file().change(context, |text| self.edited(text, context.sensitive))
    }

    fn edit(&self, text: &[u8], context: &Context<'_>) -> Option<Result<Vec<u8>, Problem>> {
        Some(self.edited(text, context.sensitive))
    }
}
