use std::time::Instant;

use cm_wire::Mode;

use super::*;
use crate::{
    Empty, Node, Overlay,
    library::trial::{Store, converge, lines, put, put_directory, task},
    node::{Files, Settings},
};

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    put_directory(&node, Path::new("/etc"));
    node
}

fn hostname(node: &dyn Node, name: &str) -> Vec<String> {
    let resource = task("hostname", &[("name", name.into())]);
    lines(&converge(node, &Store::default(), resource.as_ref()).unwrap())
}

#[test]
fn file_and_kernel_get_the_name() {
    let node = node();
    assert_eq!(hostname(&node, "web1"), ["file: - -> web1", "kernel: - -> web1"]);
    assert!(hostname(&node, "web1").is_empty());
    assert_eq!(node.read(Path::new(FILE), 100).unwrap(), b"web1\n");
    // Each of them alone.
    put(&node, Path::new(FILE), b"other\n", 0o640);
    assert_eq!(hostname(&node, "web1"), ["file: other -> web1"]);
    assert_eq!(node.stat(Path::new(FILE)).unwrap().unwrap().mode, 0o640);
    node.set(SettingKind::Hostname, KERNEL, Some("other"), Instant::now()).unwrap();
    assert_eq!(hostname(&node, "web1"), ["kernel: other -> web1"]);
}

#[test]
fn comments_of_the_file_are_no_drift_and_a_link_is_replaced() {
    let node = node();
    hostname(&node, "web1.example.org");
    put(&node, Path::new(FILE), b"# ours\n\n  web1.example.org  \n", 0o644);
    assert!(hostname(&node, "web1.example.org").is_empty());
    put(&node, Path::new("/etc/other"), b"web1\n", 0o644);
    node.remove(Path::new(FILE)).unwrap();
    node.make_link(Path::new(FILE), Path::new("other")).unwrap();
    assert_eq!(hostname(&node, "web2"), ["file: - -> web2", "kernel: web1.example.org -> web2"]);
    assert_eq!(node.read(Path::new("/etc/other"), 100).unwrap(), b"web1\n");
}

#[test]
fn names_that_no_host_can_have_are_refused() {
    for wrong in ["", "a b", "-a", "a-", "a..b", ".a", "a.", "ä", "a_b", &"a".repeat(65), "a\nb"] {
        assert!(check(wrong).is_err(), "{wrong:?}");
    }
    for right in ["a", "A1-b.example.org", &"a".repeat(63)] {
        assert_eq!(check(right), Ok(()), "{right:?}");
    }
    assert!(HostName::read(&Value::Int(1)).is_err());
}

#[test]
fn a_sensitive_name_is_not_shown_and_all_that_is_touched_is_kept() {
    let node = node();
    let resource = task("hostname", &[("name", "hush".into())]);
    let context = Context { sensitive: true, ..crate::bench::context(&node, Mode::Plan) };
    let Seen::Differs(changes) = resource.look(&context).unwrap() else { panic!("it differs") };
    assert_eq!(lines(&changes), ["file: - -> [secret]", "kernel: - -> [secret]"]);
    let keeps = resource.keeps(&context);
    assert!(keeps.contains(&Thing::Path(FILE.into())));
    assert!(keeps.contains(&Thing::Setting(SettingKind::Hostname, KERNEL.into())));
}
