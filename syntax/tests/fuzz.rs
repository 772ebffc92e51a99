//! Damaged YAML: a tree whose places are in its file and that says the same again when it is written as JSON, or
//! errors that can be shown.

use cm_fuzz::{Target, answer, fuzz};
use cm_syntax::{Diagnostics, Node, Sources, Span, Style, Yaml, parse_collecting};

const WORDS: &[&str] = &[
    "a: ",
    "- ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "? ",
    ": ",
    "#",
    "---\n",
    "...\n",
    "!x ",
    "%YAML 1.2\n",
    "{{ x }}",
    "~",
    "0x1f",
    "1e999",
    ".inf",
    "é",
    "\t",
    "\u{feff}",
    "\\u0000",
    "\r\n",
    "- - - ",
    "[[[[",
    "{a: {a: ",
];

const EXAMPLE: &str = "hosts:\n  web1: { address: 10.0.0.1, port: 22 }\ngroups: &g\n  - \"a\\tb\"\n  - 'it''s'\nmore: *g\n\
                       text: |\n  one\n   two\nfolded: >-\n  x\n  y\nnumbers: [1, -2, 0x1f, 1.5, .nan, true, ~]\n\
                       base: &b { x: 1 }\nmerged: { <<: *b, y: 2 }\n";

fn read(text: &str) -> (Sources, Option<Node>, Diagnostics) {
    let sources = Sources::new();
    let file = sources.add("role.yaml", text.to_owned());
    let mut diagnostics = Diagnostics::new();
    let node = parse_collecting(&sources, file, &mut diagnostics);
    (sources, node, diagnostics)
}

/// Whether JSON can say the same.
fn is_json(node: &Node) -> bool {
    match &node.value {
        Yaml::Float(number) => number.is_finite(),
        Yaml::List(items) => items.iter().all(is_json),
        Yaml::Map(entries) => entries.iter().all(|entry| is_json(&entry.value)),
        _ => true,
    }
}

/// Every place is within the file and between characters.
fn check_places(node: &Node, text: &str) {
    let check = |span: Span| {
        let range = span.start as usize..span.end as usize;
        assert!(text.get(range.clone()).is_some(), "{range:?} of {} bytes", text.len());
    };
    check(node.span);
    match &node.value {
        Yaml::List(items) => items.iter().for_each(|item| check_places(item, text)),
        Yaml::Map(entries) => entries.iter().for_each(|entry| {
            check(entry.key.span);
            check_places(&entry.value, text);
        }),
        _ => {}
    }
}

#[test]
fn yaml() {
    let target = Target::new("yaml", WORDS).seed(EXAMPLE);
    fuzz(target, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        let (sources, node, diagnostics) = read(&text);
        let shown = diagnostics.render(&sources, Style::plain());
        if let Some(node) = node.filter(|_| !diagnostics.has_errors()) {
            check_places(&node, &text);
            if is_json(&node) {
                let json = serde_json::to_string(&node).expect("a tree becomes JSON");
                let (_, again, wrong) = read(&json);
                let again = again.unwrap_or_else(|| panic!("{json} is YAML, too: {wrong:?}"));
                assert_eq!(serde_json::to_string(&again).expect("JSON"), json);
            }
        }
        answer(&shown)
    });
}
