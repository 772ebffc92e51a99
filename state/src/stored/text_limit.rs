//! Bounds for texts that come from nodes: a run of a thousand hosts must not fill the disk
//! because one command prints without end.

use std::borrow::Cow;

/// The longest diff or output kept, in bytes.
const LONG_TEXT: usize = 64 << 10;
/// The longest error, hint or name kept, in bytes.
const SHORT_TEXT: usize = 4 << 10;
/// How much of diffs and outputs one host may keep in all, in bytes.
const PER_HOST: usize = 1 << 20;

/// What is left for the long texts of one host.
pub(crate) struct TextBudget(usize);

impl TextBudget {
    pub(crate) fn new() -> Self {
        Self(PER_HOST)
    }

    /// A diff or output, cut to what there is room for.
    pub(crate) fn long(&mut self, text: &str) -> String {
        let kept = cut(text, LONG_TEXT.min(self.0));
        self.0 -= kept.len().min(self.0);
        kept.into_owned()
    }

    /// The same for a text that may be absent.
    pub(crate) fn long_option(&mut self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.long(text))
    }
}

/// An error, hint or name, cut when it is absurdly long.
pub(crate) fn short(text: &str) -> String {
    cut(text, SHORT_TEXT).into_owned()
}

fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let kept = &text[..text.floor_char_boundary(limit)];
    let line_end = if kept.is_empty() || kept.ends_with('\n') { "" } else { "\n" };
    Cow::Owned(format!("{kept}{line_end}[{} more bytes were not stored]", text.len() - kept.len()))
}

#[cfg(test)]
mod tests {
    use super::{LONG_TEXT, PER_HOST, TextBudget, cut};

    #[test]
    fn cuts_between_characters_and_says_what_is_missing() {
        assert_eq!(cut("grün", 5), "grün");
        assert_eq!(cut("grüner", 3), "gr\n[5 more bytes were not stored]");
        assert_eq!(cut("a\nbcd", 2), "a\n[3 more bytes were not stored]");
        assert_eq!(cut("abc", 0), "[3 more bytes were not stored]");
    }

    #[test]
    fn a_host_keeps_no_more_than_its_share() {
        let mut budget = TextBudget::new();
        let endless = "x".repeat(LONG_TEXT * 3);
        let kept: usize = (0..1000).map(|_| budget.long(&endless).len()).sum();
        assert!(kept < PER_HOST + 1000 * 64, "{kept}");
        assert_eq!(budget.long("tiny"), "[4 more bytes were not stored]");
    }
}
