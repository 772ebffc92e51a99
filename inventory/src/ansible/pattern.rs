//! Host patterns of Ansible inventories: `web[01:16].example.org:2222`, `[2001:db8::1]:22`.
//!
//! The rules are those of ansible-core: `parsing/utils/addresses.py` says what an address with a port is, and
//! `expand_hostname_range` what a range stands for. They are not those of our own ranges ([`crate::range`]).

use std::net::Ipv6Addr;

use crate::range::MOST_HOSTS;

/// The names a pattern stands for, and the port behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hosts {
    pub names: Vec<String>,
    pub port: Option<u32>,
}

/// What is wrong with a pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("it ends in `:`, which belongs before a port")]
    Colon,
    #[error("`---` is how YAML files begin")]
    Yaml,
    #[error("a range is `[first:last]` or `[first:last:step]`")]
    Shape,
    #[error("a range has no last value")]
    NoEnd,
    #[error("first and last of a range that begins with 0 are equally long")]
    Width,
    #[error("a range counts up")]
    Descending,
    #[error("a range takes numbers or single letters, and a step above 0")]
    NotARange,
    #[error("it stands for more than {MOST_HOSTS} hosts")]
    TooMany,
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Reads a pattern.
pub(crate) fn expand(text: &str) -> Result<Hosts, PatternError> {
    let (pattern, port) = parse_address(text).unwrap_or((text, None));
    if text.trim().ends_with(':') && port.is_none() {
        return Err(PatternError::Colon);
    }
    let mut names = Vec::new();
    ranges(pattern, &mut names)?;
    if names.iter().any(|name| name.trim() == "---") {
        return Err(PatternError::Yaml);
    }
    Ok(Hosts { names, port })
}

/// Expands the first range, then those behind it.
fn ranges(pattern: &str, names: &mut Vec<String>) -> Result<(), PatternError> {
    let Some(open) = pattern.find('[') else {
        if names.len() >= MOST_HOSTS {
            return Err(PatternError::TooMany);
        }
        names.push(pattern.to_owned());
        return Ok(());
    };
    let close = pattern.find(']').filter(|close| *close > open).ok_or(PatternError::Shape)?;
    let (head, inside, tail) = (&pattern[..open], &pattern[open + 1..close], &pattern[close + 1..]);
    let bounds: Vec<&str> = inside.split(':').collect();
    let (first, last, step) = match bounds.as_slice() {
        [first, last] => (*first, *last, "1"),
        [first, last, step] => (*first, *last, *step),
        _ => return Err(PatternError::Shape),
    };
    let first = if first.is_empty() { "0" } else { first };
    if last.is_empty() {
        return Err(PatternError::NoEnd);
    }
    let width = if first.starts_with('0') && first.len() > 1 { first.len() } else { 0 };
    if width > 0 && width != last.len() {
        return Err(PatternError::Width);
    }
    let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or(PatternError::NotARange)?;
    let mut add = |value: &str| ranges(&format!("{head}{value}{tail}"), names);
    match (LETTERS.find(first), LETTERS.find(last)) {
        (Some(from), Some(to)) if first.len() == 1 && last.len() == 1 => {
            if from > to {
                return Err(PatternError::Descending);
            }
            LETTERS[from..=to].chars().step_by(step).try_for_each(|letter| add(&letter.to_string()))
        }
        _ => {
            let number = |text: &str| text.parse::<u64>().map_err(|_| PatternError::NotARange);
            // Counted down, Ansible's range is empty.
            let (from, to) = (number(first)?, number(last)?);
            if to.saturating_sub(from) / step as u64 >= MOST_HOSTS as u64 {
                return Err(PatternError::TooMany);
            }
            (from..=to).step_by(step).try_for_each(|value| add(&format!("{value:0width$}")))
        }
    }
}

/// The address and the port of what can be one; none for anything else, which then is a name as it stands.
fn parse_address(text: &str) -> Option<(&str, Option<u32>)> {
    let (mut address, mut port) = (text, None);
    if let Some((before, digits)) = text.rsplit_once(':')
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        let bracketed = before.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        // `a[1:2]` ends in a bracket as well, but does not begin with one.
        if let Some(inside) = bracketed.filter(|inside| !inside.is_empty()) {
            (address, port) = (inside, Some(digits.parse().ok()?));
        } else if has_no_bare_colon(before) {
            (address, port) = (before, Some(digits.parse().ok()?));
        }
    }
    (is_ipv6(address) || is_hostname(address)).then_some((address, port))
}

/// Whether all colons and brackets are those of ranges.
fn has_no_bare_colon(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find([':', '[', ']']) {
        if !rest[at..].starts_with('[') {
            return false;
        }
        let Some(close) = rest[at..].find(']') else { return false };
        rest = &rest[at + close + 1..];
    }
    true
}

fn is_ipv6(text: &str) -> bool {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']') else { return false };
        let hexadecimal = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_range(&rest[open + 1..open + close], &hexadecimal) {
            return false;
        }
        plain.push_str(&rest[..open]);
        plain.push('0');
        rest = &rest[open + close + 1..];
    }
    plain.push_str(rest);
    plain.contains(':') && plain.parse::<Ipv6Addr>().is_ok()
}

fn is_range(inside: &str, fits: &dyn Fn(&str) -> bool) -> bool {
    let mut parts = inside.split(':');
    let (first, last, step) = (parts.next(), parts.next(), parts.next());
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    first.is_some_and(fits) && last.is_some_and(fits) && step.is_none_or(number) && parts.next().is_none()
}

/// Labels of letters, digits, `_`, `-` and ranges; none begins with `-` or ends with `-` or `_`.
fn is_hostname(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let letter = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let mut rest = text;
    let mut last: Option<char> = None;
    while let Some(next) = rest.chars().next() {
        match next {
            '[' => {
                let Some(close) = rest.find(']') else { return false };
                let inside = &rest[1..close];
                if !is_range(inside, &letter) && !is_range(inside, &digits) {
                    return false;
                }
                last = Some('0');
                rest = &rest[close + 1..];
                continue;
            }
            '.' if last.is_none_or(|last| matches!(last, '.' | '-' | '_')) => return false,
            '.' => {}
            '-' if last.is_none_or(|last| last == '.') => return false,
            '-' | '_' => {}
            letter if letter.is_alphanumeric() => {}
            _ => return false,
        }
        last = Some(next);
        rest = &rest[next.len_utf8()..];
    }
    last.is_some_and(|last| !matches!(last, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        match expand(text) {
            Ok(hosts) => {
                let port = hosts.port.map_or_else(String::new, |port| format!(" port {port}"));
                format!("{}{port}", hosts.names.join(" "))
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn patterns_are_those_of_ansible() {
        for (text, meaning) in [
            ("web1", "web1"),
            ("web1:2222", "web1 port 2222"),
            ("web[01:03].lan:22", "web01.lan web02.lan web03.lan port 22"),
            ("web[1:5:2]", "web1 web3 web5"),
            ("db-[a:c]", "db-a db-b db-c"),
            ("db-[y:B]", "db-y db-z db-A db-B"),
            ("r[1:2]-[a:b]", "r1-a r1-b r2-a r2-b"),
            ("web[:2]", "web0 web1 web2"),
            ("web[3:1]", ""),
            ("10.0.0.[1:2]:2200", "10.0.0.1 10.0.0.2 port 2200"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:22", "2001:db8::1 port 22"),
            ("[2001:db8::[1:2]]:22", "2001:db8::1 2001:db8::2 port 22"),
            ("web_:22", "web_:22"),
            ("_web", "_web"),
            ("über", "über"),
            ("web:", "error: it ends in `:`, which belongs before a port"),
            ("---", "error: `---` is how YAML files begin"),
            ("web[1]", "error: a range is `[first:last]` or `[first:last:step]`"),
            ("web[1:", "error: it ends in `:`, which belongs before a port"),
            ("web[01:100]", "error: first and last of a range that begins with 0 are equally long"),
            ("web[c:a]", "error: a range counts up"),
            ("web[1:x]", "error: a range takes numbers or single letters, and a step above 0"),
            ("web[1:9:0]", "error: a range takes numbers or single letters, and a step above 0"),
            ("web[1:999999999]", "error: it stands for more than 100000 hosts"),
        ] {
            assert_eq!(shown(text), meaning, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"[\[\]:0-9a-cA-C._é-]{0,20}") {
            let _ = expand(&text);
        }
    }
}
