//! The directory module over an image and over a real directory.

use cm_wire::{Mode, Value};

use super::*;
use crate::{
    library::trial::{Store, at, context, converge, everywhere, lines, look, put, put_directory, task},
    node::Attributes,
};

#[test]
fn a_directory_is_made_with_its_parents() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("a/b/c"));
        let directory = task("directory", &[("path", at(&path)), ("mode", "0700".into())]);
        let changes = converge(node, &store, &*directory).unwrap();
        assert_eq!(lines(&changes), ["state: - -> directory", "mode: - -> 0700"]);
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o700);
        assert_eq!(node.stat(&base.join("a/b")).unwrap().unwrap().mode, 0o755);
    });
}

#[test]
fn parents_that_are_to_be_made_are_kept_in_the_journal() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("a/b/c"));
        let directory = task("directory", &[("path", at(&path))]);
        look(node, &store, &*directory);
        let kept: Vec<Thing> = [path, base.join("a"), base.join("a/b")].map(Thing::Path).into();
        assert_eq!(directory.keeps(&context(node, &store, Mode::Apply)), kept);
    });
}

#[test]
fn parents_can_be_left_to_others() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("a/b"));
        let directory = task("directory", &[("path", at(&path)), ("parents", false.into())]);
        let problem = converge(node, &store, &*directory).unwrap_err();
        assert!(problem.message.ends_with("/a is not there"), "{}", problem.message);
        assert!(problem.hint.unwrap().contains("- directory: "));
    });
}

#[test]
fn what_is_not_given_stays() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("a"));
        let (uid, gid) = node.own_ids();
        node.make_directory(&path, Attributes { mode: 0o1770, uid, gid }).unwrap();
        assert_eq!(look(node, &store, &*task("directory", &[("path", at(&path))])), []);
        let directory = task("directory", &[("path", at(&path)), ("mode", "0755".into())]);
        assert_eq!(lines(&converge(node, &store, &*directory).unwrap()), ["mode: 1770 -> 0755"]);
    });
}

#[test]
fn something_else_in_its_place_is_an_error() {
    everywhere(|node, base| {
        let store = Store::default();
        put(node, &base.join("file"), b"", 0o644);
        node.make_link(&base.join("link"), Path::new(".")).unwrap();
        for name in ["file", "link"] {
            let directory = task("directory", &[("path", at(&base.join(name)))]);
            let problem = converge(node, &store, &*directory).unwrap_err();
            assert!(problem.message.ends_with(&format!("{name} is a {name}, not a directory")));
            assert!(problem.hint.is_some());
            let absent = task("directory", &[("path", at(&base.join(name))), ("state", "absent".into())]);
            assert!(
                converge(node, &store, &*absent).unwrap_err().hint.unwrap().contains(&format!("`- {name}: "))
            );
        }
    });
}

#[test]
fn a_full_directory_goes_only_with_recurse() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("a"));
        let absent = |recurse: bool| {
            task("directory", &[("path", at(&path)), ("state", "absent".into()), ("recurse", recurse.into())])
        };
        assert_eq!(look(node, &store, &*absent(true)), []);
        put_directory(node, &path);
        assert_eq!(lines(&converge(node, &store, &*absent(false)).unwrap()), ["state: directory -> -"]);
        put_directory(node, &path);
        put_directory(node, &path.join("b"));
        put(node, &path.join("b/c"), b"", 0o644);
        let problem = converge(node, &store, &*absent(false)).unwrap_err();
        assert!(problem.message.ends_with("/a is not empty: b"), "{}", problem.message);
        assert_eq!(problem.hint.unwrap(), "`recurse: true` removes what is in it, too");
        let told = ["state: directory -> -", "content: 2 entries -> -"];
        let recursive = absent(true);
        assert_eq!(lines(&converge(node, &store, &*recursive).unwrap()), told);
    });
}

#[test]
fn an_owner_is_passed_on_and_links_are_not_followed() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let (store, path) = (Store::default(), base.join("a"));
        put(node, &base.join("outside"), b"", 0o644);
        put_directory(node, &path);
        put_directory(node, &path.join("b"));
        put(node, &path.join("b/c"), b"", 0o4711);
        node.make_link(&path.join("link"), &base.join("outside")).unwrap();
        let directory =
            task("directory", &[("path", at(&path)), ("owner", "4242".into()), ("recurse", true.into())]);
        let changes = converge(node, &store, &*directory).unwrap();
        assert_eq!(lines(&changes)[0].split(": ").next(), Some("owner"));
        assert_eq!(lines(&changes)[1], "owner inside: 3 entries of others: b, link, b/c -> 4242:");
        let stat = |name: &str| node.stat(&base.join(name)).unwrap().unwrap();
        assert_eq!((stat("a/b/c").uid, stat("a/b/c").mode), (4242, 0o4711));
        assert_eq!((stat("a/link").uid, stat("outside").uid), (4242, 0));
    });
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |pairs: &[(&str, Value)]| {
        let params = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        crate::registry::compile("directory", &params).err().expect("it is refused").to_string()
    };
    let absent = ("state", Value::from("absent"));
    assert!(error(&[("path", "/".into()), absent.clone()]).contains("cannot be `/`"));
    assert!(error(&[("path", "/a".into()), absent, ("mode", "0755".into())]).starts_with("`mode` cannot"));
    assert!(error(&[("path", "/a".into()), ("recurse", true.into())]).contains("neither is given"));
}
