//! From a range in a scalar's decoded text back to the file.
//!
//! Decoding changes only white space (folding, indentation) and, in quotes, escapes. So the characters that are not white
//! space come in the same order on both sides, and lining those up is enough: no second YAML scanner is needed.

use std::ops::Range;

use crate::ScalarStyle;

/// Finds the bytes of `source` (the scalar as written) that hold `range` of `decoded`.
/// None when the range holds nothing but white space or the two do not line up.
pub(crate) fn span_of_range(
    source: &str,
    style: ScalarStyle,
    decoded: &str,
    range: Range<usize>,
) -> Option<Range<usize>> {
    let mut written = Written { source, at: 0, style };
    if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
        written.at = 1;
    }
    let mut found: Option<Range<usize>> = None;
    for (offset, character) in decoded.char_indices() {
        if character.is_whitespace() {
            continue;
        }
        if offset >= range.end && found.is_some() {
            break;
        }
        let place = written.find(|c| !c.0.is_whitespace())?;
        if place.0 != character {
            return None;
        }
        if offset + character.len_utf8() > range.start && (offset < range.end || range.is_empty()) {
            match &mut found {
                Some(found) => found.end = place.1.end,
                None => found = Some(place.1),
            }
        }
    }
    found
}

/// The characters a scalar's source stands for, each with the bytes that spell it.
struct Written<'a> {
    source: &'a str,
    at: usize,
    style: ScalarStyle,
}

impl Iterator for Written<'_> {
    type Item = (char, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = &self.source[start..];
        let first = rest.chars().next()?;
        let (character, length) = match self.style {
            ScalarStyle::SingleQuoted if rest.starts_with("''") => ('\'', 2),
            ScalarStyle::DoubleQuoted if first == '\\' => escape(rest)?,
            _ => (first, first.len_utf8()),
        };
        self.at += length;
        Some((character, start..self.at))
    }
}

/// The character an escape of a double-quoted scalar stands for (YAML 1.2, section 5.7) and its length in bytes.
fn escape(rest: &str) -> Option<(char, usize)> {
    let letter = rest[1..].chars().next()?;
    let hexadecimal = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        // Surrogate pairs do not decode alone; giving up on them shows the whole scalar.
        Some((char::from_u32(code)?, 2 + digits))
    };
    match letter {
        'x' => hexadecimal(2),
        'u' => hexadecimal(4),
        'U' => hexadecimal(8),
        '0' => Some(('\0', 2)),
        'a' => Some(('\x07', 2)),
        'b' => Some(('\x08', 2)),
        'e' => Some(('\x1b', 2)),
        'n' | 'r' | 't' | 'v' | 'f' | 'N' | '_' | 'L' | 'P' | '\t' | '\n' | '\r' => Some((' ', 2)),
        other => Some((other, 1 + other.len_utf8())),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Sources, parse};

    /// Parses `yaml` (a map), looks up `needle` in the decoded text of its first value, and gives what is underlined.
    fn underlined(yaml: &str, needle: &str) -> String {
        let sources = Sources::new();
        let file = sources.add("a.yaml", yaml.to_owned());
        let node = parse(&sources, file).unwrap();
        let value = &node.as_map().unwrap()[0].value;
        let start = value.as_text().unwrap().find(needle).expect("the needle is in the decoded text");
        sources.slice(value.span_within(&sources, start..start + needle.len()))
    }

    #[test]
    fn every_style() {
        assert_eq!(underlined("a: x {{ prot }}\n", "prot"), "prot");
        assert_eq!(underlined("a: multi\n   line {{ prot }}\n", "prot"), "prot");
        assert_eq!(underlined("a: \"é\\t\\\"{{ prot }}\\u00e9\"\n", "prot"), "prot");
        assert_eq!(underlined("a: \"one\n\n  {{ prot }}\\\n  x\"\n", "prot"), "prot");
        assert_eq!(underlined("a: 'it''s {{ prot }}'\n", "prot"), "prot");
        assert_eq!(underlined("a: 'it''s {{ prot }}'\n", "it's"), "it''s");
        assert_eq!(underlined("a: |\n    x\n      {{ prot }}\n    z\n", "prot"), "prot");
        assert_eq!(underlined("a: >-\n    x\n    {{ prot }}\n\n    z\n", "prot"), "prot");
        assert_eq!(underlined("a: |\r\n    x\r\n    {{ prot }}\r\n", "prot"), "prot");
    }

    #[test]
    fn white_space_alone_gives_the_whole_scalar() {
        assert_eq!(underlined("a: 'x y'\n", " "), "'x y'");
    }
}
