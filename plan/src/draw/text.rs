//! Names as a drawing may show them.

/// The text with every character made visible: control characters and those that turn the direction of writing
/// would break the line, the XML, or deceive the reader.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
        if hidden {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn only_what_cannot_be_seen_is_escaped() {
        assert_eq!(visible("file:/srv/größe \"a\" <b>\\"), "file:/srv/größe \"a\" <b>\\");
        assert_eq!(visible("a\nb\t\u{1b}\u{202e}c\0"), "a\\nb\\t\\u{1b}\\u{202e}c\\u{0}");
    }
}
