//! Texts as XML may hold them: for drawings (SVG) and reports (JUnit), whose texts come from users and nodes.

/// A text for the content of an element or the value of an attribute. Line breaks and tabs stay what they are in both; what is
/// no character of XML 1.0 (section 2.2) must not stand in it, not even escaped, and becomes U+FFFD.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_taken_for_markup() {
        let told = escaped("a<b> & \"c\"\n\td\u{1b}[31m\u{0}\u{ffff}é");
        assert_eq!(told, "a&lt;b&gt; &amp; &quot;c&quot;&#10;&#9;d\u{fffd}[31m\u{fffd}\u{fffd}é");
    }
}
