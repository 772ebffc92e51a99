//! Names of many hosts in few words: `web[1-40,42]`, `db01`, `rack-a-[001-120].example.org`.

use std::{collections::BTreeMap, sync::Arc};

/// Pieces (ranges and single names) that are shown; the rest is counted.
const PIECES: usize = 12;

/// Numbers that are written alike: with so many digits, or (0) without leading zeros.
type Written = BTreeMap<usize, (usize, Vec<u64>)>;

/// Some hosts in one piece of text.
struct Piece {
    /// The place of the first of them.
    place: usize,
    text: String,
    hosts: usize,
}

/// The names as ranges, in order of their first host.
pub fn host_ranges<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut alike: BTreeMap<(&str, &str), Vec<(usize, &str)>> = BTreeMap::new();
    for (place, name) in names.into_iter().enumerate() {
        match taken_apart(name) {
            Some((before, digits, after)) => alike.entry((before, after)).or_default().push((place, digits)),
            None => pieces.push(Piece { place, text: name.to_owned(), hosts: 1 }),
        }
    }
    for ((before, after), found) in alike {
        // `web10` goes with `web09`, and with `web9` where no number has leading zeros.
        let zeros: Vec<usize> = found
            .iter()
            .filter(|(_, digits)| digits.starts_with('0'))
            .map(|(_, digits)| digits.len())
            .collect();
        let mut written: Written = BTreeMap::new();
        for (place, digits) in found {
            // Taken apart only where it is a number.
            let Ok(number) = digits.parse() else { continue };
            let width = if zeros.contains(&digits.len()) { digits.len() } else { 0 };
            written.entry(width).or_insert_with(|| (place, Vec::new())).1.push(number);
        }
        for (width, (place, mut numbers)) in written {
            numbers.sort_unstable();
            numbers.dedup();
            let text = format!("{before}{}{after}", bracketed(&numbers, width));
            pieces.push(Piece { place, text, hosts: numbers.len() });
        }
    }
    pieces.sort_by_key(|piece| piece.place);
    let left: usize = pieces.iter().skip(PIECES).map(|piece| piece.hosts).sum();
    let mut shown: Vec<String> = pieces.into_iter().take(PIECES).map(|piece| piece.text).collect();
    if left > 0 {
        shown.push(format!("… {left} more"));
    }
    shown.join(", ")
}

/// How many hosts, and which.
pub fn counted_ranges(names: &[Arc<str>]) -> String {
    let ranges = host_ranges(names.iter().map(|name| &**name));
    match names.len() {
        1 => ranges,
        many => format!("{many} hosts: {ranges}"),
    }
}

/// `[1-3,7]`; a single number stands without brackets.
fn bracketed(numbers: &[u64], width: usize) -> String {
    let one = |number: u64| format!("{number:0width$}");
    let ranges = ranges(numbers);
    if let [(only, last)] = ranges.as_slice()
        && only == last
    {
        return one(*only);
    }
    let shown = ranges.iter().take(PIECES).map(|&(first, last)| match last - first {
        0 => one(first),
        _ => format!("{}-{}", one(first), one(last)),
    });
    let mut shown: Vec<String> = shown.collect();
    if ranges.len() > shown.len() {
        shown.push(format!("… {} more", ranges.len() - shown.len()));
    }
    format!("[{}]", shown.join(","))
}

/// Takes a name apart at the last number of its first label: what follows is the domain, which has numbers of
/// its own. None where there is no number to count by.
fn taken_apart(name: &str) -> Option<(&str, &str, &str)> {
    let label = name.find('.').unwrap_or(name.len());
    let end = name[..label].rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end].trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let digits = &name[start..end];
    // An address is a name, not a number of something; what does not fit is none that is counted by.
    let counted = start > 0 && digits.parse::<u64>().is_ok();
    counted.then(|| (&name[..start], digits, &name[end..]))
}

/// Runs of numbers that follow each other; first and last.
fn ranges(numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str]) -> String {
        host_ranges(names.iter().copied())
    }

    #[test]
    fn neighbours_become_ranges_and_the_rest_keeps_its_name() {
        assert_eq!(shown(&["web1"]), "web1");
        assert_eq!(shown(&["web1", "web2", "web3"]), "web[1-3]");
        assert_eq!(shown(&["web9", "web10", "web12"]), "web[9-10,12]");
        assert_eq!(shown(&["web08", "web09", "web10", "db"]), "web[08-10], db");
        assert_eq!(shown(&["web1", "web01"]), "web1, web01");
        assert_eq!(
            shown(&["a1.eu2.example", "a2.eu2.example", "a3.eu3.example"]),
            "a[1-2].eu2.example, a3.eu3.example"
        );
        assert_eq!(shown(&["r1-n1", "r1-n2", "r2-n1"]), "r1-n[1-2], r2-n1");
        assert_eq!(shown(&["10.0.0.1", "10.0.0.2"]), "10.0.0.1, 10.0.0.2");
        assert_eq!(
            shown(&["größe7", "größe8", "x99999999999999999999999"]),
            "größe[7-8], x99999999999999999999999"
        );
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn a_thousand_hosts_fit_a_line() {
        let names: Vec<String> = (1..=1000).map(|n| format!("web{n:04}")).collect();
        assert_eq!(host_ranges(names.iter().map(String::as_str)), "web[0001-1000]");
        let odd: Vec<Arc<str>> = (0..500).map(|n| format!("web{}", n * 2 + 1).into()).collect();
        let text = counted_ranges(&odd);
        assert!(text.starts_with("500 hosts: web[1,3,5,") && text.ends_with(",… 488 more]"), "{text}");
        let words: Vec<String> = (0..30).map(|n| format!("h{}", "x".repeat(n))).collect();
        let text = host_ranges(words.iter().map(String::as_str));
        assert!(text.ends_with("… 18 more"), "{text}");
    }
}
