//! Changes as lines for a person.

use cm_wire::Change;
use owo_colors::OwoColorize;

/// The lines of a task's changes: `mode 0600 -> 0644`, and a diff where there is one.
pub fn change_lines(changes: &[Change], diff: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes {
        lines.push(match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!("{} {before} -> {after}", change.attribute),
            (None, Some(after)) if matches!(change.attribute.as_str(), "restart" | "reload") => {
                format!("{}, because {after} changed", change.attribute)
            }
            (None, Some(after)) => format!("{} {after}", change.attribute),
            (Some(before), None) => format!("{} {before} -> absent", change.attribute),
            (None, None) => change.attribute.clone(),
        });
        let text = change.diff.as_deref().filter(|_| diff).unwrap_or_default();
        for line in text.lines() {
            lines.push(match line.as_bytes().first() {
                Some(b'+') => format!("  {}", printable(line).green()),
                Some(b'-') => format!("  {}", printable(line).red()),
                Some(b'@') => format!("  {}", printable(line).cyan()),
                _ => format!("  {}", printable(line)),
            });
        }
    }
    lines
}

/// A text from a node without what a terminal would obey: a node must not be able to move the cursor.
pub fn printable(text: &str) -> String {
    let bad = |c: char| c.is_control() && c != '\t' && c != '\n';
    if text.contains(bad) {
        text.chars().map(|c| if bad(c) { '\u{fffd}' } else { c }).collect()
    } else {
        text.to_owned()
    }
}
