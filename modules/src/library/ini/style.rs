//! How a file writes its options: the separator, the blanks around it, the indentation.

use super::document::{Document, ItemKind, OptionLine};
use crate::{ParamError, library::text_edit::Lines};

/// What stands between option and value.
#[derive(Debug)]
pub(super) struct Separator {
    /// `=`, `:` or a blank.
    mark: u8,
    /// With its blanks, where they are wanted so.
    written: Option<Vec<u8>>,
}

impl Separator {
    pub fn given(text: Option<&str>) -> Result<Self, ParamError> {
        let Some(text) = text else { return Ok(Self { mark: b'=', written: None }) };
        let wrong = || ParamError::new("separator", format!("wants `=`, `:` or a blank, not {text:?}"));
        if text.is_empty() || text.contains(['\n', '\r']) {
            return Err(wrong());
        }
        let mark = match text.trim_matches([' ', '\t']) {
            "" => b' ',
            "=" => b'=',
            ":" => b':',
            _ => return Err(wrong()),
        };
        let written = (text.len() > 1 || mark == b' ').then(|| text.as_bytes().to_vec());
        Ok(Self { mark, written })
    }

    pub fn is_blank(&self) -> bool {
        self.mark == b' '
    }

    fn is(&self, byte: u8) -> bool {
        byte == self.mark || (self.is_blank() && byte == b'\t')
    }

    /// Whether a name holds it and could not be told from the value.
    pub fn is_in(&self, name: &str) -> bool {
        name.bytes().any(|byte| self.is(byte))
    }

    /// The parts of an option's line, which is not blank.
    pub fn take_apart(&self, text: &[u8]) -> OptionLine {
        let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
        let end = text.trim_ascii_end().len();
        let found = text[start..end].iter().position(|&byte| self.is(byte)).map(|at| start + at);
        let Some(at) = found else { return OptionLine { key: start..end, value: None } };
        let key_end = start + text[start..at].trim_ascii_end().len();
        let blanks = text[at + 1..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        OptionLine { key: start..key_end, value: Some(at + 1 + blanks) }
    }

    /// Whether a comment is this option, commented out.
    pub fn comments_out(&self, comment: &[u8], key: &[u8]) -> bool {
        let text = comment.trim_ascii_start();
        let marks = text.iter().take_while(|byte| matches!(byte, b'#' | b';')).count();
        let text = text[marks..].trim_ascii();
        let option = self.take_apart(text);
        // Prose does not have one word alone, nor the separator behind it.
        text.get(option.key.clone()) == Some(key) && (option.value.is_some() || marks > 0)
    }
}

/// How a new line is written.
#[derive(Debug)]
pub(super) struct Style {
    indentation: Vec<u8>,
    /// The separator with its blanks.
    pub between: Vec<u8>,
}

impl Style {
    /// As the options near a line are written.
    pub fn of(
        document: &Document,
        section: Option<&[u8]>,
        line: usize,
        lines: &Lines<'_>,
        separator: &Separator,
    ) -> Self {
        let models = document.models(section, line);
        let text_of = |start: usize| lines.as_slice().get(start).map_or(&b""[..], |line| &*line.text);
        let indentation = models.first().map(|item| {
            let text = text_of(item.lines.start);
            text.iter().copied().take_while(|byte| matches!(byte, b' ' | b'\t')).collect()
        });
        let between = || {
            models.iter().find_map(|item| {
                let ItemKind::Option(OptionLine { key, value: Some(value) }) = &item.kind else {
                    return None;
                };
                let text = text_of(item.lines.start);
                let has_value = !text.get(*value..)?.trim_ascii().is_empty();
                has_value.then(|| single_blanks(&text[key.end..*value]))
            })
        };
        let default = match separator.mark {
            b':' => b": ".to_vec(),
            b'=' => b" = ".to_vec(),
            _ => b" ".to_vec(),
        };
        let between = separator.written.clone().or_else(between).unwrap_or(default);
        Self { indentation: indentation.unwrap_or_default(), between }
    }

    /// A new line.
    pub fn line(&self, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
        let mut line = [&self.indentation, key].concat();
        if let Some(value) = value {
            line.extend_from_slice(&self.between);
            line.extend_from_slice(value);
        }
        line.truncate(line.trim_ascii_end().len());
        line
    }
}

/// Blanks that align a column are one blank elsewhere.
fn single_blanks(between: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for &byte in between {
        let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
        if !(is_blank(byte) && text.last().is_some_and(|&last| is_blank(last))) {
            text.push(byte);
        }
    }
    text
}
