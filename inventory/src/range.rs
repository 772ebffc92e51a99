//! Host ranges: `web[01:16]`, `rack[a:c]`, `node[0:10:2]`, also several in one name. Both ends belong to the range.

use thiserror::Error;

/// One range, or all hosts of an inventory, may not be larger than this.
pub(crate) const MOST_HOSTS: usize = 100_000;

/// Why a name with brackets is not a range.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum RangeError {
    #[error("a `[` without its `]`")]
    Unclosed,
    #[error("a `]` without its `[`")]
    Unopened,
    #[error("`[{0}]` is not `[first:last]` with two numbers or two letters")]
    NotARange(String),
    #[error("`[{0}]` counts down")]
    Descending(String),
    #[error("`[{0}]` has a step that is not a number above 0")]
    Step(String),
    #[error("it stands for more than {MOST_HOSTS} hosts")]
    TooMany,
}

/// A name that holds ranges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern<'a> {
    /// The text before each range, and the range.
    pieces: Vec<(&'a str, Range)>,
    tail: &'a str,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    kind: Kind,
    first: u64,
    last: u64,
    step: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// Digits a number has at least, filled with zeros.
    Numbers {
        width: usize,
    },
    Letters,
}

/// One name of a pattern and what its ranges stand for in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Expanded {
    pub name: String,
    pub parts: Vec<Part>,
}

/// What one range stands for in one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// The number; None for a letter.
    pub number: Option<u64>,
    /// As it stands in the name, zeros included.
    pub text: String,
    /// Counted from 0.
    pub index: u64,
}

impl<'a> Pattern<'a> {
    /// Reads a name; None when there is no bracket in it.
    pub(crate) fn parse(name: &'a str) -> Result<Option<Self>, RangeError> {
        let mut pieces = Vec::new();
        let mut rest = name;
        while let Some(open) = rest.find('[') {
            let before = &rest[..open];
            let close = open + rest[open..].find(']').ok_or(RangeError::Unclosed)?;
            if before.contains(']') {
                return Err(RangeError::Unopened);
            }
            pieces.push((before, Range::parse(&rest[open + 1..close])?));
            rest = &rest[close + 1..];
        }
        if rest.contains(']') {
            return Err(RangeError::Unopened);
        }
        let pattern = Self { pieces, tail: rest };
        let count =
            pattern.pieces.iter().try_fold(1u64, |count, (_, range)| count.checked_mul(range.count()));
        match count {
            _ if pattern.pieces.is_empty() => Ok(None),
            Some(count) if count <= MOST_HOSTS as u64 => Ok(Some(pattern)),
            _ => Err(RangeError::TooMany),
        }
    }

    /// The names in order: the last range counts fastest.
    pub(crate) fn expand(&self) -> Vec<Expanded> {
        let mut names = vec![Expanded { name: String::new(), parts: Vec::new() }];
        for (before, range) in &self.pieces {
            names = names
                .iter()
                .flat_map(|so_far| {
                    range.parts().map(|part| {
                        let mut next = so_far.clone();
                        next.name.push_str(before);
                        next.name.push_str(&part.text);
                        next.parts.push(part);
                        next
                    })
                })
                .collect();
        }
        for expanded in &mut names {
            expanded.name.push_str(self.tail);
        }
        names
    }

    /// The names alone.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.expand().into_iter().map(|expanded| expanded.name)
    }
}

impl Range {
    fn parse(inside: &str) -> Result<Self, RangeError> {
        let wrong = || RangeError::NotARange(inside.to_owned());
        let mut fields = inside.split(':');
        let (Some(first), Some(last), step, None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong());
        };
        let step = match step {
            None => 1,
            Some(step) => {
                number(step).filter(|step| *step > 0).ok_or_else(|| RangeError::Step(inside.to_owned()))?
            }
        };
        let range = match (number(first), number(last)) {
            (Some(from), Some(to)) => {
                let padded = first.len() > 1 && first.starts_with('0');
                let width = if padded { first.len() } else { 1 };
                Self { kind: Kind::Numbers { width }, first: from, last: to, step }
            }
            _ => {
                let (from, to) = (letter(first).ok_or_else(wrong)?, letter(last).ok_or_else(wrong)?);
                if from.is_ascii_lowercase() != to.is_ascii_lowercase() {
                    return Err(wrong());
                }
                Self { kind: Kind::Letters, first: from.into(), last: to.into(), step }
            }
        };
        if range.first > range.last {
            return Err(RangeError::Descending(inside.to_owned()));
        }
        Ok(range)
    }

    fn count(&self) -> u64 {
        ((self.last - self.first) / self.step).saturating_add(1)
    }

    fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        (0..self.count()).map(|index| {
            let value = self.first + index * self.step;
            match self.kind {
                Kind::Numbers { width } => {
                    Part { number: Some(value), text: format!("{value:0width$}"), index }
                }
                // Lossless: the ends are ASCII letters.
                Kind::Letters => Part { number: None, text: char::from(value as u8).to_string(), index },
            }
        })
    }
}

fn number(text: &str) -> Option<u64> {
    (text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 15).then(|| text.parse().ok())?
}

fn letter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(*letter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        Pattern::parse(text).unwrap().unwrap().names().collect()
    }

    #[test]
    fn expansion() {
        assert_eq!(names("web[01:03]"), ["web01", "web02", "web03"]);
        assert_eq!(names("web[8:11]x"), ["web8x", "web9x", "web10x", "web11x"]);
        assert_eq!(names("web[08:11]"), ["web08", "web09", "web10", "web11"]);
        assert_eq!(names("r[a:c]"), ["ra", "rb", "rc"]);
        assert_eq!(names("n[0:10:5]"), ["n0", "n5", "n10"]);
        assert_eq!(names("r[A:B]-[1:2]"), ["rA-1", "rA-2", "rB-1", "rB-2"]);
        assert_eq!(names("[00:01]"), ["00", "01"]);
        assert_eq!(names("w[7:7]"), ["w7"]);
        assert!(Pattern::parse("web01").unwrap().is_none());
    }

    #[test]
    fn refusals() {
        for (text, error) in [
            ("web[1:3", "a `[` without its `]`"),
            ("web1:3]", "a `]` without its `[`"),
            ("a]b[1:2]", "a `]` without its `[`"),
            ("web[3:1]", "`[3:1]` counts down"),
            ("web[1]", "`[1]` is not `[first:last]` with two numbers or two letters"),
            ("web[a:3]", "`[a:3]` is not `[first:last]` with two numbers or two letters"),
            ("web[a:C]", "`[a:C]` is not `[first:last]` with two numbers or two letters"),
            ("web[:]", "`[:]` is not `[first:last]` with two numbers or two letters"),
            ("web[1:9:0]", "`[1:9:0]` has a step that is not a number above 0"),
            ("web[0:100000]", "it stands for more than 100000 hosts"),
            ("web[0:999999999999999][0:999999999999999]", "it stands for more than 100000 hosts"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err().to_string(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_of_a_padded_range_stands_once_and_in_order(first in 0u64..500, count in 1u64..200, width in 2usize..5) {
            let text = format!("h[{first:0width$}:{}]", first + count - 1);
            let names = names(&text);
            let wanted: Vec<String> = (first..first + count)
                .map(|n| if format!("{first:0width$}").starts_with('0') { format!("h{n:0width$}") } else { format!("h{n}") })
                .collect();
            prop_assert_eq!(names, wanted);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]:0-9a-cé]{0,20}") {
            if let Ok(Some(pattern)) = Pattern::parse(&text) {
                prop_assert!(pattern.expand().len() <= MOST_HOSTS);
            }
        }
    }
}
