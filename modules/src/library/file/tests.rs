//! The file module over an image and over a real directory.

use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Empty, Overlay, Real,
    library::trial::{Store, at, context, converge, everywhere, lines, look, put, put_directory, task},
    node::Files,
};

#[test]
fn a_new_file_is_told_and_made() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("motd"));
        let file =
            task("file", &[("path", at(&path)), ("content", store.text("hello\n")), ("mode", "0640".into())]);
        let changes = converge(node, &store, &*file).unwrap();
        let digest = cm_wire::Digest::of(b"hello\n").short();
        let told = [
            "state: - -> file".into(),
            format!("content: - -> {digest} (6 bytes)"),
            "mode: - -> 0640".into(),
        ];
        assert_eq!(lines(&changes), told);
        assert_eq!(changes[1].diff.as_deref(), Some("@@ -0,0 +1 @@\n+hello\n"));
        let stat = node.stat(&path).unwrap().unwrap();
        assert_eq!((stat.mode, stat.uid, stat.gid), (0o640, node.own_ids().0, node.own_ids().1));
        assert_eq!(node.read(&path, 10).unwrap(), b"hello\n");
    });
}

#[test]
fn a_changed_file_keeps_what_is_not_given() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("conf"));
        put(node, &path, b"a\nb\n", 0o2600);
        let file = task("file", &[("path", at(&path)), ("content", store.text("a\nc\n"))]);
        let changes = converge(node, &store, &*file).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].diff.as_deref(), Some("@@ -1,2 +1,2 @@\n a\n-b\n+c\n"));
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o2600);
    });
}

#[test]
fn an_unchanged_file_is_neither_fetched_nor_announced() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    put(&node, Path::new("/x"), b"same", 0o644);
    let file =
        task("file", &[("path", "/x".into()), ("content", store.text("same")), ("mode", "0644".into())]);
    assert_eq!(look(&node, &store, &*file), []);
    assert!(store.fetched.lock().unwrap().is_empty() && store.announced.lock().unwrap().is_empty());
}

#[test]
fn a_large_content_is_not_sent_for_a_plan() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    let large = Value::Content(store.add(&vec![b'x'; 2 * 1024 * 1024]));
    let file = task("file", &[("path", "/x".into()), ("source", large)]);
    let plan = context(&node, &store, Mode::Plan);
    assert!(matches!(file.look(&plan).unwrap(), Seen::Differs(_)));
    file.change(&plan).unwrap();
    assert_eq!(file.look(&plan).unwrap(), Seen::AsWanted);
    assert!(store.fetched.lock().unwrap().is_empty());
}

#[test]
fn binary_and_large_contents_are_told_by_digest_and_size() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("data"));
        put(node, &path, b"\0old", 0o644);
        let file = task("file", &[("path", at(&path)), ("content", store.text("new"))]);
        let changes = converge(node, &store, &*file).unwrap();
        assert_eq!(changes[0].diff, None);
        assert!(changes[0].before.as_ref().unwrap().ends_with(" (4 bytes)"));
    });
}

#[test]
fn secrets_are_never_told() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    let file = task("file", &[("path", "/x".into()), ("content", store.text("hunter2"))]);
    let told = |node: &dyn crate::Node| {
        let context = Context { sensitive: true, ..context(node, &store, Mode::Apply) };
        let seen = file.look(&context).unwrap();
        assert!(!format!("{seen:?}").contains("hunter2"));
        let Seen::Differs(changes) = seen else { panic!("it differs") };
        lines(&changes)
    };
    assert_eq!(told(&node), ["state: - -> file", "content: - -> [secret]"]);
    put(&node, Path::new("/x"), b"old secret", 0o644);
    assert_eq!(told(&node), ["content: [secret] -> [secret]"]);
}

#[test]
fn a_link_is_replaced_and_its_target_stays() {
    everywhere(|node, base| {
        let (store, path, target) = (Store::default(), base.join("link"), base.join("target"));
        put(node, &target, b"precious", 0o644);
        node.make_link(&path, Path::new("target")).unwrap();
        let file = task("file", &[("path", at(&path)), ("content", store.text("x"))]);
        assert_eq!(lines(&converge(node, &store, &*file).unwrap()), ["state: link -> file"]);
        assert_eq!(node.read(&target, 100).unwrap(), b"precious");
    });
}

#[test]
fn a_directory_is_never_replaced_or_removed() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("dir"));
        put_directory(node, &path);
        let file = task("file", &[("path", at(&path)), ("content", store.text("x"))]);
        let problem = converge(node, &store, &*file).unwrap_err();
        assert!(problem.message.ends_with("dir is a directory, not a file"), "{}", problem.message);
        let absent = task("file", &[("path", at(&path)), ("state", "absent".into())]);
        let problem = converge(node, &store, &*absent).unwrap_err();
        assert!(problem.hint.unwrap().contains("`- directory: "));
    });
}

#[test]
fn absence_is_made_and_kept() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("gone"));
        let file = task("file", &[("path", at(&path)), ("state", "absent".into())]);
        assert_eq!(look(node, &store, &*file), []);
        put(node, &path, b"x", 0o644);
        assert_eq!(lines(&converge(node, &store, &*file).unwrap()), ["state: file -> -"]);
    });
}

#[test]
fn a_missing_directory_is_named() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("a/b/c"));
        let file = task("file", &[("path", at(&path)), ("content", store.text("x"))]);
        let problem = converge(node, &store, &*file).unwrap_err();
        let (a, b) = (base.join("a"), base.join("a/b"));
        let message = format!("writing {}: the directory {} is not there", path.display(), a.display());
        assert_eq!(problem.message, message);
        assert_eq!(problem.hint.unwrap(), format!("a task `- directory: {}` makes it", b.display()));
        put(node, &a, b"", 0o644);
        let problem = converge(node, &store, &*file).unwrap_err();
        assert!(problem.message.ends_with("/a is a file, not a directory"), "{}", problem.message);
    });
}

#[test]
fn a_file_without_content_is_made_once() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("log"));
        let file = task("file", &[("path", at(&path)), ("mode", "0600".into())]);
        converge(node, &store, &*file).unwrap();
        put(node, &path, b"lines", 0o644);
        assert_eq!(lines(&converge(node, &store, &*file).unwrap()), ["mode: 0644 -> 0600"]);
        assert_eq!(node.read(&path, 10).unwrap(), b"lines");
    });
}

#[test]
fn the_group_of_a_setgid_directory_is_passed_on() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let (store, shared) = (Store::default(), base.join("shared"));
        node.make_directory(&shared, Attributes { mode: 0o2775, uid: 0, gid: 4242 }).unwrap();
        let path = shared.join("file");
        converge(node, &store, &*task("file", &[("path", at(&path)), ("content", store.text("x"))])).unwrap();
        assert_eq!(node.stat(&path).unwrap().unwrap().gid, 4242);
        let below = shared.join("below");
        converge(node, &store, &*task("directory", &[("path", at(&below))])).unwrap();
        let stat = node.stat(&below).unwrap().unwrap();
        assert_eq!((stat.mode, stat.gid), (0o2755, 4242));
    });
}

#[test]
fn a_new_owner_does_not_take_the_setuid_bit_that_was_there() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let (store, path) = (Store::default(), base.join("program"));
        put(node, &path, b"x", 0o4755);
        let file = task("file", &[("path", at(&path)), ("owner", "4242".into())]);
        assert_eq!(lines(&converge(node, &store, &*file).unwrap()).len(), 1);
        assert_eq!(node.stat(&path).unwrap().unwrap().mode, 0o4755);
    });
}

#[test]
fn edits_of_other_tasks_are_part_of_the_content() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    let path = ("path", Value::from("/x"));
    let file = task("file", &[path.clone(), ("content", store.text("a\n"))]);
    let line = task("line", &[path, ("text", "b".into())]);
    let edits: [&dyn Resource; 1] = [&*line];
    let context = Context { edits: &edits, ..context(&node, &store, Mode::Apply) };
    let Seen::Differs(changes) = file.look(&context).unwrap() else { panic!("it differs") };
    assert_eq!(changes[1].diff.as_deref(), Some("@@ -0,0 +1,2 @@\n+a\n+b\n"));
    file.change(&context).unwrap();
    assert_eq!(node.read(Path::new("/x"), 10).unwrap(), b"a\nb\n");
    assert_eq!(file.look(&context).unwrap(), Seen::AsWanted);
    assert_eq!(line.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn a_refused_file_leaves_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let (node, store, path) = (Real::new(), Store::default(), directory.path().join("it's a file"));
    put(&node, &path, b"good", 0o600);
    let file = |content: &str| {
        task(
            "file",
            &[("path", at(&path)), ("content", store.text(content)), ("validate", "grep -q good %s".into())],
        )
    };
    let problem = file("bad").change(&context(&node, &store, Mode::Apply)).unwrap_err();
    assert!(problem.message.starts_with("`grep -q good %s` refused the new "), "{}", problem.message);
    assert_eq!(node.read(&path, 10).unwrap(), b"good");
    converge(&node, &store, &*file("very good")).unwrap();
    assert_eq!(node.read(&path, 10).unwrap(), b"very good");
    assert_eq!(node.list(directory.path()).unwrap().len(), 1);
}

#[test]
fn two_contents_are_refused() {
    let store = Store::default();
    let params = [("path", Value::from("/x")), ("content", store.text("a")), ("template", store.text("b"))]
        .map(|(k, v)| (k.to_owned(), v));
    let error = crate::registry::compile("file", &params.into()).err().expect("it is refused");
    assert_eq!(error.to_string(), "`template` cannot be given together with `content`");
}

/// A package or command that is only predicted may bring the user, the group and the directory.
#[test]
fn a_plan_assumes_what_may_come_with_what_was_predicted() {
    let (below, store) = (Overlay::new(&Empty), Store::default());
    let image = Overlay::new(&below);
    let plan = context(&image, &store, Mode::Plan);
    let params = [("path", "/etc/nginx/x".into()), ("content", store.text("x")), ("owner", "www".into())];
    let file = task("file", &params);
    assert!(file.change(&plan).unwrap_err().message.contains("there is no user `www`"));
    let command = Command::change(&["install-it"], plan.deadline);
    assert!(crate::node::Commands::run(&image, &command).unwrap().success());
    file.change(&plan).unwrap();
    assert_eq!(file.look(&plan).unwrap(), Seen::AsWanted);
    let line = task("line", &[("path", "/etc/nginx/y".into()), ("text", "a".into())]);
    line.change(&plan).unwrap();
    assert_eq!(line.look(&plan).unwrap(), Seen::AsWanted);
}
