//! The tree module over an image and over a real directory.

use cm_wire::{ContentRef, Digest, Mode, TreeKind, Value};

use super::*;
use crate::{
    Empty, Node, Overlay, Real,
    library::trial::{Store, at, context, converge, everywhere, lines, look, put, put_directory, task},
    node::{Attributes, FileKind, Files},
};

fn site(store: &Store) -> Value {
    store.tree(&[
        ("bin/", ""),
        ("bin/run*", "#!/bin/sh\n"),
        ("index.html", "hello\n"),
        ("latest -> index.html", ""),
    ])
}

fn mode(node: &dyn Node, path: &Path) -> u32 {
    node.stat(path).unwrap().unwrap().mode
}

#[test]
fn a_tree_is_copied_with_folders_links_and_executable_bits() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("srv/www"));
        let tree = task("tree", &[("path", at(&path)), ("source", site(&store))]);
        let changes = converge(node, &store, &*tree).unwrap();
        let digest = |text: &str| Digest::of(text.as_bytes()).short();
        assert_eq!(
            lines(&changes),
            [
                "state: - -> directory".into(),
                "bin: - -> directory".into(),
                format!("bin/run: - -> {} (10 bytes)", digest("#!/bin/sh\n")),
                format!("index.html: - -> {} (6 bytes)", digest("hello\n")),
                "latest: - -> link to index.html".to_owned(),
            ]
        );
        assert_eq!(changes[3].diff.as_deref(), Some("@@ -0,0 +1 @@\n+hello\n"));
        assert_eq!((mode(node, &path.join("bin/run")), mode(node, &path.join("index.html"))), (0o755, 0o644));
        assert_eq!(node.read_link(&path.join("latest")).unwrap(), Path::new("index.html"));
    });
}

#[test]
fn only_what_differs_is_told_touched_and_kept() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("www"));
        let tree = task("tree", &[("path", at(&path)), ("source", site(&store))]);
        converge(node, &store, &*tree).unwrap();
        put(node, &path.join("index.html"), b"changed\n", 0o664);
        put(node, &path.join("extra"), b"", 0o644);
        node.set_mode(&path.join("bin/run"), 0o640).unwrap();
        store.announced.lock().unwrap().clear();
        let changes = look(node, &store, &*tree);
        assert_eq!(changes.len(), 2);
        assert_eq!(lines(&changes)[0], "bin/run mode: 0640 -> 0750");
        assert_eq!(changes[1].diff.as_deref(), Some("@@ -1 +1 @@\n-changed\n+hello\n"));
        assert_eq!(store.announced.lock().unwrap().len(), 1, "in one go");
        let kept = ["bin/run", "index.html"].map(|name| Thing::Path(path.join(name)));
        assert_eq!(
            tree.keeps(&context(node, &store, Mode::Apply)),
            [&[Thing::Path(path.clone())], &kept[..]].concat()
        );
        converge(node, &store, &*tree).unwrap();
        assert_eq!(mode(node, &path.join("index.html")), 0o664, "a mode that is not given stays");
        assert!(node.stat(&path.join("extra")).unwrap().is_some());
    });
}

#[test]
fn delete_takes_what_is_not_in_the_folder_and_leaves_what_is_excluded() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("www"));
        let exclude = Value::List(vec!["*.log".into(), "cache".into()]);
        let params =
            [("path", at(&path)), ("source", site(&store)), ("delete", true.into()), ("exclude", exclude)];
        let tree = task("tree", &params);
        converge(node, &store, &*tree).unwrap();
        for directory in ["old", "old/deep", "cache", "bin/cache", "logs"] {
            put_directory(node, &path.join(directory));
        }
        for file in ["old/deep/file", "cache/x", "bin/cache/x", "logs/a.log", "logs/b.txt", "bin/extra"] {
            put(node, &path.join(file), b"", 0o644);
        }
        put(node, &base.join("outside"), b"", 0o644);
        node.make_link(&path.join("old/link"), &base.join("outside")).unwrap();
        let changes = converge(node, &store, &*tree).unwrap();
        assert_eq!(
            lines(&changes),
            [
                "bin/extra: file -> -",
                "logs/b.txt: file -> -",
                "old/deep/file: file -> -",
                "old/deep: directory -> -",
                "old/link: link -> -",
                "old: directory -> -",
            ]
        );
        for left in ["cache/x", "bin/cache/x", "logs/a.log"] {
            assert!(node.stat(&path.join(left)).unwrap().is_some(), "{left}");
        }
        assert!(node.stat(&base.join("outside")).unwrap().is_some());
    });
}

#[test]
fn excluded_entries_are_not_copied() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("www"));
        let tree = task("tree", &[("path", at(&path)), ("source", site(&store)), ("exclude", "bin".into())]);
        converge(node, &store, &*tree).unwrap();
        assert_eq!(node.list(&path).unwrap(), ["index.html", "latest"]);
    });
}

#[test]
fn what_is_in_the_way_goes_only_with_delete() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("www"));
        put_directory(node, &path);
        put_directory(node, &path.join("index.html"));
        put(node, &path.join("index.html/x"), b"", 0o644);
        put_directory(node, &path.join("latest"));
        put(node, &base.join("precious"), b"", 0o644);
        node.make_link(&path.join("bin"), base).unwrap();
        let tree = |delete: bool| {
            task("tree", &[("path", at(&path)), ("source", site(&store)), ("delete", delete.into())])
        };
        let problem = converge(node, &store, &*tree(false)).unwrap_err();
        assert!(problem.message.ends_with("/www/bin is a link, not a directory"), "{}", problem.message);
        assert!(problem.hint.unwrap().starts_with("`delete: true` removes"));
        let tree = tree(true);
        look(node, &store, &*tree);
        let kept = tree.keeps(&context(node, &store, Mode::Apply));
        assert!(kept.contains(&Thing::Path(path.join("index.html/x"))), "it goes, too: {kept:?}");
        assert_eq!(kept.iter().filter(|thing| **thing == Thing::Path(path.join("index.html"))).count(), 1);
        converge(node, &store, &*tree).unwrap();
        assert_eq!(node.list(&path).unwrap(), ["bin", "index.html", "latest"]);
        assert!(node.stat(&base.join("precious")).unwrap().is_some(), "the link was not followed");
    });
}

#[test]
fn something_else_in_place_of_the_whole_is_an_error_even_with_delete() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("www"));
        put(node, &path, b"", 0o644);
        let tree = task("tree", &[("path", at(&path)), ("source", site(&store)), ("delete", true.into())]);
        let problem = converge(node, &store, &*tree).unwrap_err();
        assert!(problem.message.ends_with("/www is a file, not a directory"));
    });
}

#[test]
fn modes_and_owner_are_for_everything() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let (store, path) = (Store::default(), base.join("www"));
        let params = |more: &[(&'static str, Value)]| {
            let mut params = vec![("path", at(&path)), ("source", site(&store))];
            params.extend_from_slice(more);
            task("tree", &params)
        };
        converge(node, &store, &*params(&[])).unwrap();
        let tree = params(&[
            ("file_mode", "0640".into()),
            ("dir_mode", "0750".into()),
            ("owner", "4242".into()),
            ("group", "4343".into()),
        ]);
        converge(node, &store, &*tree).unwrap();
        let modes = ["", "bin", "bin/run", "index.html"].map(|name| mode(node, &path.join(name)));
        assert_eq!(modes, [0o750, 0o750, 0o750, 0o640]);
        for name in ["bin", "bin/run", "latest"] {
            let stat = node.stat(&path.join(name)).unwrap().unwrap();
            assert_eq!((stat.uid, stat.gid), (4242, 4343), "{name}");
        }
    });
}

#[test]
fn names_may_hold_any_bytes() {
    everywhere(|node, base| {
        let (store, path) = (Store::default(), base.join("www"));
        let names: [&[u8]; 4] = [b"\xff\xfe", b"new\nline", b"quote'\"", b" space "];
        let mut entries: Vec<TreeEntry> = names
            .iter()
            .map(|name| TreeEntry {
                path: name.to_vec(),
                kind: TreeKind::File { content: store.add(name), executable: false },
            })
            .collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let tree =
            task("tree", &[("path", at(&path)), ("source", Value::Tree(entries)), ("delete", true.into())]);
        converge(node, &store, &*tree).unwrap();
        for name in names {
            assert_eq!(node.read(&path.join(OsStr::from_bytes(name)), 100).unwrap(), name);
        }
        put(node, &path.join(OsStr::from_bytes(b"\xfe\n")), b"", 0o644);
        assert_eq!(lines(&converge(node, &store, &*tree).unwrap()), ["\u{fffd}\\n: file -> -"]);
    });
}

#[test]
fn an_entry_that_leads_out_is_refused() {
    for path in ["../x", "a/../../x", "/etc/passwd", "a//b", ".", ""] {
        let entry = TreeEntry { path: path.into(), kind: TreeKind::Directory };
        let params = [("path", Value::from("/x")), ("source", Value::Tree(vec![entry]))]
            .map(|(k, v)| (k.to_owned(), v));
        assert!(compile(&params.into()).is_err(), "{path}");
    }
}

#[test]
fn thousands_of_files_are_listed_within_bounds() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    let content = store.add("some text\n".repeat(10).as_bytes());
    let entry = |number: u32| TreeEntry {
        path: format!("file{number:05}").into(),
        kind: TreeKind::File { content, executable: false },
    };
    let entries: Vec<TreeEntry> = (0..6000).map(entry).collect();
    let tree = task("tree", &[("path", "/x".into()), ("source", Value::Tree(entries))]);
    let changes = look(&node, &store, &*tree);
    assert_eq!(changes.iter().filter(|change| change.diff.is_some()).count(), 40);
    assert_eq!(lines(&changes).last().unwrap(), "more: - -> 2001 more differences");
    tree.change(&context(&node, &store, Mode::Apply)).unwrap();
    assert_eq!(look(&node, &store, &*tree), []);
}

/// A copy that fails in the middle leaves whole files, and the next run ends it.
#[test]
fn a_failed_copy_is_taken_up_again() {
    let (node, store) = (Real::new(), Store::default());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("www");
    let mut entries: Vec<TreeEntry> = (0..40)
        .map(|number| TreeEntry {
            path: format!("file{number:02}").into(),
            kind: TreeKind::File { content: store.add(&[number; 100]), executable: false },
        })
        .collect();
    let lost = ContentRef { digest: Digest::of(b"lost"), size: 4 };
    entries[20].kind = TreeKind::File { content: lost, executable: false };
    let tree = task("tree", &[("path", at(&path)), ("source", Value::Tree(entries))]);
    let problem = tree.change(&context(&node, &store, Mode::Apply)).unwrap_err();
    assert_eq!(problem.message, "no such content");
    for name in node.list(&path).unwrap() {
        assert_eq!(node.read(&path.join(name), 100).unwrap().len(), 100);
    }
    store.add(b"lost");
    converge(&node, &store, &*tree).unwrap();
    assert_eq!(node.list(&path).unwrap().len(), 40);
}

#[test]
fn a_new_folder_in_a_shared_directory_passes_its_group_on() {
    everywhere(|node, base| {
        if node.own_ids().0 != 0 {
            return;
        }
        let (store, shared) = (Store::default(), base.join("shared"));
        node.make_directory(&shared, Attributes { mode: 0o2775, uid: 0, gid: 4242 }).unwrap();
        let tree = task("tree", &[("path", at(&shared.join("www"))), ("source", site(&store))]);
        converge(node, &store, &*tree).unwrap();
        let stat = node.stat(&shared.join("www/bin/run")).unwrap().unwrap();
        assert_eq!((stat.kind, stat.gid), (FileKind::File, 4242));
    });
}
