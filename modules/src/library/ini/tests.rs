//! What an edit makes of an INI file.

use cm_wire::Value;
use proptest::prelude::*;

use super::*;
use crate::library::trial::{Store, at, converge, everywhere, look, put, task};

fn ini(pairs: &[(&str, Value)]) -> Result<String, ParamError> {
    let mut params: Params = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.insert("path".into(), "/etc/x".into());
    compile(&params).map(|_| String::new())
}

fn wanted(section: Option<&str>, edit: Edit) -> Wanted {
    let separator = Separator::given(None).unwrap();
    let section = section.map(str::to_owned);
    Wanted { path: "/etc/x".into(), section, edit, separator, create: false, ownership: Ownership::default() }
}

fn present(section: Option<&str>, option: &str, values: &[&str]) -> Wanted {
    let values = values.iter().map(|value| Some(value.as_bytes().to_vec())).collect();
    wanted(section, Edit::Present { option: option.into(), values, exclusive: true })
}

fn absent(section: Option<&str>, option: &str) -> Wanted {
    wanted(section, Edit::Absent { option: option.into(), values: None })
}

fn edited(wanted: &Wanted, text: &str) -> String {
    String::from_utf8(wanted.edited(text.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_value_is_replaced_and_everything_else_stays() {
    let edit = present(Some("b"), "x", &["2"]);
    let text = "# top\nx=0\n[a]\nx=1\n\n[b]\n; note\n\tx  =\t1 \n y = 3\n";
    assert_eq!(edited(&edit, text), "# top\nx=0\n[a]\nx=1\n\n[b]\n; note\n\tx  =\t2\n y = 3\n");
    let same = "[ b ] # comment\nx=2  \n";
    assert_eq!(edited(&edit, same), same);
    assert_eq!(edited(&edit, "[b]\nx=\n"), "[b]\nx=2\n");
    assert_eq!(edited(&edit, "[b]\nx =\n"), "[b]\nx = 2\n");
    assert_eq!(edited(&edit, "[b]\nx\n"), "[b]\nx = 2\n");
    assert_eq!(edited(&edit, "[b]\nx=1 ; why\n"), "[b]\nx=2\n", "the comment is part of the value");
    assert_eq!(edited(&present(Some("b"), "x", &[""]), "[b]\nx = 1"), "[b]\nx =");
}

#[test]
fn a_new_option_is_written_as_the_others_are() {
    let edit = present(Some("b"), "x", &["2"]);
    assert_eq!(edited(&edit, "[b]\ny=1\n\n# of c\n[c]\n"), "[b]\ny=1\nx=2\n\n# of c\n[c]\n");
    assert_eq!(edited(&edit, "[b]\n\n[c]\nz : 1\ny  =  1\n"), "[b]\nx = 2\n\n[c]\nz : 1\ny  =  1\n");
    assert_eq!(edited(&edit, "[a]\n\ty=1\n[b]\n"), "[a]\n\ty=1\n[b]\n\tx=2\n");
    assert_eq!(
        edited(&edit, "[b]\n#x = 1\n# x is good\ny = 1\n"),
        "[b]\n#x = 1\nx = 2\n# x is good\ny = 1\n"
    );
    assert_eq!(edited(&edit, "[b]"), "[b]\nx = 2\n");
}

#[test]
fn a_new_section_goes_to_the_end() {
    let edit = present(Some("b"), "x", &["2"]);
    assert_eq!(edited(&edit, ""), "[b]\nx = 2\n");
    assert_eq!(edited(&edit, "[a]\ny=1"), "[a]\ny=1\n\n[b]\nx=2\n");
    assert_eq!(edited(&edit, "[a]\ny=1\n\n"), "[a]\ny=1\n\n[b]\nx=2\n");
}

#[test]
fn options_before_the_first_section() {
    let edit = present(None, "x", &["2"]);
    assert_eq!(edited(&edit, "[a]\nx=1\n"), "x=2\n[a]\nx=1\n");
    assert_eq!(edited(&edit, "# file\n\n# of a\n[a]\n"), "# file\nx = 2\n\n# of a\n[a]\n");
    assert_eq!(edited(&edit, "# of a\n[a]\n"), "x = 2\n# of a\n[a]\n");
    assert_eq!(edited(&edit, "# file\n\n[a]\n"), "# file\nx = 2\n\n[a]\n");
    assert_eq!(edited(&edit, "# file\ny=1\n\n[a]\n"), "# file\ny=1\nx=2\n\n[a]\n");
    assert_eq!(edited(&edit, "# only"), "# only\nx = 2\n");
    assert_eq!(edited(&edit, ""), "x = 2\n");
}

#[test]
fn several_values() {
    let edit = present(Some("s"), "e", &["1", "2"]);
    assert_eq!(edited(&edit, "[s]\ne=1\nf=0\n"), "[s]\ne=1\ne=2\nf=0\n");
    assert_eq!(edited(&edit, "[s]\ne=2\nf=0\ne=3\ne=4\n"), "[s]\ne=1\nf=0\ne=2\n");
    let one = present(Some("s"), "e", &["2"]);
    assert_eq!(edited(&one, "[s]\ne=1\n[t]\n[s]\ne=2\n"), "[s]\ne=2\n[t]\n[s]\n");
    let more = |values: &[&str]| {
        let values = values.iter().map(|value| Some(value.as_bytes().to_vec())).collect();
        wanted(Some("s"), Edit::Present { option: "e".into(), values, exclusive: false })
    };
    assert_eq!(edited(&more(&["2"]), "[s]\ne=1\nf=0\n"), "[s]\ne=1\ne=2\nf=0\n");
    assert_eq!(edited(&more(&["2", "1"]), "[s]\ne=1\ne=2\ne=3\n"), "[s]\ne=1\ne=2\ne=3\n");
}

#[test]
fn absent_takes_options_and_sections_away() {
    assert_eq!(
        edited(&absent(Some("s"), "e"), "e=0\n[s]\ne=1\nf=1\ne=2\n[t]\ne=3"),
        "e=0\n[s]\nf=1\n[t]\ne=3"
    );
    assert_eq!(edited(&absent(None, "e"), "e=0\n[s]\ne=1\n"), "[s]\ne=1\n");
    let values = Some(vec![Some(b"2".to_vec())]);
    let one = wanted(Some("s"), Edit::Absent { option: "e".into(), values });
    assert_eq!(edited(&one, "[s]\ne=1\ne=2\n"), "[s]\ne=1\n");
    let section = wanted(Some("s"), Edit::NoSection);
    assert_eq!(edited(&section, "[a]\n\n[s]\ne=1\n\n# of t\n[t]\n"), "[a]\n\n# of t\n[t]\n");
    assert_eq!(edited(&section, "[a]\nx=1\n\n[s]\ne=1\n"), "[a]\nx=1\n");
    assert_eq!(edited(&section, "[s]\n[a]\n[s]\n"), "[a]\n");
    assert_eq!(edited(&section, "[s]\n\n[s]"), "");
    assert_eq!(edited(&section, "s=1\n"), "s=1\n");
}

#[test]
fn values_that_go_on_are_taken_whole() {
    let unit = "[Service]\nExecStart=/bin/x \\\n  --a=1 \\\n  --b\nUser=x\n";
    assert_eq!(
        edited(&present(Some("Service"), "ExecStart", &["/bin/y"]), unit),
        "[Service]\nExecStart=/bin/y\nUser=x\n"
    );
    assert_eq!(edited(&absent(Some("Service"), "--a"), unit), unit);
    let python = "[options]\nrequires =\n    foo\n    bar==1\nname = x\n";
    assert_eq!(edited(&absent(Some("options"), "requires"), python), "[options]\nname = x\n");
    assert_eq!(
        edited(&present(Some("options"), "requires", &["foo"]), python),
        "[options]\nrequires = foo\nname = x\n"
    );
    // Indented options are options.
    let mixed = "[s]\na = 1\n  b = 2\n";
    assert_eq!(edited(&absent(Some("s"), "a"), mixed), "[s]\n  b = 2\n");
    assert_eq!(edited(&present(Some("s"), "b", &["3"]), mixed), "[s]\na = 1\n  b = 3\n");
    // But not behind an empty value, and then nothing is changed.
    assert!(present(Some("t"), "x", &["1"]).edited(b"[s]\na = 1 \\").is_err());
    let problem = present(Some("s"), "a", &[""]).edited(mixed.as_bytes()).unwrap_err();
    assert!(problem.message.starts_with("`a` cannot be edited in /etc/x"), "{}", problem.message);
}

#[test]
fn options_that_stand_alone() {
    let bare = |option: &str| {
        wanted(Some("m"), Edit::Present { option: option.into(), values: vec![None], exclusive: true })
    };
    assert_eq!(edited(&bare("quick"), "[m]\na=1\n"), "[m]\na=1\nquick\n");
    assert_eq!(edited(&bare("quick"), "[m]\nquick\na=1\n"), "[m]\nquick\na=1\n");
    assert_eq!(edited(&bare("quick"), "[m]\nquick = no\n"), "[m]\nquick\n");
    assert_eq!(edited(&absent(Some("m"), "quick"), "[m]\nquick\na\n"), "[m]\na\n");
}

#[test]
fn other_separators() {
    let with = |separator: &str, section: Option<&str>| Wanted {
        separator: Separator::given(Some(separator)).unwrap(),
        ..present(section, "a", &["1"])
    };
    assert_eq!(edited(&with(":", None), "b:2\n"), "b:2\na:1\n");
    assert_eq!(edited(&with(":", None), "a=0\n"), "a=0\na: 1\n");
    assert_eq!(edited(&with(" ", None), "b\t2\na  0\n"), "b\t2\na  1\n");
    assert_eq!(edited(&with(" ", None), "#a 0\nab 2\n"), "#a 0\na 1\nab 2\n");
    assert_eq!(edited(&with("=", Some("s")), "[s]\nb = 1\n"), "[s]\nb = 1\na = 1\n");
    assert_eq!(edited(&with(" = ", Some("s")), "[s]\nb=1\n"), "[s]\nb=1\na = 1\n");
}

#[test]
fn lines_of_windows_and_other_bytes_stay() {
    assert_eq!(edited(&present(Some("s"), "e", &["2"]), "[s]\r\ne=1\r\n[t]\r\n"), "[s]\r\ne=2\r\n[t]\r\n");
    assert_eq!(edited(&present(Some("t"), "e", &["2"]), "[s]\r\ne=1"), "[s]\r\ne=1\r\n\r\n[t]\r\ne=2\r\n");
    let marked = "\u{FEFF}[s]\r\ne=1\r\n";
    assert_eq!(edited(&present(Some("s"), "e", &["2"]), marked), marked.replace('1', "2"));
    let edit = present(Some("s"), "e", &["2"]);
    assert_eq!(edit.edited(b"\xff\n[s]\n\xe9=\xfe\ne=\xfd\n").unwrap(), b"\xff\n[s]\n\xe9=\xfe\ne=2\n");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |pairs: &[(&str, Value)]| ini(pairs).unwrap_err().to_string();
    let option = ("option", "a".into());
    let value = |value: &str| ("value", value.into());
    assert_eq!(error(&[]), "`option` is required (a string)");
    assert!(error(std::slice::from_ref(&option)).starts_with("`value` is required"));
    assert!(error(&[option.clone(), value("1"), ("bare", true.into())]).contains("stands alone"));
    assert!(error(&[("option", "a=b".into()), value("1")]).contains("cannot be the name"));
    assert!(error(&[("option", "#a".into()), value("1")]).contains("cannot be the name"));
    assert!(error(&[option.clone(), value("1\n2")]).contains("line break"));
    assert!(error(&[option.clone(), value(" 1")]).contains("blanks around it"));
    assert!(error(&[option.clone(), value("1\\")]).contains("backslash"));
    assert!(error(&[option.clone(), ("value", true.into())]).contains("quote it"));
    assert!(error(&[option.clone(), ("value", Value::List(Vec::new()))]).contains("empty list"));
    assert!(error(&[option.clone(), value("1"), ("section", "[a]".into())]).contains("without brackets"));
    assert!(error(&[option.clone(), value("1"), ("separator", "->".into())]).contains("wants `=`"));
    assert!(error(&[option.clone(), value(""), ("separator", " ".into())]).contains("bare: true"));
    let gone = ("state", "absent".into());
    assert!(error(std::slice::from_ref(&gone)).contains("what is to go"));
    assert!(error(&[gone.clone(), ("section", "a".into()), value("1")]).contains("required with `value`"));
    assert!(error(&[gone, option.clone(), ("create", true.into())]).contains("absent"));
    assert!(ini(&[option.clone(), ("value", Value::Int(1))]).is_ok());
    assert!(ini(&[option, ("value", Value::List(vec![Value::Int(1), "b".into()]))]).is_ok());
}

#[test]
fn a_file_is_edited_made_and_left_alone() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("conf"));
        let ini = |more: &[(&'static str, Value)]| {
            let mut params = vec![("path", at(&path)), ("section", "s".into()), ("option", "e".into())];
            params.extend_from_slice(more);
            task("ini", &params)
        };
        let absent = ini(&[("state", "absent".into())]);
        assert_eq!(look(node, &store, &*absent), [], "an option of a missing file is absent");
        let value = ("value", Value::Int(2));
        assert!(converge(node, &store, &*ini(std::slice::from_ref(&value))).is_err());
        converge(node, &store, &*ini(&[value.clone(), ("create", true.into())])).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"[s]\ne = 2\n");
        put(node, &path, b"[s]\ne=1\n", 0o640);
        let changes = converge(node, &store, &*ini(&[value])).unwrap();
        assert_eq!(changes[0].diff.as_deref(), Some("@@ -1,2 +1,2 @@\n [s]\n-e=1\n+e=2\n"));
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o640);
        converge(node, &store, &*absent).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"[s]\n");
    });
}

fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[s]"),
        Just("[t]"),
        Just("a=1"),
        Just("a = 2"),
        Just("b=1"),
        Just("  a=1"),
        Just("\tb = 2"),
        Just("a"),
        Just("  c"),
        Just(""),
        Just("# x"),
        Just("#a=0"),
        Just("a ="),
        Just("b=1 \\"),
        Just("[u"),
        Just("=1")
    ];
    let ending = prop_oneof![5 => Just("\n"), 1 => Just("\r\n")];
    (prop::collection::vec((line, ending), 0..9), any::<bool>()).prop_map(|(lines, ended)| {
        let mut text: String = lines.iter().flat_map(|(line, ending)| [*line, *ending]).collect();
        if !ended {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        text
    })
}

fn edit() -> impl Strategy<Value = Wanted> {
    let section = prop_oneof![Just(None), Just(Some("s")), Just(Some("t")), Just(Some("new"))];
    let values = prop_oneof![
        Just(vec![Some("1")]),
        Just(vec![Some("2")]),
        Just(vec![None]),
        Just(vec![Some("")]),
        Just(vec![Some("1"), Some("2")])
    ];
    let option = prop_oneof![Just("a"), Just("b"), Just("d")];
    (section, option, values, 0..4).prop_map(|(section, option, values, kind)| {
        let values: Vec<Entry> = values
            .into_iter()
            .map(|value: Option<&str>| value.map(|value| value.as_bytes().to_vec()))
            .collect();
        let option = option.to_owned();
        let edit = match kind {
            0 => Edit::Absent { option, values: None },
            1 if section.is_some() => Edit::NoSection,
            2 => Edit::Present { option, values, exclusive: false },
            _ => Edit::Present { option, values, exclusive: true },
        };
        wanted(section, edit)
    })
}

proptest! {
    #[test]
    fn editing_twice_is_editing_once(wanted in edit(), text in text()) {
        if let Ok(once) = wanted.edited(text.as_bytes()) {
            prop_assert_eq!(wanted.edited(&once).unwrap(), once);
        }
    }

    #[test]
    fn no_other_option_changes(wanted in edit(), text in text()) {
        if let Ok(after) = wanted.edited(text.as_bytes()) {
            prop_assert_eq!(wanted.others(text.as_bytes()), wanted.others(&after));
        }
    }

    #[test]
    fn the_option_is_as_wanted_afterwards(wanted in edit(), text in text()) {
        let Ok(after) = wanted.edited(text.as_bytes()) else { return Ok(()) };
        let lines = Lines::of(&after);
        let document = Document::of(&lines, &wanted.separator);
        let section = wanted.section.as_deref().map(str::as_bytes);
        let there = |option: &str| -> Vec<Entry> {
            document.options(&lines, section, option.as_bytes()).iter().map(|found| found.value(&lines)).collect()
        };
        match &wanted.edit {
            Edit::Present { option, values, exclusive: true } => prop_assert_eq!(&there(option), values),
            Edit::Present { option, values, .. } => {
                let there = there(option);
                prop_assert!(values.iter().all(|value| there.contains(value)));
            }
            Edit::Absent { option, .. } => prop_assert_eq!(there(option).len(), 0),
            Edit::NoSection => prop_assert!(document.section_ranges(section).is_empty()),
        }
    }
}
