//! Where new lines go in a text, as users say it: after or before what an expression matches, or at the end.

use regex_lite::Regex;

use super::text_edit::Lines;
use crate::ParamError;

/// Where new lines go.
#[derive(Debug)]
pub enum Place {
    /// At the end.
    End,
    /// After the last line that matches; without one, at the end.
    After(Regex),
    /// Before the last line that matches; without one, at the end.
    Before(Regex),
}

impl Place {
    /// Of the parameters `after` and `before`.
    ///
    /// # Errors
    /// When both are given, or one is no regular expression.
    pub fn given(after: Option<String>, before: Option<String>) -> Result<Self, ParamError> {
        match (after, before) {
            (Some(_), Some(_)) => Err(ParamError::new("before", "cannot be given together with `after`")),
            (Some(after), None) => compile_pattern("after", &after).map(Self::After),
            (None, Some(before)) => compile_pattern("before", &before).map(Self::Before),
            (None, None) => Ok(Self::End),
        }
    }

    /// The index that the first new line gets.
    #[must_use]
    pub fn index(&self, lines: &Lines<'_>) -> usize {
        let last =
            |pattern: &Regex| lines.as_slice().iter().rposition(|line| pattern.is_match(&line.lossy()));
        let found = match self {
            Self::End => None,
            Self::After(anchor) => last(anchor).map(|index| index + 1),
            Self::Before(anchor) => last(anchor),
        };
        found.unwrap_or(lines.as_slice().len())
    }
}

/// Reads a regular expression that a user wrote.
///
/// # Errors
/// What is wrong with it.
pub fn compile_pattern(name: &str, pattern: &str) -> Result<Regex, ParamError> {
    Regex::new(pattern).map_err(|error| {
        ParamError::new(name, format!("is not a regular expression: {error} in {pattern:?}"))
    })
}
