//! What an entry makes of a hosts file.

use proptest::prelude::*;

use super::*;
use crate::library::trial::{Store, at, converge, everywhere, look, put, task};

fn address(text: &str) -> Address {
    Address::read(&text.into()).unwrap()
}

fn entry(text: &str, edit: Edit) -> Wanted {
    Wanted { path: "/etc/hosts".into(), address: address(text), edit }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn present(text: &str, wanted: &[&str]) -> Wanted {
    entry(text, Edit::Present { names: names(wanted), exclusive: false })
}

fn absent(text: &str, wanted: &[&str]) -> Wanted {
    entry(text, Edit::Absent { names: names(wanted) })
}

fn edited(wanted: &Wanted, text: &str) -> String {
    String::from_utf8(wanted.apply(text.as_bytes())).unwrap()
}

#[test]
fn a_new_address_gets_a_line() {
    let db = present("10.0.0.5", &["db1.example.org", "db1"]);
    assert_eq!(edited(&db, ""), "10.0.0.5\tdb1.example.org db1\n");
    assert_eq!(edited(&db, "127.0.0.1 localhost"), "127.0.0.1 localhost\n10.0.0.5\tdb1.example.org db1\n");
    assert_eq!(
        edited(&db, "10.0.0.5 other # x\n::1 db1\n"),
        "10.0.0.5 other # x\n10.0.0.5\tdb1.example.org db1\n::1 db1\n"
    );
}

#[test]
fn a_line_that_is_there_is_completed() {
    let db = present("10.0.0.5", &["db1.example.org", "db1"]);
    assert_eq!(
        edited(&db, "10.0.0.5   db1 # the database\n"),
        "10.0.0.5   db1.example.org db1 # the database\n"
    );
    assert_eq!(edited(&db, "10.0.0.5 x db1 y db1.example.org\n"), "10.0.0.5 x db1.example.org db1 y\n");
    let good = "10.0.0.5 db1.example.org  more DB1\n";
    assert_eq!(edited(&db, good), good, "order and letters are good enough");
    assert_eq!(
        edited(&db, "10.0.0.5 db1 \n10.0.0.5 db1.example.org a\n"),
        "10.0.0.5 db1.example.org db1 \n10.0.0.5 a\n"
    );
    assert_eq!(edited(&present("::1", &["x"]), "0:0::1 x\n"), "0:0::1 x\n");
    assert_eq!(edited(&present("10.0.0.5", &["a"]), "10.0.0.5 a a\n"), "10.0.0.5 a\n");
}

#[test]
fn a_name_leads_to_one_address_of_a_kind() {
    let db = present("10.0.0.5", &["db1"]);
    assert_eq!(edited(&db, "10.0.0.4 db1 x\n::1 db1\n"), "10.0.0.4 x\n::1 db1\n10.0.0.5\tdb1\n");
    assert_eq!(
        edited(&db, "10.0.0.4 db1\n10.0.0.5 y\n10.0.0.6 DB1 z\n"),
        "10.0.0.5 y\n10.0.0.5\tdb1\n10.0.0.6 z\n"
    );
    assert_eq!(edited(&db, "# 10.0.0.4 db1\n"), "# 10.0.0.4 db1\n10.0.0.5\tdb1\n");
}

#[test]
fn an_exclusive_entry_is_all_there_is_of_its_address() {
    let db = entry("10.0.0.5", Edit::Present { names: names(&["a", "b"]), exclusive: true });
    assert_eq!(
        edited(&db, "10.0.0.5 x\n10.0.0.5 b y # c\n10.0.0.5 z\n10.0.0.6 q\n"),
        "10.0.0.5 a b # c\n10.0.0.6 q\n"
    );
    assert_eq!(edited(&db, "10.0.0.5 x\n10.0.0.6 a\n"), "10.0.0.5\ta b\n");
}

#[test]
fn absent_takes_names_or_lines_away() {
    let text = "10.0.0.5 a b # c\n10.0.0.5 a\n10.0.0.6 a\n# 10.0.0.5\n";
    assert_eq!(edited(&absent("10.0.0.5", &["A"]), text), "10.0.0.5 b # c\n10.0.0.6 a\n# 10.0.0.5\n");
    assert_eq!(edited(&absent("10.0.0.5", &[]), text), "10.0.0.6 a\n# 10.0.0.5\n");
    assert_eq!(edited(&absent("10.0.0.7", &[]), text), text);
}

#[test]
fn two_tasks_of_one_address_leave_each_other_alone() {
    let (one, other) = (present("10.0.0.5", &["a"]), present("10.0.0.5", &["b"]));
    for start in ["", "10.0.0.5 b a\n", "10.0.0.5 a b\n", "10.0.0.5 b\n"] {
        let text = edited(&other, &edited(&one, start));
        assert_eq!(edited(&one, &text), text, "{start:?}");
    }
}

#[test]
fn lines_of_windows_and_other_bytes_stay() {
    let db = present("10.0.0.5", &["a"]);
    assert_eq!(edited(&db, "10.0.0.5 b\r\n"), "10.0.0.5 b\r\n10.0.0.5\ta\r\n");
    assert_eq!(db.apply(b"\xff a\n10.0.0.4 a #\xfe\n"), b"\xff a\n10.0.0.5\ta\n");
    assert_eq!(db.apply(b"10.0.0.4 a z #\xfe\n"), b"10.0.0.4 z #\xfe\n10.0.0.5\ta\n");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |address: &str, pairs: &[(&str, Value)]| {
        let mut params: Params =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("address".into(), address.into());
        compile(&params).err().expect("it is refused").to_string()
    };
    let names = |name: &str| ("names", name.into());
    assert_eq!(error("db1", &[names("x")]), "`address` \"db1\" is no IPv4 or IPv6 address");
    assert!(error("10.0.0.5", &[]).starts_with("`names` is required"));
    for bad in ["a b", "-a", "a-", "a..b", "a.", "10.0.0.6", "", "é", "a#b", &"x".repeat(64)] {
        assert!(error("10.0.0.5", &[names(bad)]).starts_with("`names` "), "{bad:?}");
    }
    assert!(error("10.0.0.5", &[("names", Value::List(Vec::new()))]).contains("empty list"));
    assert!(
        error("10.0.0.5", &[("state", "absent".into()), ("exclusive", true.into())]).contains("exclusive")
    );
}

#[test]
fn a_file_is_edited_made_and_left_alone() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("hosts"));
        let entry = |more: &[(&'static str, Value)]| {
            let mut params = vec![("address", "10.0.0.5".into()), ("path", at(&path))];
            params.extend_from_slice(more);
            task("hosts_entry", &params)
        };
        let (present, absent) = (entry(&[("names", "db1".into())]), entry(&[("state", "absent".into())]));
        assert_eq!(look(node, &store, &*absent), []);
        converge(node, &store, &*present).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"10.0.0.5\tdb1\n");
        put(node, &path, b"127.0.0.1 localhost db1\n", 0o640);
        let changes = converge(node, &store, &*present).unwrap();
        assert_eq!(
            changes[0].diff.as_deref(),
            Some("@@ -1 +1,2 @@\n-127.0.0.1 localhost db1\n+127.0.0.1 localhost\n+10.0.0.5\tdb1\n")
        );
        converge(node, &store, &*absent).unwrap();
        assert_eq!(node.read(&path, 99).unwrap(), b"127.0.0.1 localhost\n");
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o640);
    });
}

proptest! {
    #[test]
    fn editing_twice_is_editing_once_and_leads_each_name_to_the_address(
        text in prop::collection::vec(("(10.0.0.[56]|::1|# x|)", prop::collection::vec("[abc]", 0..4), "( #.)?"), 0..6),
        address in prop_oneof![Just("10.0.0.5"), Just("::1")],
        wanted in prop::sample::subsequence(vec!["a", "b", "c"], 1..3),
        kind in 0..3,
    ) {
        let text: String = text.into_iter().map(|(address, names, tail)| format!("{address} {}{tail}\n", names.join(" "))).collect();
        let edit = match kind {
            0 => Edit::Absent { names: names(&wanted) },
            _ => Edit::Present { names: names(&wanted), exclusive: kind == 1 },
        };
        let entry = entry(address, edit);
        let once = edited(&entry, &text);
        prop_assert_eq!(&edited(&entry, &once), &once);
        let leads = |name: &str| -> Vec<String> {
            let lines = once.lines().filter_map(|line| HostLine::read(line.as_bytes()));
            let lines = lines.filter(|line| line.address.same_family(&entry.address));
            lines.filter(|line| line.names.iter().any(|found| found == name)).map(|line| line.address.text).collect()
        };
        for name in wanted {
            match kind {
                0 => prop_assert!(!leads(name).contains(&address.to_owned())),
                _ => prop_assert_eq!(leads(name), [address]),
            }
        }
    }
}
