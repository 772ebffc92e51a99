//! Unified diffs of text contents, bounded; none for binary and large ones.

use similar::TextDiff;

/// Contents above this many bytes are told by digest and size, not by diff.
pub const DIFF_LIMIT: usize = 256 * 1024;
/// A diff longer than this many bytes is cut, with a line that says so.
const DIFF_OUTPUT_LIMIT: usize = 64 * 1024;

/// The unified diff of two texts; none where one of them is binary or large.
#[must_use]
pub fn text_diff(before: &[u8], after: &[u8]) -> Option<String> {
    if before.len() > DIFF_LIMIT || after.len() > DIFF_LIMIT {
        return None;
    }
    let (before, after) = (as_text(before)?, as_text(after)?);
    let diff = TextDiff::configure().timeout(std::time::Duration::from_millis(200)).diff_lines(before, after);
    let mut text = diff.unified_diff().context_radius(3).to_string();
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
}
