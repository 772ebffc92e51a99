use cm_wire::Mode;

use super::*;
use crate::{
    Empty, Node, Overlay,
    bench::context,
    node::{Accounts, Content, Files, GroupChange},
};

fn try_task(name: &str, more: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
    let mut params: Params = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.insert("name".into(), name.into());
    compile(&params)
}

fn task(name: &str, more: &[(&str, Value)]) -> Box<dyn Resource> {
    try_task(name, more).unwrap_or_else(|error| panic!("{error}"))
}

fn list(words: &[&str]) -> Value {
    Value::List(words.iter().map(|&word| word.into()).collect())
}

/// Looks, changes, looks again: the first look's changes, as `attribute before after`.
fn apply(node: &dyn Node, task: &dyn Resource) -> Vec<String> {
    let context = context(node, Mode::Apply);
    let seen = match task.look(&context).unwrap() {
        Seen::Differs(changes) => changes,
        Seen::AsWanted => return Vec::new(),
        other => panic!("{other:?}"),
    };
    task.change(&context).unwrap_or_else(|problem| panic!("{problem:?}"));
    assert_eq!(task.look(&context).unwrap(), Seen::AsWanted, "after {seen:?}");
    let show = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    seen.into_iter()
        .map(|change| format!("{} {} {}", change.attribute, show(change.before), show(change.after)))
        .collect()
}

fn make_group(node: &dyn Node, name: &str) {
    node.change_group(&GroupChange { name: name.into(), create: true, ..GroupChange::default() }).unwrap();
}

const HASH: &str = "$6$salt$hash";
const OTHER: &str = "$6$salt$other";

#[test]
fn a_user_is_made_with_all_it_is_told_and_then_left_alone() {
    let node = Overlay::new(&Empty);
    make_group(&node, "adm");
    let full = task(
        "anna",
        &[
            ("uid", Value::Int(1500)),
            ("groups", list(&["adm"])),
            ("home", "/srv/anna".into()),
            ("shell", "/bin/zsh".into()),
            ("comment", "Anna B.".into()),
            ("password", HASH.into()),
        ],
    );
    assert_eq!(
        apply(&node, &*full),
        [
            "state - present",
            "uid - 1500",
            "groups - adm",
            "home - /srv/anna",
            "shell - /bin/zsh",
            "comment - Anna B.",
            "password - [secret]"
        ]
    );
    assert!(apply(&node, &*full).is_empty());
    let user = node.user("anna").unwrap().unwrap();
    assert_eq!((user.uid, user.gid, user.password.as_deref()), (1500, 1500, Some(HASH)));
    let home = node.stat(Path::new("/srv/anna")).unwrap().unwrap();
    assert_eq!((home.uid, home.gid), (1500, 1500));
}

#[test]
fn system_users_have_low_ids_and_no_home() {
    let node = Overlay::new(&Empty);
    assert_eq!(apply(&node, &*task("svc", &[("system", true.into())])), ["state - present"]);
    assert_eq!(node.user("svc").unwrap().unwrap().uid, 999);
    assert_eq!(node.stat(Path::new("/home/svc")).unwrap(), None);
    assert_eq!(apply(&node, &*task("eve", &[])), ["state - present"]);
    assert!(node.stat(Path::new("/home/eve")).unwrap().is_some());
    // A home that is missing is made when it is asked for.
    let asked = [("system", true.into()), ("create_home", true.into())];
    assert_eq!(apply(&node, &*task("svc", &asked)), ["create_home missing /home/svc"]);
    assert_eq!(node.stat(Path::new("/home/svc")).unwrap().unwrap().uid, 999);
}

#[test]
fn what_differs_is_changed_and_the_rest_is_left() {
    let node = Overlay::new(&Empty);
    apply(&node, &*task("anna", &[("comment", "A".into())]));
    assert!(apply(&node, &*task("anna", &[])).is_empty());
    assert_eq!(apply(&node, &*task("anna", &[("shell", "/bin/fish".into())])), ["shell /bin/bash /bin/fish"]);
    assert_eq!(apply(&node, &*task("anna", &[("uid", Value::Int(1700))])), ["uid 1000 1700"]);
    assert_eq!(apply(&node, &*task("anna", &[("comment", "".into())])), ["comment A "]);
    let user = node.user("anna").unwrap().unwrap();
    assert_eq!((user.uid, user.shell.as_str(), user.home.as_str()), (1700, "/bin/fish", "/home/anna"));
}

#[test]
fn groups_are_added_to_unless_they_are_exclusive() {
    let node = Overlay::new(&Empty);
    for name in ["a", "b", "c"] {
        make_group(&node, name);
    }
    apply(&node, &*task("anna", &[("groups", list(&["a", "anna"]))]));
    assert_eq!(apply(&node, &*task("anna", &[("groups", list(&["b"]))])), ["groups a a, b"]);
    let exactly = [("groups", list(&["c", "b"])), ("exclusive", true.into())];
    assert_eq!(apply(&node, &*task("anna", &exactly)), ["groups a, b b, c"]);
    let none = [("groups", list(&[])), ("exclusive", true.into())];
    assert_eq!(apply(&node, &*task("anna", &none)), ["groups b, c "]);
    assert_eq!(apply(&node, &*task("anna", &[("group", "a".into())])), ["group anna a"]);
    let problem =
        task("anna", &[("groups", list(&["nope"]))]).change(&context(&node, Mode::Apply)).unwrap_err();
    assert_eq!(problem.message, "there is no group `nope` on the node");
}

#[test]
fn passwords_and_locks_are_changed_apart_and_never_shown() {
    let node = Overlay::new(&Empty);
    let field = || node.user("anna").unwrap().unwrap().password.unwrap();
    apply(&node, &*task("anna", &[]));
    // No password at all: neither word changes that, least of all to an empty password.
    assert!(apply(&node, &*task("anna", &[("locked", false.into())])).is_empty());
    assert!(apply(&node, &*task("anna", &[("locked", true.into())])).is_empty());
    assert_eq!(field(), "!");
    assert_eq!(apply(&node, &*task("anna", &[("password", HASH.into())])), ["password - [secret]"]);
    assert_eq!(field(), HASH);
    assert_eq!(apply(&node, &*task("anna", &[("locked", true.into())])), ["locked false true"]);
    assert_eq!(field(), format!("!{HASH}"));
    assert_eq!(apply(&node, &*task("anna", &[("password", OTHER.into())])), ["password [secret] [secret]"]);
    assert_eq!(field(), format!("!{OTHER}"));
    let open = [("password", OTHER.into()), ("locked", false.into())];
    assert_eq!(apply(&node, &*task("anna", &open)), ["locked true false"]);
    assert_eq!(field(), OTHER);
    assert_eq!(apply(&node, &*task("anna", &[("password", "*".into())])), ["password [secret] [secret]"]);
    let made = [("password", HASH.into()), ("locked", true.into())];
    assert_eq!(
        apply(&node, &*task("ben", &made)),
        ["state - present", "password - [secret]", "locked - true"]
    );
    assert_eq!(format!("{:?}", PasswordHash(HASH.into())), "[secret]");
}

#[test]
fn a_user_goes_with_its_home_when_told() {
    let node = Overlay::new(&Empty);
    apply(&node, &*task("anna", &[]));
    apply(&node, &*task("ben", &[]));
    assert_eq!(apply(&node, &*task("anna", &[("state", "absent".into())])), ["state present -"]);
    assert!(node.stat(Path::new("/home/anna")).unwrap().is_some());
    let with_home = [("state", "absent".into()), ("remove_home", true.into())];
    assert_eq!(apply(&node, &*task("ben", &with_home)), ["state present -"]);
    assert_eq!(node.stat(Path::new("/home/ben")).unwrap(), None);
    assert!(apply(&node, &*task("ben", &with_home)).is_empty());
}

#[test]
fn an_existing_group_of_its_name_becomes_its_group() {
    let node = Overlay::new(&Empty);
    make_group(&node, "anna");
    apply(&node, &*task("anna", &[("uid", Value::Int(4000))]));
    let (user, group) = (node.user("anna").unwrap().unwrap(), node.group("anna").unwrap().unwrap());
    assert_eq!((user.uid, user.gid), (4000, group.gid));
    let problem = task("ben", &[("uid", Value::Int(4000))]).change(&context(&node, Mode::Apply)).unwrap_err();
    assert_eq!(problem.message, "the user id 4000 belongs to `anna`");
}

#[test]
fn a_plan_assumes_groups_that_may_come_with_a_package() {
    let base = Overlay::new(&Empty);
    let node = Overlay::new(&base);
    let wanted = task("anna", &[("groups", list(&["docker"])), ("group", "web".into())]);
    assert!(wanted.change(&context(&node, Mode::Plan)).is_err());
    let command = crate::node::Command::change(&["apt-get"], std::time::Instant::now());
    crate::node::Commands::run(&node, &command).unwrap();
    assert_eq!(apply(&node, &*wanted), ["state - present", "group - web", "groups - docker"]);
}

#[test]
fn homes_are_copied_from_the_skeleton() {
    let node = Overlay::new(&Empty);
    for path in ["/etc", "/etc/skel", "/etc/skel/.config"] {
        node.make_directory(Path::new(path), Attributes { mode: 0o755, uid: 0, gid: 0 }).unwrap();
    }
    let write = |path: &str, text: &str| {
        let attributes = Attributes { mode: 0o600, uid: 0, gid: 0 };
        node.write(Path::new(path), &Content::Bytes(text.into()), attributes, None).unwrap().unwrap();
    };
    write("/etc/skel/.config/x", "hi");
    write("/etc/login.defs", "HOME_MODE 0711\n");
    let under = Overlay::new(&node);
    apply(&under, &*task("anna", &[]));
    let stat = |path: &str| under.stat(Path::new(path)).unwrap().unwrap();
    assert_eq!((stat("/home/anna").mode, stat("/home/anna").uid), (0o711, 1000));
    assert_eq!((stat("/home/anna/.config/x").mode, stat("/home/anna/.config/x").uid), (0o600, 1000));
}

#[test]
fn what_makes_no_sense_is_refused_before_any_host_is_touched() {
    let refused =
        |name: &str, more: &[(&str, Value)]| try_task(name, more).err().map(|error| error.to_string());
    assert!(refused("a b", &[]).unwrap().contains("cannot hold ' '"));
    let plain = refused("anna", &[("password", "hunter2".into())]).unwrap();
    assert!(plain.contains("wants the hash") && !plain.contains("hunter2"), "{plain}");
    assert!(refused("anna", &[("password", "$6$a:b$c".into())]).is_some());
    assert!(refused("anna", &[("comment", "a:b".into())]).is_some());
    assert!(refused("anna", &[("exclusive", true.into())]).unwrap().contains("wants `groups`"));
    assert!(refused("anna", &[("remove_home", true.into())]).is_some());
    assert!(refused("anna", &[("state", "absent".into()), ("uid", Value::Int(1))]).is_some());
    assert!(refused("anna", &[("uid", Value::Int(-1))]).is_some());
    assert!(refused("anna", &[("groups", list(&["a,b"]))]).is_some());
}

#[test]
fn it_comes_after_its_groups_and_before_what_it_owns() {
    let touches = task("anna", &[("groups", list(&["adm"])), ("home", "/srv/x".into())]).touches();
    assert_eq!(touches.makes, [Thing::User("anna".into())]);
    for thing in [Thing::Group("anna".into()), Thing::Group("adm".into()), Thing::Path("/srv".into())] {
        assert!(touches.needs.contains(&thing), "{thing:?}");
    }
    assert!(task("anna", &[("state", "absent".into())]).touches().removes);
}
