//! Unified diffs of text contents, bounded; none for binary and large ones.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use similar::{
    DiffOp, DiffTag,
    algorithms::{Capture, Compact, Replace, myers},
    group_diff_ops,
};

/// Contents above this many bytes are told by digest and size, not by diff.
pub const DIFF_LIMIT: usize = 256 * 1024;
/// A diff longer than this many bytes is cut, with a line that says so.
const DIFF_OUTPUT_LIMIT: usize = 64 * 1024;
/// After this a diff is finished coarsely.
const DIFF_TIME: Duration = Duration::from_millis(200);
/// How many lines are shown around a change.
const CONTEXT: usize = 3;

/// The unified diff of two texts; none where one of them is binary or large.
#[must_use]
pub fn text_diff(before: &[u8], after: &[u8]) -> Option<String> {
    if before.len() > DIFF_LIMIT || after.len() > DIFF_LIMIT {
        return None;
    }
    let mut text = unified(as_text(before)?, as_text(after)?);
    if text.len() > DIFF_OUTPUT_LIMIT {
        let mut end = DIFF_OUTPUT_LIMIT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = text[..end].rfind('\n').map_or(0, |at| at + 1);
        let left = text[cut..].lines().count();
        text.truncate(cut);
        text.push_str(&format!("… {left} more lines\n"));
    }
    Some(text)
}

fn as_text(bytes: &[u8]) -> Option<&str> {
    if bytes.contains(&0) {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

/// Not by `similar::TextDiff`: that compiles every algorithm for every way to hold lines, a twentieth of the
/// agent. Here lines get numbers and one algorithm compares those.
fn unified(before: &str, after: &str) -> String {
    let (before, after) = (lines(before), lines(after));
    let mut known = HashMap::new();
    let old = numbers(&mut known, &before);
    let new = numbers(&mut known, &after);
    let mut hook = Compact::new(Replace::new(Capture::new()), &old[..], &new[..]);
    let deadline = Some(Instant::now() + DIFF_TIME);
    let Ok(()) = myers::diff_deadline(&mut hook, &old[..], 0..old.len(), &new[..], 0..new.len(), deadline);
    let mut text = String::new();
    for hunk in group_diff_ops(hook.into_inner().into_inner().into_ops(), CONTEXT) {
        write_hunk(&mut text, &hunk, &before, &after);
    }
    text
}

/// The lines of a text with their ends: `\n`, `\r\n` or a lone `\r`.
fn lines(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' || *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
            lines.push(&text[start..=at]);
            start = at + 1;
        }
    }
    if start < bytes.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// The same number for the same line.
fn numbers<'a>(known: &mut HashMap<&'a str, usize>, lines: &[&'a str]) -> Vec<usize> {
    lines
        .iter()
        .map(|line| {
            let next = known.len();
            *known.entry(line).or_insert(next)
        })
        .collect()
}

fn write_hunk(text: &mut String, hunk: &[DiffOp], before: &[&str], after: &[&str]) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let old = show_range(first.old_range().start, last.old_range().end);
    let new = show_range(first.new_range().start, last.new_range().end);
    text.push_str(&format!("@@ -{old} +{new} @@\n"));
    for op in hunk {
        if op.tag() == DiffTag::Equal {
            write_lines(text, ' ', &before[op.old_range()]);
        } else {
            write_lines(text, '-', &before[op.old_range()]);
            write_lines(text, '+', &after[op.new_range()]);
        }
    }
}

fn write_lines(text: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        text.push(mark);
        text.push_str(line);
        if !line.ends_with(['\n', '\r']) {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Lines are counted from 1; an empty range is named by the line before it.
fn show_range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_a_diff_and_binaries_have_none() {
        assert_eq!(text_diff(b"a\nb\n", b"a\nc\n").unwrap(), "@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        assert_eq!(text_diff(b"a\0b", b"a"), None);
        assert_eq!(text_diff(&[0xff, 0xfe], b"a"), None);
    }

    #[test]
    fn a_long_diff_is_cut_at_a_line() {
        let long: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let diff = text_diff(b"", long.as_bytes()).unwrap();
        assert!(diff.len() < 70_000 && diff.ends_with(" more lines\n"), "{}", diff.len());
    }

    /// As `similar::TextDiff` says it, which was what users saw first.
    fn expected(before: &str, after: &str) -> String {
        let diff = similar::TextDiff::configure().timeout(DIFF_TIME).diff_lines(before, after);
        diff.unified_diff().context_radius(CONTEXT).to_string()
    }

    proptest::proptest! {
        #[test]
        fn diffs_are_those_of_whole_texts(before in "([abc]{0,2}(\n|\n|\n|\r|\r\n)){0,40}[ab]?", after in "([abc]{0,2}(\n|\n|\n|\r|\r\n)){0,40}[ab]?") {
            proptest::prop_assert_eq!(unified(&before, &after), expected(&before, &after));
        }

        #[test]
        fn edits_of_long_texts_are_too(places in proptest::collection::vec((0_usize..300, 0_u8..3), 0..12)) {
            let before: Vec<String> = (0..300).map(|n| format!("line {}\n", n % 90)).collect();
            let mut after = before.clone();
            for (place, how) in places {
                match how {
                    0 => after[place].clear(),
                    1 => after[place] = format!("new {place}\n"),
                    _ => after[place].push_str("added\n"),
                }
            }
            let (before, after) = (before.concat(), after.concat());
            proptest::prop_assert_eq!(unified(&before, &after), expected(&before, &after));
        }
    }
}
