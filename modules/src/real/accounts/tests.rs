//! Against the real tools, in a tree of its own (`useradd --root`); the same operations over an overlay
//! must end in the same accounts.

use super::*;
use crate::{
    Node, Overlay,
    node::{Attributes, Content, Files},
};

/// A tree with the account files of a fresh Debian system.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let etc = dir.path().join("etc");
    std::fs::create_dir_all(etc.join("skel/.config")).unwrap();
    std::fs::create_dir_all(dir.path().join("home")).unwrap();
    let files = [
        ("skel/.profile", "# profile\n"),
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"),
        ("group", "root:x:0:\nadm:x:4:\nwww-data:x:33:\nusers:x:100:\nstaff:x:50:www-data\n"),
        ("shadow", "root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\n"),
        ("gshadow", "root:*::\nadm:*::\nwww-data:*::\nusers:*::\nstaff:*::www-data\n"),
        (
            "login.defs",
            "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nHOME_MODE 0750\nUSERGROUPS_ENAB yes\n",
        ),
    ];
    for (name, text) in files {
        std::fs::write(etc.join(name), text).unwrap();
    }
    dir
}

fn real(root: &Path) -> Real {
    Real { accounts: AccountsState::at(root), ..Real::default() }
}

fn create(name: &str) -> UserChange {
    UserChange { name: name.into(), create: true, ..UserChange::default() }
}

fn group(name: &str) -> GroupChange {
    GroupChange { name: name.into(), create: true, ..GroupChange::default() }
}

/// Something done to the accounts of a node.
type Step = fn(&dyn Node) -> Result<(), Problem>;

/// A life of accounts; each step on its own.
fn steps() -> Vec<(&'static str, Step)> {
    vec![
        ("a normal user", |node| {
            node.change_user(&UserChange {
                create_home: true,
                shell: Some("/bin/bash".into()),
                comment: Some("Anna B., room 1".into()),
                ..create("anna")
            })
        }),
        ("a system user", |node| node.change_user(&UserChange { system: true, ..create("svc") })),
        ("another", |node| node.change_user(&UserChange { system: true, ..create("svc2") })),
        ("a system group", |node| node.change_group(&GroupChange { system: true, ..group("ops") })),
        ("a group with an id", |node| node.change_group(&GroupChange { gid: Some(5000), ..group("dev") })),
        ("a user in groups", |node| {
            node.change_user(&UserChange {
                group: Some("dev".into()),
                groups: Some(vec!["adm".into(), "ops".into()]),
                home: Some("/srv/ben home".into()),
                create_home: true,
                password: Some("$6$salt$hash".into()),
                ..create("ben")
            })
        }),
        ("other groups", |node| {
            node.change_user(&UserChange {
                name: "ben".into(),
                groups: Some(vec!["adm".into(), "staff".into()]),
                ..UserChange::default()
            })
        }),
        ("members", |node| {
            node.change_group(&GroupChange {
                name: "ops".into(),
                members: Some(vec!["anna".into(), "svc".into()]),
                ..GroupChange::default()
            })
        }),
        ("locked", |node| {
            node.change_user(&UserChange {
                name: "ben".into(),
                password: Some("!$6$salt$hash".into()),
                shell: Some("/bin/sh".into()),
                comment: Some("Ben".into()),
                ..UserChange::default()
            })
        }),
        ("no groups", |node| {
            node.change_user(&UserChange {
                name: "ben".into(),
                groups: Some(Vec::new()),
                ..UserChange::default()
            })
        }),
        ("another id", |node| {
            node.change_user(&UserChange { name: "svc2".into(), uid: Some(1234), ..UserChange::default() })
        }),
        ("another group id", |node| {
            node.change_group(&GroupChange { name: "ops".into(), gid: Some(6000), ..GroupChange::default() })
        }),
        ("a user goes", |node| node.remove_user("anna", true)),
        ("a system user goes", |node| node.remove_user("svc", false)),
        ("a group goes", |node| node.remove_group("ops")),
        ("the next normal user", |node| node.change_user(&create("eve"))),
    ]
}

/// All that can be seen of the accounts.
fn seen(node: &dyn Node) -> Vec<String> {
    let mut seen = Vec::new();
    for name in ["root", "www-data", "anna", "svc", "svc2", "ben", "eve"] {
        let user = node.user(name).unwrap().map(|mut user| {
            // The default shell is the distribution's.
            if user.shell == "/bin/bash" || user.shell.is_empty() {
                user.shell = "/bin/sh".into();
            }
            (node.group_name(user.gid), user)
        });
        seen.push(format!("{name}: {user:?}"));
    }
    for name in ["adm", "staff", "anna", "svc", "svc2", "ops", "dev", "eve"] {
        let group = node.group(name).unwrap().map(|mut group| {
            group.members.sort();
            group
        });
        seen.push(format!("{name}: {group:?}"));
    }
    for id in [0, 33, 1000, 1001, 999, 998, 997, 1234, 5000, 6000] {
        seen.push(format!("{id}: {} {}", node.user_name(id), node.group_name(id)));
    }
    seen
}

#[test]
fn the_overlay_agrees_with_the_real_tools() {
    if !geteuid().is_root() || !Path::new("/usr/sbin/useradd").exists() {
        return;
    }
    let (changed, planned) = (tree(), tree());
    let (real, below) = (real(changed.path()), real(planned.path()));
    // The overlay reads login.defs and the like through the file system part, which has no root of its
    // own; so those of the tree are laid over this machine's in memory.
    let below = Overlay::new(&below);
    lay(&below, planned.path());
    let overlay = Overlay::new(&below);
    for (name, change) in steps() {
        let (real, overlay): (&dyn Node, &dyn Node) = (&real, &overlay);
        change(real).unwrap_or_else(|problem| panic!("{name} on the machine: {problem:?}"));
        change(overlay).unwrap_or_else(|problem| panic!("{name} in memory: {problem:?}"));
        assert_eq!(seen(real), seen(overlay), "after: {name}");
    }
}

fn lay(overlay: &Overlay<'_>, tree: &Path) {
    overlay.remove_tree(Path::new("/etc/skel")).unwrap();
    let attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
    overlay.make_directory(Path::new("/etc/skel"), attributes).unwrap();
    for name in ["etc/passwd", "etc/group", "etc/login.defs", "etc/skel/.profile"] {
        let content = Content::Bytes(std::fs::read(tree.join(name)).unwrap());
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        overlay.write(&Path::new("/").join(name), &content, attributes, None).unwrap().unwrap();
    }
    overlay
        .write(Path::new("/etc/default/useradd"), &Content::Bytes(Vec::new()), attributes, None)
        .unwrap()
        .unwrap();
}

#[test]
fn a_new_home_is_that_of_useradd() {
    if !geteuid().is_root() {
        return;
    }
    let (changed, planned) = (tree(), tree());
    let below = real(planned.path());
    let below = Overlay::new(&below);
    lay(&below, planned.path());
    let overlay = Overlay::new(&below);
    let change = UserChange { create_home: true, home: Some("/srv/deep/eve".into()), ..create("eve") };
    real(changed.path()).change_user(&change).unwrap();
    overlay.change_user(&change).unwrap();
    for path in ["srv", "srv/deep", "srv/deep/eve", "srv/deep/eve/.profile"] {
        let made = Real::new().stat(&changed.path().join(path)).unwrap().unwrap();
        let predicted = overlay.stat(&Path::new("/").join(path)).unwrap().unwrap();
        assert_eq!(
            (made.kind, made.mode, made.uid, made.gid),
            (predicted.kind, predicted.mode, predicted.uid, predicted.gid),
            "{path}"
        );
    }
}

#[test]
fn changed_files_are_read_again_and_unchanged_ones_are_not() {
    let dir = tree();
    let real = real(dir.path());
    assert_eq!(real.user("eve").unwrap(), None);
    let first = real.accounts.snapshot().unwrap();
    assert!(Arc::ptr_eq(&first, &real.accounts.snapshot().unwrap()));
    let passwd = dir.path().join("etc/passwd");
    let text = std::fs::read_to_string(&passwd).unwrap() + "eve:x:1500:100:Eve:/home/eve:/bin/sh\n";
    std::fs::write(&passwd, text).unwrap();
    let eve = real.user("eve").unwrap().unwrap();
    assert_eq!((eve.uid, eve.gid, eve.comment.as_str()), (1500, 100, "Eve"));
    assert_eq!(real.user_name(1500), "eve");
    assert_eq!(real.group_name(4242), "4242");
}

#[test]
fn a_tool_that_refuses_is_quoted() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tree();
    let real = real(dir.path());
    let change = UserChange { group: Some("nope".into()), ..create("eve") };
    let problem = real.change_user(&change).unwrap_err();
    assert!(
        problem.message.contains("exited with status 6: useradd: group 'nope' does not exist"),
        "{problem:?}"
    );
}

#[test]
fn a_lock_held_by_another_is_waited_for() {
    if !geteuid().is_root() {
        return;
    }
    let dir = tree();
    let lock = dir.path().join("etc/group.lock");
    // The tools wait themselves for a process that they know; of this lock they say at once that it is
    // held.
    std::fs::write(&lock, "somebody").unwrap();
    let real = real(dir.path());
    std::thread::scope(|scope| {
        let change = scope.spawn(|| real.change_group(&group("ops")));
        let patience = Instant::now() + Duration::from_secs(10);
        // The tool makes this one before it looks at the others.
        while !dir.path().join("etc/.pwd.lock").exists() && Instant::now() < patience {
            std::thread::yield_now();
        }
        // Long enough for it to have failed once; the test holds without that, too, but proves less.
        std::thread::sleep(Duration::from_millis(100));
        std::fs::remove_file(&lock).unwrap();
        change.join().unwrap().unwrap();
    });
    assert!(real.group("ops").unwrap().is_some());
}
