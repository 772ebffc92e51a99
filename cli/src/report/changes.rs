//! Changes as lines for a person.

use cm_wire::Change;
use owo_colors::OwoColorize;

/// The lines of a task's changes: `mode 0600 -> 0644`, and a diff where there is one.
pub fn change_lines(changes: &[Change], diff: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes {
        let attribute = one_line(&change.attribute);
        let (before, after) = (change.before.as_deref().map(one_line), change.after.as_deref().map(one_line));
        lines.push(match (before, after) {
            (Some(before), Some(after)) => format!("{attribute} {before} -> {after}"),
            (None, Some(after)) if matches!(change.attribute.as_str(), "restart" | "reload") => {
                format!("{attribute}, because {after} changed")
            }
            (None, Some(after)) => format!("{attribute} {after}"),
            (Some(before), None) => format!("{attribute} {before} -> absent"),
            (None, None) => attribute,
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

/// A text from a node without what a terminal would obey: a node must not be able to move the cursor, to
/// change colours or the title, or to turn the direction of reading round.
pub fn printable(text: &str) -> String {
    clean(text, |c| matches!(c, '\t' | '\n'))
}

/// The same for a place that has one line: a node must not be able to write lines of its own into a report.
pub fn one_line(text: &str) -> String {
    clean(&text.replace('\n', "␤"), |c| c == '\t')
}

/// A text of several lines below a line of ours: its further lines stand further in, and so cannot pass for ours.
pub fn indented(text: &str) -> String {
    printable(text).replace('\n', "\n    ")
}

fn clean(text: &str, kept: impl Fn(char) -> bool) -> String {
    let bad = |c: char| !kept(c) && (c.is_control() || turns_or_hides(c));
    if text.contains(bad) {
        text.chars().map(|c| if bad(c) { '\u{fffd}' } else { c }).collect()
    } else {
        text.to_owned()
    }
}

/// Line separators, and marks that make text read in another order than it is written (Unicode, UAX #9).
fn turns_or_hides(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let wicked = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\rroot\u{8}\u{202e}txt\u{2066}\u{7f}";
        for shown in [printable(wicked), one_line(wicked)] {
            assert!(!shown.contains(|c: char| c.is_control() || turns_or_hides(c)), "{shown:?}");
            assert!(shown.contains("owned") && shown.contains("root"));
        }
        assert_eq!(indented("why\nerror: web2 is lost"), "why\n    error: web2 is lost");
        assert_eq!(printable("a\tb\nc"), "a\tb\nc");
        assert_eq!(one_line("web1: ok\nweb2: ok"), "web1: ok␤web2: ok");
    }

    #[test]
    fn every_part_of_a_change_is_cleaned() {
        let wicked = || "x\u{1b}[31m\ny".to_owned();
        let change = Change::new(&wicked(), Some(wicked()), Some(wicked())).with_diff(Some(wicked()));
        let both =
            [change.clone(), Change { before: None, ..change.clone() }, Change { after: None, ..change }];
        let lines = change_lines(&both, true);
        assert!(lines.iter().all(|line| !line.contains(['\n', '\u{1b}'])), "{lines:?}");
        assert_eq!(lines.len(), 9);
    }
}
