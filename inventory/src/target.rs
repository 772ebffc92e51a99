//! The language of targets: `web`, `web1`, `web,db`, `web:!web03`, `web:&rack_a`, `web[0:3]`, `web*`, `all`, `@failed`.
//!
//! Terms are parted by `,` or `:`. Terms without a sign are joined; then only hosts of every `&` term are kept; then
//! those of `!` terms are taken away, wherever the signs stand. A target of signed terms alone begins with `all`.
//!
//! `name[first:last]` is a slice of the group `name`: positions from 0, both ends included (as in Ansible), negative ones
//! from the end, either end may be left out, `name[2]` is one host. Where a number is padded with zeros, the ends are letters, or
//! `name` is no group, it is a range of host names as in an inventory: `web[01:03]` is web01, web02 and web03.

use std::ops::Range as Bytes;

/// A target, read but not looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target<'t> {
    pub terms: Vec<Term<'t>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Term<'t> {
    pub sign: Sign,
    pub atom: Atom<'t>,
    /// Where the term stands in the text, its sign included.
    pub place: Bytes<usize>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    Join,
    Keep,
    Remove,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Atom<'t> {
    /// `@failed`
    Failed,
    /// A host or group.
    Name(&'t str),
    /// Hosts and groups by `*` and `?`.
    Glob(&'t str),
    /// Anything with brackets; the slice is there if it can be read as one.
    Bracket { text: &'t str, slice: Option<Slice<'t>> },
}

/// Part of a group, by position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slice<'t> {
    pub base: &'t str,
    pub first: i64,
    /// None: to the end.
    pub last: Option<i64>,
    /// One position, which must be there.
    pub single: bool,
    /// A number has leading zeros, as names have and positions do not.
    pub padded: bool,
}

/// What cannot be read, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unreadable {
    pub place: Bytes<usize>,
    pub reason: String,
}

impl<'t> Target<'t> {
    /// Reads what can be read, so that the names in it can be looked up although other terms are wrong.
    pub(crate) fn parse(text: &'t str) -> (Self, Vec<Unreadable>) {
        let mut terms = Vec::new();
        let mut wrong = Vec::new();
        for place in split(text) {
            match term(text, place.clone()) {
                Ok(term) => terms.push(term),
                Err(reason) => wrong.push(Unreadable { place, reason }),
            }
        }
        (Self { terms }, wrong)
    }
}

/// The places of the terms: parted at `,` and `:` outside of brackets, without white space around.
fn split(text: &str) -> Vec<Bytes<usize>> {
    let mut places = Vec::new();
    let (mut start, mut inside) = (0, false);
    let mut add = |from: usize, to: usize| {
        let part = &text[from..to];
        let from = from + (part.len() - part.trim_start().len());
        places.push(from..from + part.trim().len());
    };
    for (at, character) in text.char_indices() {
        match character {
            '[' => inside = true,
            ']' => inside = false,
            ',' | ':' if !inside => {
                add(start, at);
                start = at + 1;
            }
            _ => {}
        }
    }
    add(start, text.len());
    places
}

fn term(text: &str, place: Bytes<usize>) -> Result<Term<'_>, String> {
    let written = &text[place.clone()];
    let (sign, rest) = match written.as_bytes().first() {
        None => return Err("nothing stands here".into()),
        Some(b'!') => (Sign::Remove, &written[1..]),
        Some(b'&') => (Sign::Keep, &written[1..]),
        Some(_) => (Sign::Join, written),
    };
    let atom = match rest {
        "" => return Err("a name belongs after the sign".into()),
        "@failed" => Atom::Failed,
        _ if rest.starts_with('@') => return Err("the only set of this kind is `@failed`".into()),
        _ if rest.starts_with(['!', '&']) => return Err("one sign is enough".into()),
        _ if rest.contains(['[', ']']) => Atom::Bracket { text: rest, slice: slice(rest) },
        _ if rest.contains(['*', '?']) => Atom::Glob(rest),
        _ => Atom::Name(rest),
    };
    Ok(Term { sign, atom, place })
}

fn slice(text: &str) -> Option<Slice<'_>> {
    let (base, inside) = text.strip_suffix(']')?.split_once('[')?;
    if base.is_empty() || inside.contains('[') {
        return None;
    }
    let position = |text: &str| -> Option<Option<i64>> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        match text {
            "" => Some(None),
            _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok().map(Some),
            _ => None,
        }
    };
    let padded = inside.split(':').any(|number| number.len() > 1 && number.starts_with('0'));
    match inside.split_once(':') {
        None => {
            let only = position(inside)??;
            Some(Slice { base, first: only, last: Some(only), single: true, padded })
        }
        Some((first, last)) => Some(Slice {
            base,
            first: position(first)?.unwrap_or(0),
            last: position(last)?,
            single: false,
            padded,
        }),
    }
}

impl Slice<'_> {
    /// The positions the slice means in a list of `count`; None where a single one is not there.
    pub(crate) fn positions(&self, count: usize) -> Option<Bytes<usize>> {
        let length = i64::try_from(count).unwrap_or(i64::MAX);
        let from_end = |position: i64| if position < 0 { position + length } else { position };
        let first = from_end(self.first);
        let last = self.last.map_or(length - 1, from_end);
        if self.single && !(0..length).contains(&first) {
            return None;
        }
        let start = first.clamp(0, length);
        let end = last.saturating_add(1).clamp(start, length);
        // Lossless: both lie within 0..=count.
        Some(start as usize..end as usize)
    }
}

/// Says whether a name fits a glob of `*` (any text) and `?` (one character).
pub(crate) fn glob_fits(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    // Where to go on when the text a star stands for has to be one longer.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g + 1, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    (g, n) = (after_star, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn atoms(text: &str) -> Vec<(Sign, Atom<'_>)> {
        Target::parse(text).0.terms.into_iter().map(|term| (term.sign, term.atom)).collect()
    }

    #[test]
    fn terms_and_signs() {
        assert_eq!(
            atoms("web, db:!web03:&rack_a,@failed"),
            [
                (Sign::Join, Atom::Name("web")),
                (Sign::Join, Atom::Name("db")),
                (Sign::Remove, Atom::Name("web03")),
                (Sign::Keep, Atom::Name("rack_a")),
                (Sign::Join, Atom::Failed),
            ]
        );
        assert!(matches!(atoms("web[0:3]")[0].1, Atom::Bracket { slice: Some(_), .. }));
        assert!(matches!(atoms("web[a:c]")[0].1, Atom::Bracket { slice: None, .. }));
        assert_eq!(Target::parse("web,,!").1.len(), 2);
        assert_eq!(Target::parse("").1[0].reason, "nothing stands here");
    }

    #[test]
    fn slices_count_from_0_and_include_their_end() {
        let of = |text, count| slice(text).unwrap().positions(count);
        assert_eq!(of("web[0:3]", 10), Some(0..4));
        assert_eq!(of("web[1]", 3), Some(1..2));
        assert_eq!(of("web[-1]", 3), Some(2..3));
        assert_eq!(of("web[1:]", 3), Some(1..3));
        assert_eq!(of("web[:1]", 3), Some(0..2));
        assert_eq!(of("web[-2:]", 3), Some(1..3));
        assert_eq!(of("web[5]", 3), None);
        assert_eq!(of("web[2:1]", 3), Some(2..2));
        assert_eq!(of("web[5:9]", 3), Some(3..3));
    }

    #[test]
    fn globs() {
        for (glob, name, fits) in [
            ("web*", "web01", true),
            ("web*", "web", true),
            ("*b*1", "web01", true),
            ("web?", "web", false),
            ("web?", "web1", true),
            ("*", "", true),
            ("a*b*c", "abxbc", true),
            ("a*b*c", "abxb", false),
        ] {
            assert_eq!(glob_fits(glob, name), fits, "{glob} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c0-9é,:!&@\\[\\]*? -]{0,30}") {
            let _ = Target::parse(&text);
        }

        #[test]
        fn slices_stay_inside(first in -20i64..20, last in -20i64..20, count in 0usize..15) {
            let slice = Slice { base: "web", first, last: Some(last), single: false, padded: false };
            let positions = slice.positions(count).unwrap();
            prop_assert!(positions.start <= positions.end && positions.end <= count);
        }
    }
}
