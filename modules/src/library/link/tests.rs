//! The link module over an image and over a real directory.

use cm_wire::Value;

use super::*;
use crate::library::trial::{Store, at, converge, everywhere, lines, look, put, put_directory, task};

#[test]
fn a_link_is_made_and_turned() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("current"));
        let link = |target: &str| task("link", &[("path", at(&path)), ("target", target.into())]);
        let changes = converge(node, &store, &*link("releases/1")).unwrap();
        assert_eq!(lines(&changes), ["state: - -> link", "target: - -> releases/1"]);
        let changes = converge(node, &store, &*link("releases/2")).unwrap();
        assert_eq!(lines(&changes), ["target: releases/1 -> releases/2"]);
        assert_eq!(node.read_link(&path).unwrap(), Path::new("releases/2"));
    });
}

#[test]
fn a_file_is_replaced_only_by_force_and_a_directory_never() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("link"));
        let link = |force: bool| {
            task("link", &[("path", at(&path)), ("target", "x".into()), ("force", force.into())])
        };
        put(node, &path, b"", 0o644);
        let problem = converge(node, &store, &*link(false)).unwrap_err();
        assert!(problem.message.ends_with("/link is a file, not a link"));
        assert_eq!(problem.hint.unwrap(), "`force: true` replaces it");
        let changes = converge(node, &store, &*link(true)).unwrap();
        assert_eq!(lines(&changes), ["state: file -> link", "target: - -> x"]);
        node.remove(&path).unwrap();
        put_directory(node, &path);
        assert!(
            converge(node, &store, &*link(true)).unwrap_err().message.ends_with("is a directory, not a link")
        );
    });
}

#[test]
fn absence_takes_links_and_by_force_files() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("link"));
        let absent = |force: bool| {
            task("link", &[("path", at(&path)), ("state", "absent".into()), ("force", force.into())])
        };
        assert_eq!(look(node, &store, &*absent(false)), []);
        node.make_link(&path, Path::new("nowhere")).unwrap();
        assert_eq!(lines(&converge(node, &store, &*absent(false)).unwrap()), ["state: link -> -"]);
        put(node, &path, b"", 0o644);
        assert_eq!(
            converge(node, &store, &*absent(false)).unwrap_err().hint.unwrap(),
            "`force: true` removes it"
        );
        converge(node, &store, &*absent(true)).unwrap();
    });
}

#[test]
fn the_owner_is_the_links_own() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let (store, path, target) = (Store::default(), base.join("link"), base.join("target"));
        put(node, &target, b"", 0o644);
        let link = |target: &str, owner: Option<&str>| {
            let mut params = vec![("path", at(&path)), ("target", target.into())];
            params.extend(owner.map(|owner| ("owner", owner.into())));
            task("link", &params)
        };
        let changes = converge(node, &store, &*link("target", Some("4242"))).unwrap();
        assert_eq!(lines(&changes)[2], "owner: - -> 4242");
        let ids = |path: &Path| node.stat(path).unwrap().unwrap().uid;
        assert_eq!((ids(&path), ids(&target)), (4242, 0));
        converge(node, &store, &*link("elsewhere", None)).unwrap();
        assert_eq!(ids(&path), 4242, "a turned link keeps its owner");
    });
}

#[test]
fn what_it_points_to_comes_first() {
    let needs = |path: &str, target: &str| {
        task("link", &[("path", path.into()), ("target", target.into())]).touches().needs
    };
    assert_eq!(needs("/a/b", "/c/d"), [Thing::Path("/c/d".into())]);
    assert_eq!(needs("/a/b", "../c/./d"), [Thing::Path("/c/d".into())]);
    assert_eq!(needs("/a/b", "../../../c"), []);
    assert_eq!(needs("/a/b", "b/c"), [], "nothing of it can come first");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |pairs: &[(&str, Value)]| {
        let mut params: Params =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("path".into(), "/x".into());
        compile(&params).err().expect("it is refused").to_string()
    };
    assert_eq!(error(&[]), "`target` is required (a string)");
    assert!(error(&[("target", "".into())]).contains("not empty"));
    assert!(error(&[("state", "absent".into()), ("target", "a".into())]).contains("to be absent"));
}
