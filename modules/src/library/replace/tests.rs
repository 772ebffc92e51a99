//! What a replacement makes of a text.

use cm_wire::Value;
use proptest::prelude::*;

use super::*;
use crate::library::trial::{Store, at, converge, everywhere, put, task};

fn edit(pattern: &str, text: &str) -> Edit {
    Edit::given(pattern, text.into(), None, None).unwrap()
}

fn edited(pattern: &str, text: &str, file: &str) -> String {
    String::from_utf8(edit(pattern, text).apply(file.as_bytes()).unwrap()).unwrap()
}

#[test]
fn every_match_is_replaced_and_no_match_is_as_wanted() {
    assert_eq!(edited("^#?Port .*$", "Port 2222", "#Port 22\nx\nPort 22"), "Port 2222\nx\nPort 2222");
    assert_eq!(edited("b", "a", "abcb\n"), "aaca\n");
    assert_eq!(edited("x", "y", "abc"), "abc");
    assert_eq!(edited("x", "y", ""), "");
    assert_eq!(edited("^#.*\\n", "", "a\n#b\n#c\nd\n"), "a\nd\n");
}

#[test]
fn matches_may_span_lines() {
    assert_eq!(edited("(?s)<a>.*?</a>", "<a/>", "<a>\nx\n</a>\n<a>y</a>\n"), "<a/>\n<a/>\n");
    assert_eq!(
        edited("\\[x\\]\\na = .*", "[x]\na = 2", "[x]\na = 1\n[y]\na = 1\n"),
        "[x]\na = 2\n[y]\na = 1\n"
    );
}

#[test]
fn groups_are_taken_over() {
    assert_eq!(edited("^(\\w+)\\s+=\\s+(\\w+)$", "$1=$2", "a = b\nc  =  d\n"), "a=b\nc=d\n");
    assert_eq!(edited("^(?<key>a) .*", "${key}x", "a 1\n"), "ax\n");
    assert_eq!(edited("price", "$$5", "price\n"), "$5\n");
}

#[test]
fn what_would_never_end_is_refused() {
    let error = edit("foo", "foobar").apply(b"x\nfoo\n").unwrap_err();
    assert_eq!(error, Refused::Grows(("foobar".into(), "foobarbar".into())));
    assert!(edit("aa", "a").apply(b"aaaa").is_err());
    assert!(edit("^", "# ").apply(b"a\n").is_err());
    // Where nothing matches there is nothing to refuse.
    assert_eq!(edit("foo", "foobar").apply(b"bar").unwrap(), b"bar");
    assert_eq!(edited("foo\\b", "foobar", "foo foobar"), "foobar foobar");
}

#[test]
fn limits_are_kept() {
    let limited = |after: Option<&str>, before: Option<&str>, file: &str| {
        let edit = Edit::given("^a.*", "b".into(), after, before).unwrap();
        String::from_utf8(edit.apply(file.as_bytes()).unwrap()).unwrap()
    };
    let file = "a1\n[x]\na2\n[y]\na3\n";
    assert_eq!(limited(Some("\\[x\\]"), None, file), "a1\n[x]\nb\n[y]\nb\n");
    assert_eq!(limited(None, Some("\\[x\\]"), file), "b\n[x]\na2\n[y]\na3\n");
    assert_eq!(limited(Some("\\[x\\]"), Some("^\\["), file), "a1\n[x]\nb\n[y]\na3\n");
    assert_eq!(limited(Some("nothing"), None, file), file);
    assert_eq!(limited(None, Some("nothing"), file), file);
    // The limit does not begin a line.
    assert_eq!(limited(Some("x"), None, "xab\na\n"), "xab\nb\n");
}

#[test]
fn lines_of_windows_stay_so() {
    assert_eq!(edited("^Port 1$", "Port 2\nx", "Port 1\r\ny\r\n"), "Port 2\r\nx\r\ny\r\n");
    assert_eq!(edited("\\r$", "", "a\r\nb\r\n"), "a\nb\n");
    // Of mixed lines each stays as it is; the carriage return is a character of its line.
    assert_eq!(edited("^b", "c", "a\r\nb\n"), "a\r\nc\n");
}

#[test]
fn bytes_that_are_not_utf8_stay() {
    let edit = edit("^x.*$", "y");
    assert_eq!(edit.apply(b"\xff\xfe\nx\xe9\n\xc3").unwrap(), b"\xff\xfe\ny\n\xc3");
    assert_eq!(edit.apply("x\u{10FE90}".as_bytes()).unwrap_err(), Refused::Reserved);
}

#[test]
fn empty_matches_are_counted_once() {
    assert_eq!(edited("b*", "", "abbc"), "ac");
    assert_eq!(edit("x*", "-").replaced("axb", "-"), "-a-b-");
    assert_eq!(edit("$", ";").replaced("é\nb", ";"), "é;\nb;");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error =
        |pattern: &str, text: &str| Edit::given(pattern, text.into(), None, None).unwrap_err().to_string();
    assert!(error("(", "").starts_with("`match` is not a regular expression"));
    assert_eq!(
        error("(a)", "$1b"),
        "`text` refers to `$1b`, a group that `match` does not have; write `${1}b` for group 1 followed by \"b\""
    );
    assert!(error("a", "$1").ends_with("a dollar sign itself is `$$`"));
    assert!(error("a", "${x}").contains("`$x`"));
    for good in ["$0", "$$1", "a$", "$ 1", "${0}", "$-"] {
        assert!(Edit::given("a", good.into(), None, None).is_ok(), "{good}");
    }
    let params: Params =
        [("path", "/x"), ("match", "a")].map(|(name, value)| (name.into(), value.into())).into();
    assert_eq!(compile(&params).err().unwrap().to_string(), "`text` is required (a string)");
}

#[test]
fn a_file_is_edited_and_must_be_there() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("conf"));
        let replace = |pattern: &str, more: &[(&'static str, Value)]| {
            let mut params = vec![("path", at(&path)), ("match", pattern.into()), ("text", "b".into())];
            params.extend_from_slice(more);
            task("replace", &params)
        };
        let problem = converge(node, &store, &*replace("a", &[])).unwrap_err();
        assert!(problem.message.starts_with("there is no file "), "{}", problem.message);
        assert!(problem.hint.unwrap().starts_with("a `file` task makes it"));
        put(node, &path, b"a a\n", 0o640);
        let changes = converge(node, &store, &*replace("a", &[("mode", "0600".into())])).unwrap();
        assert_eq!(changes[0].diff.as_deref(), Some("@@ -1 +1 @@\n-a a\n+b b\n"));
        assert_eq!(changes[1].attribute, "mode");
        let problem =
            replace("(?s).*", &[]).look(&crate::library::trial::context(node, &store, cm_wire::Mode::Apply));
        assert!(problem.is_ok(), "the same again");
        let grows = task("replace", &[("path", at(&path)), ("match", "b".into()), ("text", "bb".into())]);
        let context = crate::library::trial::context(node, &store, cm_wire::Mode::Apply);
        let problem = grows.look(&context).unwrap_err();
        assert!(
            problem.message.ends_with(r#"it makes "bb bb", and the next run would make "bbbb bbbb" of it"#),
            "{}",
            problem.message
        );
        let secret = Context { sensitive: true, ..context };
        assert!(!grows.look(&secret).unwrap_err().message.contains("bb"));
    });
}

proptest! {
    #[test]
    fn what_is_not_refused_is_done_once(
        pattern in prop_oneof![Just("a"), Just("a+"), Just("^a"), Just("a$"), Just("(a)(b?)"), Just("\\n"), Just("(?s)a.*b"), Just("^$")],
        text in prop_oneof![Just(""), Just("a"), Just("b"), Just("$0"), Just("a\n"), Just("ba")],
        file in "[ab\r\n]{0,12}",
    ) {
        let edit = edit(pattern, text);
        if let Ok(once) = edit.apply(file.as_bytes()) {
            prop_assert_eq!(edit.apply(&once).unwrap(), once);
        }
    }

    #[test]
    fn it_replaces_as_the_expressions_own_library_does(
        pattern in prop_oneof![Just("a"), Just("a*"), Just("^"), Just("$"), Just("(?:a|b)?"), Just("b|$"), Just("")],
        file in "[ab\n]{0,10}",
    ) {
        let edit = edit(pattern, "-");
        let wanted = edit.pattern.replace_all(&file, "-").into_owned();
        prop_assert_eq!(edit.replaced(&file, "-"), wanted);
    }
}
