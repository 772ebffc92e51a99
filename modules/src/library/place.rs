//! Where new lines go in a text, as users say it: after or before what an expression matches, or at the end.

use super::{line_pattern::LinePattern, text_edit::Lines};
use crate::ParamError;

/// Where new lines go.
#[derive(Debug)]
pub enum Place {
    /// At the end.
    End,
    /// After the last line that matches; without one, at the end.
    After(LinePattern),
    /// Before the last line that matches; without one, at the end.
    Before(LinePattern),
}

impl Place {
    /// Of the parameters `after` and `before`.
    ///
    /// # Errors
    /// When both are given, or one is no regular expression.
    pub fn given(after: Option<String>, before: Option<String>) -> Result<Self, ParamError> {
        match (after, before) {
            (Some(_), Some(_)) => Err(ParamError::new("before", "cannot be given together with `after`")),
            (Some(after), None) => LinePattern::compile("after", &after).map(Self::After),
            (None, Some(before)) => LinePattern::compile("before", &before).map(Self::Before),
            (None, None) => Ok(Self::End),
        }
    }

    /// The index that the first new line gets.
    #[must_use]
    pub fn index(&self, lines: &Lines<'_>) -> usize {
        let last =
            |pattern: &LinePattern| lines.as_slice().iter().rposition(|line| pattern.matches(&line.text));
        let found = match self {
            Self::End => None,
            Self::After(anchor) => last(anchor).map(|index| index + 1),
            Self::Before(anchor) => last(anchor),
        };
        found.unwrap_or(lines.as_slice().len())
    }
}
