//! Writes a picture as a mermaid flowchart.

use std::fmt::Write as _;

use super::{
    bundle::Link,
    palette::{GREY, INK, STRONG, look},
    picture::Picture,
    text::visible,
};

/// What mermaid draws unless told otherwise by the page it is in; the text itself cannot raise it.
const EDGES: usize = 500;

/// The picture as a flowchart: roles are subgraphs, a link between whole sets is a node that bears its reason.
pub fn write(picture: &Picture<'_>) -> String {
    let mut out = String::from("flowchart LR\n");
    let edges: usize = picture.links.iter().map(strokes).sum();
    if edges > EDGES {
        let _ = writeln!(out, "%% {edges} edges: set maxEdges and maxTextSize where mermaid is started");
    }
    for (role, name) in picture.roles.iter().enumerate() {
        let _ = writeln!(out, "  subgraph r{role}[{}]", quoted(name));
        for task in picture.members(role) {
            let look = look(picture.tasks[task].class);
            let (open, close) = look.mermaid;
            let _ =
                writeln!(out, "    n{task}{open}{}{close}:::{}", quoted(picture.tasks[task].id), look.word);
        }
        for (index, link) in joints(picture).filter(|(_, link)| picture.home(link) == Some(role)) {
            joint(&mut out, "    ", index, link);
        }
        out.push_str("  end\n");
    }
    for (index, link) in joints(picture).filter(|(_, link)| picture.home(link).is_none()) {
        joint(&mut out, "  ", index, link);
    }
    let mut strong = Vec::new();
    let mut drawn = 0;
    for (index, link) in picture.links.iter().enumerate() {
        strokes_of(&mut out, index, link);
        if link.reason.strong() {
            strong.extend(drawn..drawn + strokes(link));
        }
        drawn += strokes(link);
    }
    styles(&mut out, picture, drawn, &strong);
    out
}

fn joints<'a>(picture: &'a Picture<'_>) -> impl Iterator<Item = (usize, &'a Link)> {
    picture.links.iter().enumerate().filter(|(_, link)| link.is_joint())
}

fn joint(out: &mut String, indent: &str, index: usize, link: &Link) {
    let _ = writeln!(out, "{indent}j{index}[{}]:::joint", quoted(&link.reason.to_string()));
}

fn strokes(link: &Link) -> usize {
    let (from, to) = (link.from.len(), link.to.len());
    if link.is_joint() { from + to } else { from * to }
}

fn strokes_of(out: &mut String, index: usize, link: &Link) {
    let (line, arrow) = if link.reason.strong() { ("---", "-->") } else { ("-.-", "-.->") };
    if link.is_joint() {
        for from in &link.from {
            let _ = writeln!(out, "  n{from} {line} j{index}");
        }
        for to in &link.to {
            let _ = writeln!(out, "  j{index} {arrow} n{to}");
        }
        return;
    }
    let reason = quoted(&link.reason.to_string());
    for from in &link.from {
        for to in &link.to {
            let _ = writeln!(out, "  n{from} {arrow}|{reason}| n{to}");
        }
    }
}

fn styles(out: &mut String, picture: &Picture<'_>, drawn: usize, strong: &[usize]) {
    for class in picture.classes() {
        let look = look(class);
        let _ =
            writeln!(out, "  classDef {} fill:{},stroke:{},color:{INK}", look.word, look.fill, look.stroke);
    }
    if joints(picture).next().is_some() {
        let _ = writeln!(out, "  classDef joint fill:none,stroke:none,color:{GREY},font-size:11px");
    }
    if drawn > 0 {
        let _ = writeln!(out, "  linkStyle default stroke:{GREY}");
    }
    if !strong.is_empty() {
        let numbers: Vec<String> = strong.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "  linkStyle {} stroke:{STRONG}", numbers.join(","));
    }
}

/// A label as mermaid reads it. It takes labels for HTML and for markdown, and knows its own entities (`#35;` is `#`);
/// what might mean something there is written as its number.
fn quoted(text: &str) -> String {
    let text = visible(text);
    let mut out = String::from("\"");
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let mut listed = true;
    while let Some(c) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let special = match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '*' | '~' | '\\' | '[' | ']' | '{' | '}' | '|' | ';' => true,
            // Emphasis only at the edge of a word.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            // A list: "- one", "1. one".
            '-' | '+' | '.' | ')' => listed && after == ' ',
            _ => false,
        };
        listed = listed && c.is_ascii_digit();
        if special {
            let _ = write!(out, "#{};", u32::from(c));
        } else {
            out.push(c);
        }
        before = c;
    }
    if text.is_empty() {
        // Nothing between quotes is a syntax error.
        out.push(' ');
    }
    out.push('"');
    if out.contains('#') {
        // Lines with these words lose their last semicolon where a number follows, whatever stands round them.
        out = out.replace("style", "st#121;le").replace("classDef", "class#68;ef");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_means_something_to_mermaid_is_written_as_its_number() {
        assert_eq!(quoted("file:/etc/a_b/c-d.conf"), "\"file:/etc/a_b/c-d.conf\"");
        assert_eq!(quoted("1. a"), "\"1#46; a\"");
        assert_eq!(quoted("_a_ \"b\" #1;"), "\"#95;a#95; #34;b#34; #35;1#59;\"");
        assert_eq!(quoted("style: <a>"), "\"st#121;le: #60;a#62;\"");
        assert_eq!(quoted(""), "\" \"");
    }
}
