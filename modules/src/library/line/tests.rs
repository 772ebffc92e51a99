//! What an edit of a line makes of a text.

use cm_wire::Value;
use proptest::prelude::*;

use super::*;
use crate::library::trial::{Store, at, context, converge, everywhere, look, put, task};

fn present(line: &str, matches: Option<&str>, place: Place) -> Edit {
    Edit::Present { line: line.into(), matches: matches.map(regex), place }
}

fn regex(pattern: &str) -> LinePattern {
    LinePattern::compile("match", pattern).unwrap()
}

fn edited(edit: &Edit, text: &str) -> String {
    String::from_utf8(edit.apply(text.as_bytes())).unwrap()
}

#[test]
fn a_missing_line_goes_to_the_end_and_a_present_one_stays() {
    let edit = present("b", None, Place::End);
    assert_eq!(edited(&edit, ""), "b\n");
    assert_eq!(edited(&edit, "a\n"), "a\nb\n");
    assert_eq!(edited(&edit, "a\nb\nc\n"), "a\nb\nc\n");
    assert_eq!(edited(&edit, "a"), "a\nb\n", "a last line that is not ended gets its end");
    assert_eq!(edited(&edit, "a\nb"), "a\nb", "and stays as it is where nothing is added");
}

#[test]
fn lines_of_windows_stay_so() {
    let edit = present("b", Some("^x"), Place::End);
    assert_eq!(edited(&edit, "a\r\n"), "a\r\nb\r\n");
    assert_eq!(edited(&edit, "x1\r\nc\r\n"), "b\r\nc\r\n");
    assert_eq!(edited(&edit, "b\r\n"), "b\r\n");
}

#[test]
fn the_last_match_is_replaced() {
    let edit = present("Port 2222", Some("^#?Port "), Place::End);
    assert_eq!(edited(&edit, "#Port 22\nPort 22\nx\n"), "#Port 22\nPort 2222\nx\n");
    assert_eq!(edited(&edit, "x\n"), "x\nPort 2222\n");
    assert_eq!(edited(&edit, "Port 22"), "Port 2222");
}

#[test]
fn an_expression_that_does_not_match_the_line_replaces_once() {
    let edit = present("new", Some("^old"), Place::End);
    assert_eq!(edited(&edit, "old1\nold2\n"), "old1\nnew\n");
    assert_eq!(edited(&edit, "old1\nnew\n"), "old1\nnew\n");
}

#[test]
fn anchors_say_where_a_new_line_goes() {
    let text = "[a]\nx\n[b]\ny\n";
    assert_eq!(edited(&present("n", None, Place::After(regex("^\\[a"))), text), "[a]\nn\nx\n[b]\ny\n");
    assert_eq!(edited(&present("n", None, Place::Before(regex("^\\["))), text), "[a]\nx\nn\n[b]\ny\n");
    assert_eq!(edited(&present("n", None, Place::After(regex("nothing"))), text), "[a]\nx\n[b]\ny\nn\n");
    assert_eq!(edited(&present("n", None, Place::After(regex("y"))), "y"), "y\nn\n");
}

#[test]
fn absent_takes_equal_and_matching_lines_away() {
    let edit = Edit::Absent { line: Some("a".into()), matches: Some(regex("^#")) };
    assert_eq!(edited(&edit, "a\nab\n# a\nb"), "ab\nb");
    assert_eq!(edited(&edit, "a"), "");
}

/// An empty last line that is not ended was no line, and was added again by the next run.
#[test]
fn an_empty_line_is_ended() {
    assert_eq!(edited(&present("", Some("x"), Place::End), "a\nx"), "a\n\n");
}

#[test]
fn bytes_that_are_not_utf8_stay() {
    let edit = present("b", Some("^x"), Place::End);
    assert_eq!(edit.apply(b"\xff\xfe\nx\n\xc3"), b"\xff\xfe\nb\n\xc3");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |pairs: &[(&str, Value)]| {
        let mut params: Params =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("path".into(), "/etc/x".into());
        compile(&params).err().expect("it is refused").to_string()
    };
    assert_eq!(error(&[]), "`text` is required (a string)");
    assert!(error(&[("text", "a\nb".into())]).contains("`block` manages several"));
    let message = error(&[("text", "a".into()), ("match", "(".into())]);
    assert!(message.starts_with("`match` is not a regular expression"), "{message}");
    assert!(error(&[("state", "absent".into())]).contains("or `match` is required"));
    assert!(
        error(&[("state", "absent".into()), ("text", "a".into()), ("after", "b".into())]).contains("absent")
    );
    let both = [("text", "a".into()), ("after", "b".into()), ("before", "c".into())];
    assert_eq!(error(&both), "`before` cannot be given together with `after`");
}

#[test]
fn a_file_is_edited_made_and_left_alone() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("conf"));
        let line = |more: &[(&'static str, Value)]| {
            let mut params = vec![("path", at(&path)), ("text", "b".into())];
            params.extend_from_slice(more);
            task("line", &params)
        };
        let absent = line(&[("state", "absent".into())]);
        assert_eq!(look(node, &store, &*absent), [], "a line of a missing file is absent");
        let problem = converge(node, &store, &*line(&[])).unwrap_err();
        assert!(problem.message.starts_with("there is no file "), "{}", problem.message);
        let create = line(&[("create", true.into()), ("mode", "0600".into())]);
        let changes = converge(node, &store, &*create).unwrap();
        assert_eq!(changes.len(), 3);
        assert_eq!(node.read(&path, 10).unwrap(), b"b\n");
        put(node, &path, b"a\r\n", 0o640);
        let changes = converge(node, &store, &*line(&[])).unwrap();
        assert_eq!(changes[0].diff.as_deref(), Some("@@ -1 +1,2 @@\n a\r\n+b\r\n"));
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o640);
        converge(node, &store, &*absent).unwrap();
        assert_eq!(node.read(&path, 10).unwrap(), b"a\r\n");
        node.remove(&path).unwrap();
        node.make_link(&path, std::path::Path::new("elsewhere")).unwrap();
        let problem = line(&[]).look(&context(node, &store, cm_wire::Mode::Apply)).unwrap_err();
        assert!(problem.message.ends_with("is a link to elsewhere"), "{}", problem.message);
    });
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("#a"), Just(""), Just("a ")];
    let ending = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r")];
    (prop::collection::vec((line, ending), 0..8), any::<bool>()).prop_map(|(lines, ended)| {
        let mut text: String = lines.iter().flat_map(|(line, ending)| [*line, *ending]).collect();
        if !ended {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        text.into_bytes()
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let line = || prop_oneof![Just("a"), Just("b"), Just(""), Just("c a")];
    let pattern =
        || prop_oneof![Just("a"), Just("^a$"), Just("^#"), Just("b$"), Just("^$"), Just("")].prop_map(regex);
    let place = prop_oneof![
        Just(()).prop_map(|()| Place::End),
        pattern().prop_map(Place::After),
        pattern().prop_map(Place::Before)
    ];
    prop_oneof![
        3 => (line(), prop::option::of(pattern()), place)
            .prop_map(|(line, matches, place)| Edit::Present { line: line.into(), matches, place }),
        1 => (prop::option::of(line()), prop::option::of(pattern()))
            .prop_map(|(line, matches)| Edit::Absent { line: line.map(Into::into), matches }),
    ]
}

proptest! {
    #[test]
    fn editing_twice_is_editing_once(edit in edit(), text in text()) {
        let once = edit.apply(&text);
        prop_assert_eq!(edit.apply(&once), once);
    }

    #[test]
    fn the_wanted_line_is_there_afterwards(edit in edit(), text in text()) {
        let after = edit.apply(&text);
        let lines = Lines::of(&after);
        let has = |line: &str| lines.as_slice().iter().any(|found| *found.text == *line.as_bytes());
        match &edit {
            Edit::Present { line, .. } => prop_assert!(has(line)),
            Edit::Absent { line, .. } => prop_assert!(!line.as_ref().is_some_and(|line| has(line))),
        }
    }

    #[test]
    fn at_most_one_line_changes(edit in edit(), text in text()) {
        let Edit::Present { .. } = &edit else { return Ok(()) };
        let (before, after) = (Lines::of(&text).as_slice().len(), Lines::of(&edit.apply(&text)).as_slice().len());
        prop_assert!(after == before || after == before + 1);
    }

    #[test]
    fn taking_apart_and_joining_gives_the_same_bytes(text in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Lines::of(&text).join(), text);
    }
}
