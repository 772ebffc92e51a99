//! Patterns of file names, over bytes: a name need not be UTF-8.

/// A pattern: `*` stands for any characters but `/`, `**` for any at all, `?` for one character but `/`,
/// `[a-z]` for one of these and `[!a-z]` for one of the others.
///
/// One without `/` is compared with the last part of a path, one with `/` with the whole path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
    whole_path: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Part,
    /// `**`; as `**/` it stands for whole folders, none of them included: `**/x` is `x`, too.
    Any {
        folders: bool,
    },
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, a fragment.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let trimmed = pattern.strip_suffix('/').unwrap_or(pattern);
        let whole_path = trimmed.contains('/');
        let mut rest = trimmed.strip_prefix('/').unwrap_or(trimmed).as_bytes();
        if rest.is_empty() {
            return Err(format!("has the empty pattern {pattern:?}"));
        }
        let mut tokens = Vec::new();
        loop {
            rest = match rest {
                [] => return Ok(Self { tokens, whole_path }),
                [b'*', b'*', b'/', rest @ ..] => {
                    tokens.push(Token::Any { folders: true });
                    rest
                }
                [b'*', b'*', rest @ ..] => {
                    tokens.push(Token::Any { folders: false });
                    rest
                }
                [b'*', rest @ ..] => {
                    tokens.push(Token::Part);
                    rest
                }
                [b'?', rest @ ..] => {
                    tokens.push(Token::One);
                    rest
                }
                [b'\\', byte, rest @ ..] => {
                    tokens.push(Token::Byte(*byte));
                    rest
                }
                [b'[', rest @ ..] => {
                    let (token, rest) =
                        class(rest).ok_or_else(|| format!("has a `[` without its `]` in {pattern:?}"))?;
                    tokens.push(token);
                    rest
                }
                [byte, rest @ ..] => {
                    tokens.push(Token::Byte(*byte));
                    rest
                }
            }
        }
    }

    /// Whether a relative path matches.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let compared =
            if self.whole_path { path } else { path.rsplit(|&byte| byte == b'/').next().unwrap_or(path) };
        matches(&self.tokens, compared)
    }
}

fn class(rest: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, mut rest) = match rest {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [] => return None,
            [b']', rest @ ..] if !ranges.is_empty() => return Some((Token::Class { negated, ranges }, rest)),
            [low, b'-', high, rest @ ..] if *high != b']' => {
                ranges.push((*low, *high));
                rest
            }
            [byte, rest @ ..] => {
                ranges.push((*byte, *byte));
                rest
            }
        };
    }
}

/// Keeps the places of the text that the tokens so far can have reached: time is the product of both
/// lengths, whatever the pattern.
fn matches(tokens: &[Token], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        let mut open = false;
        for at in 0..=text.len() {
            match token {
                Token::Part => {
                    open = reached[at] || (open && text[at - 1] != b'/');
                    next[at] = open;
                }
                Token::Any { folders } => {
                    let boundary = !folders || (at > 0 && text[at - 1] == b'/');
                    next[at] = reached[at] || (open && boundary);
                    open |= reached[at];
                }
                single if reached[at] => {
                    if let Some(length) = one(single, &text[at..]) {
                        next[at + length] = true;
                    }
                }
                _ => {}
            }
        }
        reached = next;
    }
    reached[text.len()]
}

/// How many bytes one token takes; none where it does not match.
fn one(token: &Token, text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let fits = match token {
        Token::Byte(byte) => *byte == first,
        Token::One => {
            // The rest of a UTF-8 character belongs to it.
            let more = text[1..].iter().take_while(|&&byte| first >= 0xc0 && (0x80..0xc0).contains(&byte));
            return (first != b'/').then(|| 1 + more.count());
        }
        Token::Class { negated, ranges } => {
            first != b'/' && ranges.iter().any(|&(low, high)| (low..=high).contains(&first)) != *negated
        }
        Token::Part | Token::Any { .. } => false,
    };
    fits.then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_names_at_any_depth() {
        assert!(matches("*.swp", "a/b/.x.swp"));
        assert!(matches(".git", "a/.git"));
        assert!(!matches(".git", "a/.gitignore"));
        assert!(matches("a*b*c", "aXbYbc"));
        assert!(!matches("a*b*c", "aXbYb"));
        assert!(matches("?", "é") && !matches("?", "ab"));
        assert!(matches("[a-c][!0-9]", "bx") && !matches("[a-c][!0-9]", "b1"));
        assert!(matches("[]x]", "]"));
        assert!(matches("\\*", "*") && !matches("\\*", "x"));
        assert!(matches("cache/", "a/cache"));
    }

    #[test]
    fn a_pattern_with_a_slash_is_for_the_whole_path() {
        assert!(matches("a/*.o", "a/x.o"));
        assert!(!matches("a/*.o", "a/b/x.o"));
        assert!(!matches("a/*.o", "b/a/x.o"));
        assert!(matches("/x", "x") && !matches("/x", "a/x"));
        assert!(matches("a/**", "a/b/c"));
        assert!(matches("**/x", "x") && matches("**/x", "a/b/x"));
        assert!(matches("a/**/x", "a/x") && matches("a/**/x", "a/b/c/x"));
        assert!(!matches("**/x", "ax"));
        assert!(!matches("a/**/x", "a/bx"));
    }

    #[test]
    fn names_need_not_be_utf8() {
        assert!(Glob::parse("*.o").unwrap().matches(b"\xff\xfe.o"));
        assert!(Glob::parse("?").unwrap().matches(b"\xff"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert!(Glob::parse("[a").is_err());
        assert!(Glob::parse("").is_err());
        assert!(Glob::parse("/").is_err());
    }

    #[test]
    fn a_nasty_pattern_ends_soon() {
        assert!(!matches(&"*a".repeat(30), &"a".repeat(29)));
        assert!(!matches("**a**b**c/x", &"ab".repeat(2000)));
    }
}
