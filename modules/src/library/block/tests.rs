//! What a block makes of a text.

use cm_wire::{Mode, Value};
use proptest::prelude::*;

use super::*;
use crate::library::{
    line_pattern::LinePattern,
    trial::{Store, at, context, converge, everywhere, look, put, task},
};

const PATH: &str = "/etc/x";

fn block(text: Option<&str>, place: Place) -> Wanted {
    let edit = match text {
        Some(text) => Edit::Present { text: Text::Inline(text.into()), place },
        None => Edit::Absent,
    };
    let markers = Markers::given(Some("web"), "#", None, None).unwrap();
    Wanted { path: PATH.into(), markers, edit, create: false, ownership: Ownership::default() }
}

fn edited(block: &Wanted, file: &str) -> Result<String, Problem> {
    let text = match &block.edit {
        Edit::Present { text: Text::Inline(text), .. } => text.clone(),
        _ => String::new(),
    };
    block.edited(file.as_bytes(), text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn at_end(text: &str) -> Wanted {
    block(Some(text), Place::End)
}

#[test]
fn a_new_block_goes_to_the_end_and_the_old_one_is_replaced_where_it_is() {
    let block = at_end("a\nb\n");
    assert_eq!(edited(&block, "").unwrap(), "# BEGIN cm web\na\nb\n# END cm web\n");
    assert_eq!(edited(&block, "x").unwrap(), "x\n# BEGIN cm web\na\nb\n# END cm web\n");
    let there = "x\n# BEGIN cm web\nold\n# END cm web\ny";
    assert_eq!(edited(&block, there).unwrap(), "x\n# BEGIN cm web\na\nb\n# END cm web\ny");
    assert_eq!(edited(&at_end(""), there).unwrap(), "x\n# BEGIN cm web\n# END cm web\ny");
    assert_eq!(edited(&at_end("a"), there).unwrap(), "x\n# BEGIN cm web\na\n# END cm web\ny");
    assert_eq!(edited(&at_end("\n"), there).unwrap(), "x\n# BEGIN cm web\n\n# END cm web\ny");
}

#[test]
fn anchors_say_where_a_new_block_goes() {
    let pattern = |text: &str| LinePattern::compile("after", text).unwrap();
    let after = block(Some("n"), Place::After(pattern("^b")));
    let before = block(Some("n"), Place::Before(pattern("^b")));
    let new = "# BEGIN cm web\nn\n# END cm web\n";
    assert_eq!(edited(&after, "a\nb\nc\n").unwrap(), format!("a\nb\n{new}c\n"));
    assert_eq!(edited(&before, "a\nb\nc\n").unwrap(), format!("a\n{new}b\nc\n"));
    assert_eq!(edited(&before, "a\nc\n").unwrap(), format!("a\nc\n{new}"));
    assert_eq!(edited(&after, "a\nb").unwrap(), format!("a\nb\n{new}"));
    // A block that is there stays where it is.
    assert_eq!(edited(&after, &format!("{new}b\n")).unwrap(), format!("{new}b\n"));
}

#[test]
fn an_absent_block_goes_with_its_markers() {
    let absent = block(None, Place::End);
    assert_eq!(edited(&absent, "a\n# BEGIN cm web\nx\n# END cm web\nb").unwrap(), "a\nb");
    assert_eq!(edited(&absent, "a\n# BEGIN cm other\nx\n# END cm other\n").unwrap().lines().count(), 4);
    assert_eq!(edited(&absent, "# BEGIN cm web\n# END cm web").unwrap(), "");
}

#[test]
fn lines_of_windows_stay_so() {
    let end = "# BEGIN cm web\r\na\r\nb\r\n# END cm web\r\n";
    assert_eq!(edited(&at_end("a\nb\n"), "x\r\n").unwrap(), format!("x\r\n{end}"));
    assert_eq!(edited(&at_end("a\r\nb\r\n"), &format!("x\r\n{end}")).unwrap(), format!("x\r\n{end}"));
}

#[test]
fn blanks_around_markers_do_not_matter() {
    let text = "  # BEGIN cm web \nold\n\t# END cm web\n";
    assert_eq!(edited(&at_end("new"), text).unwrap(), "  # BEGIN cm web \nnew\n\t# END cm web\n");
}

#[test]
fn a_damaged_block_is_an_error_and_eats_nothing() {
    let says = |text: &str| {
        let problem = edited(&at_end("a"), text).unwrap_err();
        assert_eq!(edited(&block(None, Place::End), text).unwrap_err().message, problem.message);
        assert!(problem.hint.is_some());
        problem.message
    };
    let start = "the block in /etc/x is damaged: ";
    assert_eq!(
        says("x\n# BEGIN cm web\na\nb\n"),
        format!("{start}`# BEGIN cm web` in line 2 has no `# END cm web` after it")
    );
    assert_eq!(
        says("x\n# END cm web\n"),
        format!("{start}`# END cm web` in line 2 has no `# BEGIN cm web` before it")
    );
    assert_eq!(
        says("# END cm web\n# BEGIN cm web\n"),
        format!("{start}`# END cm web` in line 1 stands before `# BEGIN cm web` in line 2")
    );
    let twice = "# BEGIN cm web\n# END cm web\n";
    assert!(says(&twice.repeat(2)).ends_with("are there 2 times"));
    assert!(says("# BEGIN cm web\n# BEGIN cm web\n# END cm web\n").ends_with("are there 2 times"));
}

#[test]
fn bytes_that_are_not_utf8_stay() {
    let block = at_end("b");
    let text = b"\xff\xfe\n# BEGIN cm web\n\xc3\n# END cm web\n\xc3";
    assert_eq!(block.edited(text, b"b").unwrap(), b"\xff\xfe\n# BEGIN cm web\nb\n# END cm web\n\xc3");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |pairs: &[(&str, Value)]| {
        let mut params: Params =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("path".into(), PATH.into());
        compile(&params).err().expect("it is refused").to_string()
    };
    assert!(error(&[]).starts_with("`text` or `template` is required"));
    assert!(error(&[("text", "# BEGIN cm\n".into())]).contains("holds the marker `# BEGIN cm`"));
    assert!(error(&[("text", "a".into()), ("name", "a\nb".into())]).contains("line break"));
    assert!(error(&[("text", "a".into()), ("comment", " ".into())]).contains("is empty"));
    assert_eq!(error(&[("text", "a".into()), ("begin", "x".into())]), "`end` is required with `begin`");
    let same = [("text", "a".into()), ("begin", "x ".into()), ("end", "x".into())];
    assert_eq!(error(&same), "`end` is the same line as `begin`");
    assert!(error(&[("state", "absent".into()), ("text", "a".into())]).contains("to be absent"));
    assert!(error(&[("state", "absent".into()), ("after", "a".into())]).contains("to be absent"));
}

#[test]
fn a_file_is_edited_made_and_left_alone() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("con f'\""));
        let block = |more: &[(&'static str, Value)]| {
            let mut params = vec![("path", at(&path)), ("name", "a b".into())];
            params.extend_from_slice(more);
            task("block", &params)
        };
        let absent = block(&[("state", "absent".into())]);
        assert_eq!(look(node, &store, &*absent), [], "a block of a missing file is absent");
        let text = ("text", "one\ntwo\n".into());
        let problem = converge(node, &store, &*block(std::slice::from_ref(&text))).unwrap_err();
        assert!(problem.message.starts_with("there is no file "), "{}", problem.message);
        let create = block(&[text.clone(), ("create", true.into()), ("comment", "//".into())]);
        converge(node, &store, &*create).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"// BEGIN cm a b\none\ntwo\n// END cm a b\n");
        put(node, &path, b"x\r\n", 0o640);
        let rendered = block(&[("template", store.text("one\ntwo\n"))]);
        let changes = converge(node, &store, &*rendered).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(look(node, &store, &*block(&[text])), [], "the same lines, however they come");
        let wanted = b"x\r\n# BEGIN cm a b\r\none\r\ntwo\r\n# END cm a b\r\n";
        assert_eq!(node.read(&path, 99).unwrap(), wanted);
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o640);
        converge(node, &store, &*absent).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"x\r\n");
    });
}

#[test]
fn a_template_that_gives_a_marker_is_refused_and_a_block_is_part_of_its_file() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("conf"));
        let file = task("file", &[("path", at(&path)), ("content", store.text("first\n"))]);
        let block = task("block", &[("path", at(&path)), ("template", store.text("second\n"))]);
        let edits: [&dyn Resource; 1] = [&*block];
        let context = Context { edits: &edits, ..context(node, &store, Mode::Apply) };
        file.change(&context).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"first\n# BEGIN cm\nsecond\n# END cm\n");
        assert_eq!(file.look(&context).unwrap(), Seen::AsWanted);
        assert_eq!(look(node, &store, &*block), []);
        let bad = task("block", &[("path", at(&path)), ("template", store.text("x\n# END cm\n"))]);
        let problem = bad.look(&context).unwrap_err();
        assert!(problem.message.contains("gives the marker `# END cm` itself"), "{}", problem.message);
    });
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        3 => Just("a"), 2 => Just("b"), 2 => Just(""), 1 => Just(" x"),
        1 => Just("# BEGIN cm web"), 1 => Just("# END cm web")
    ];
    let ending = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r")];
    (prop::collection::vec((line, ending), 0..8), any::<bool>()).prop_map(|(lines, ended)| {
        let mut text: String = lines.iter().flat_map(|(line, ending)| [*line, *ending]).collect();
        if !ended {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        text.into_bytes()
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(""), Just("a"), Just("a\n"), Just("a\r\n\nb"), Just("\n"), Just("\r\n"), Just("a\n\n")]
        .prop_map(str::to_owned)
}

fn place() -> impl Strategy<Value = Place> {
    let pattern = || {
        prop_oneof![Just("a"), Just("^$"), Just("cm")]
            .prop_map(|text| LinePattern::compile("x", text).unwrap())
    };
    prop_oneof![
        Just(()).prop_map(|()| Place::End),
        pattern().prop_map(Place::After),
        pattern().prop_map(Place::Before)
    ]
}

proptest! {
    #[test]
    fn editing_twice_is_editing_once(file in file(), text in text(), place in place()) {
        let block = block(Some(&text), place);
        if let Ok(once) = block.edited(&file, text.as_bytes()) {
            prop_assert_eq!(block.edited(&once, text.as_bytes()).unwrap(), once);
        }
    }

    #[test]
    fn taking_it_away_again_gives_the_lines_that_were_there(file in file(), text in text(), place in place()) {
        let (present, absent) = (block(Some(&text), place), block(None, Place::End));
        if let (Ok(with), Ok(without)) = (present.edited(&file, text.as_bytes()), absent.edited(&file, b"")) {
            let again = absent.edited(&with, b"").unwrap();
            let (one, other) = (Lines::of(&again), Lines::of(&without));
            let texts = |lines: &Lines<'_>| lines.as_slice().iter().map(|line| line.text.trim_ascii_end().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(texts(&one), texts(&other));
        }
    }
}
