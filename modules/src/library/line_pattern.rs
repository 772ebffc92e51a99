//! Regular expressions that users write to find lines.

use regex_lite::Regex;

use crate::ParamError;

/// An expression that is asked line by line.
#[derive(Clone, Debug)]
pub struct LinePattern {
    regex: Regex,
    /// What every line begins with that matches. Nearly all expressions begin so, and nearly no lines.
    start: Box<[u8]>,
}

impl LinePattern {
    /// Reads what a user wrote.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(name: &str, pattern: &str) -> Result<Self, ParamError> {
        let regex = Regex::new(pattern).map_err(|error| {
            ParamError::new(name, format!("is not a regular expression: {error} in {pattern:?}"))
        })?;
        Ok(Self { regex, start: literal_start(pattern).as_bytes().into() })
    }

    /// Whether a line matches; bytes that are no UTF-8 count as replacement characters.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        line.starts_with(&self.start) && self.regex.is_match(&String::from_utf8_lossy(line))
    }
}

/// The text between `^` and the first thing that is more than a text; empty where that is not plain.
fn literal_start(pattern: &str) -> &str {
    // Flags may change what stands before them: `a(?i)?` repeats the letter.
    let is_simple = |rest: &&str| !rest.contains('|') && !rest.contains("(?");
    let Some(rest) = pattern.strip_prefix('^').filter(is_simple) else { return "" };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" \t_-/=:;,@%&~'\"<>!#".contains(&byte);
    let end = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
    match rest.as_bytes().get(end) {
        // It may stand there no time at all; and `+` may itself be repeated: `a+*`.
        Some(b'?' | b'*' | b'{' | b'+') => &rest[..end.saturating_sub(1)],
        // Another alphabet: what repeats may be a part of what is one letter there.
        Some(byte) if !byte.is_ascii() => &rest[..end.saturating_sub(1)],
        _ => &rest[..end],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_line_begins_with() {
        for (pattern, start) in [
            ("^PermitRootLogin ", "PermitRootLogin "),
            ("^option_7 *=", "option_7"),
            ("^ab?c", "a"),
            ("^ab{0,2}", "a"),
            ("^ab+", "a"),
            ("^a+*", ""),
            ("^a", "a"),
            ("^a*", ""),
            ("^#?Port", ""),
            ("^\\s*Port", ""),
            ("^a|b", ""),
            ("^(?i)port", ""),
            ("(?i)^port", ""),
            ("^port(?i)s", ""),
            ("^a(?i)?", ""),
            ("^port(s)", "port"),
            ("port", ""),
            ("^ä", ""),
            ("^aä", ""),
            ("^^a", ""),
            ("^$", ""),
            ("", ""),
        ] {
            assert_eq!(literal_start(pattern), start, "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn a_line_matches_exactly_where_the_expression_does(
            pattern in "\\^?[ab]{0,3}([*+?]|\\{0,1\\}|\\||\\(b\\)|\\.|\\[ab\\]|\\$|\\(\\?i\\)|ä)?[ab*+?|]{0,2}",
            line in "[abABä]{0,4}",
        ) {
            if let Ok(regex) = Regex::new(&pattern) {
                let pattern = LinePattern::compile("match", &pattern).unwrap();
                prop_assert_eq!(pattern.matches(line.as_bytes()), regex.is_match(&line));
            }
        }
    }
}
