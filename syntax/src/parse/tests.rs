use crate::*;

fn parsed(text: &str) -> Node {
    let sources = Sources::new();
    let file = sources.add("a.yaml", text.to_owned());
    parse(&sources, file).unwrap_or_else(|errors| panic!("{}", errors.render(&sources, Style::plain())))
}

fn json(text: &str) -> String {
    serde_json::to_string(&parsed(text)).unwrap()
}

fn refused(text: &str) -> String {
    let sources = Sources::new();
    let file = sources.add("a.yaml", text.to_owned());
    parse(&sources, file).expect_err("is refused").render(&sources, Style::plain())
}

#[test]
fn values() {
    assert_eq!(json(""), "null");
    assert_eq!(json("# only a comment\n"), "null");
    assert_eq!(
        json("a: yes\nb: 0644\nc: '0644'\nd: [1, 2.5, ~]\n"),
        r#"{"a":"yes","b":644,"c":"0644","d":[1,2.5,null]}"#
    );
    assert_eq!(json("1: a\ntrue: b\n"), r#"{"1":"a","true":"b"}"#);
    assert_eq!(json("a: !!str 12\nb: !!float 1\n"), r#"{"a":"12","b":1.0}"#);
    assert_eq!(json("\u{feff}a: b\r\nc: |\r\n  x\r\n  y\r\n"), "{\"a\":\"b\",\"c\":\"x\\ny\\n\"}");
    assert_eq!(parsed("0644").raw(), Some("0644"));
}

#[test]
fn merges_and_aliases() {
    let text = "base: &b {x: 1, y: 1}\nmore: &m {y: 2, z: 2}\none:\n  <<: *b\n  x: 0\ntwo:\n  <<: [*b, *m]\n";
    assert_eq!(
        json(text),
        r#"{"base":{"x":1,"y":1},"more":{"y":2,"z":2},"one":{"x":0,"y":1},"two":{"x":1,"y":1,"z":2}}"#
    );
}

#[test]
fn spans_cover_what_was_written() {
    let sources = Sources::new();
    let text = "a:\n  b: [1, 2]\n  c: 'x'\n\n# comment\nd: |\n  one\n  two\n\ne: *no\n"
        .replace("e: *no\n", "e: &k v\nf: *k\n");
    let file = sources.add("a.yaml", text);
    let node = parse(&sources, file).unwrap();
    let slice = |key: &str| sources.slice(node.get(key).unwrap().span);
    assert_eq!(slice("a"), "b: [1, 2]\n  c: 'x'");
    assert_eq!(slice("d"), "one\n  two");
    assert_eq!(slice("f"), "v");
    assert_eq!(sources.slice(node.get("a").unwrap().get("b").unwrap().span), "[1, 2]");
}

#[test]
fn several_errors_at_once() {
    insta::assert_snapshot!(refused(
        "a: 1\nb: !vault x\na: 2\nport: {{ port }}\n? [x]\n: y\nbig: 99999999999999999999\nc: *nowhere\n"
    ));
}

#[test]
fn syntax_errors() {
    let all = [
        "a: b: c\n",
        "a:\n\tb: c\n",
        "a: [1, 2\nb: 3\n",
        "a: \"unclosed\nb: c\n",
        "a: {{ foo }}/x\n",
        "a: {% if x %}\n",
        "- a\nb: c\n",
        "a: 1\n b: 2\n",
        "a: @x\n",
        "a: 'x' y\n",
        "a: 1\n---\nb: 2\n",
        "a: &x [*x]\n",
        "a: 1\nb\nc: 2\n",
        "a: {x: 1\n",
    ];
    insta::assert_snapshot!(all.map(refused).join("\n"));
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let previous = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![previous; 10].join(", "));
    }
    assert!(refused(&text).contains("too many values"));
}

#[test]
fn deep_nesting_is_refused() {
    assert!(refused(&format!("{}{}", "[".repeat(150), "]".repeat(150))).contains("levels deep"));
    assert!(refused(&"[".repeat(100_000)).contains("deep"));
    assert!(json(&format!("{}{}", "[".repeat(90), "]".repeat(90))).len() == 180);
}

#[test]
fn a_part_keeps_the_places_of_its_file() {
    let sources = Sources::new();
    let file = sources.add("--set", "ports=[80, no: x]".into());
    let error =
        parse_part(&sources, Span::new(file, 6, 17)).map(|node| serde_json::to_string(&node).unwrap());
    assert_eq!(error.unwrap(), r#"[80,{"no":"x"}]"#);
    let file = sources.add("--set", "x={a: 1, a: 2}".into());
    let errors = parse_part(&sources, Span::new(file, 2, 14)).unwrap_err();
    assert_eq!(sources.place(errors.iter().next().unwrap().primary.as_ref().unwrap().span), "--set:1:10");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ \\t\\n:\\-\\[\\]{}&*!|>'\"%@a-c0-9.#,?~<é]{0,60}") {
        let sources = Sources::new();
        let file = sources.add("a.yaml", text);
        if let Err(errors) = parse(&sources, file) {
            errors.render(&sources, Style { color: true, width: Some(40) });
        }
    }
}
