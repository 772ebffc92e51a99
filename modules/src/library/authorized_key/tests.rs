use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Empty, Node, Overlay,
    bench::context,
    node::{Accounts, Files, UserChange},
};

const ANNA: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q anna@desk";
const BEN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHiXgZfE0pY3vRyAYPEyTNcMe/Bm1qxRr3ZVlA0e9Xo ben";

fn try_task(more: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
    let mut params: Params = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.insert("user".into(), "anna".into());
    compile(&params)
}

fn apply(node: &dyn Node, more: &[(&str, Value)]) -> Vec<Change> {
    let task = try_task(more).unwrap_or_else(|error| panic!("{error}"));
    let context = context(node, Mode::Apply);
    let Seen::Differs(seen) = task.look(&context).unwrap() else { return Vec::new() };
    task.change(&context).unwrap_or_else(|problem| panic!("{problem:?}"));
    assert_eq!(task.look(&context).unwrap(), Seen::AsWanted, "after {seen:?}");
    seen
}

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    let change = UserChange { name: "anna".into(), create: true, create_home: true, ..UserChange::default() };
    node.change_user(&change).unwrap();
    node
}

const FILE: &str = "/home/anna/.ssh/authorized_keys";

fn text(node: &dyn Node) -> String {
    String::from_utf8(node.read(Path::new(FILE), 10_000).unwrap()).unwrap()
}

fn put(node: &dyn Node, text: &str, mode: u32) {
    let attributes = Attributes { mode, uid: 1000, gid: 1000 };
    node.write(Path::new(FILE), &Content::Bytes(text.into()), attributes, None).unwrap().unwrap();
}

#[test]
fn a_first_key_comes_with_its_directory() {
    let node = node();
    let things = ["/home/anna/.ssh", FILE].map(|path| Thing::Path(path.into()));
    let task = try_task(&[("key", ANNA.into())]).unwrap();
    assert_eq!(task.keeps(&context(&node, Mode::Apply)), things);
    let changes = apply(&node, &[("key", ANNA.into())]);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].before.as_deref(), changes[0].after.as_deref()), (None, Some("1 key")));
    assert_eq!(changes[0].diff.as_deref(), Some(format!("@@ -0,0 +1 @@\n+{ANNA}\n").as_str()));
    assert_eq!(text(&node), format!("{ANNA}\n"));
    let stat = |path: &str| node.stat(Path::new(path)).unwrap().map(|stat| (stat.mode, stat.uid, stat.gid));
    assert_eq!(stat("/home/anna/.ssh"), Some((0o700, 1000, 1000)));
    assert_eq!(stat(FILE), Some((0o600, 1000, 1000)));
    assert!(apply(&node, &[("key", ANNA.into())]).is_empty());
    // Another task of the same user leaves it alone.
    assert_eq!(apply(&node, &[("key", BEN.into())])[0].after.as_deref(), Some("2 keys"));
    assert_eq!(text(&node), format!("{ANNA}\n{BEN}\n"));
}

#[test]
fn what_others_wrote_stays_as_it_is() {
    let node = node();
    apply(&node, &[("key", ANNA.into())]);
    let odd = "# by hand\n\nssh-rsa AAAAB3Nza other\n\tnonsense \\ \"";
    put(&node, odd, 0o600);
    apply(&node, &[("key", ANNA.into())]);
    assert_eq!(text(&node), format!("{odd}\n{ANNA}\n"));
    apply(&node, &[("key", ANNA.into()), ("state", "absent".into())]);
    assert_eq!(text(&node), format!("{odd}\n"));
    let exclusive = [("key", Value::List(vec![BEN.into(), ANNA.into()])), ("exclusive", true.into())];
    apply(&node, &exclusive);
    assert_eq!(text(&node), format!("# by hand\n\n\tnonsense \\ \"\n{BEN}\n{ANNA}\n"));
    apply(&node, &[("key", Value::List(Vec::new())), ("exclusive", true.into())]);
    assert_eq!(text(&node), "# by hand\n\n\tnonsense \\ \"\n");
}

#[test]
fn a_key_is_known_whatever_stands_around_it() {
    let node = node();
    let bare = ANNA.rsplit_once(' ').unwrap().0;
    apply(&node, &[("key", ANNA.into())]);
    // No comment is wanted: the one that is there stays.
    assert!(apply(&node, &[("key", bare.into())]).is_empty());
    let options = [("key", bare.into()), ("options", "no-pty,command=\"a b\"".into())];
    apply(&node, &options);
    assert_eq!(text(&node), format!("no-pty,command=\"a b\" {ANNA}\n"));
    // The same key again without options would open what the options closed.
    put(&node, &format!("{ANNA}\n{ANNA} twice\n"), 0o600);
    apply(&node, &options);
    assert_eq!(text(&node), format!("no-pty,command=\"a b\" {ANNA}\n"));
    apply(&node, &[("key", ANNA.into())]);
    assert_eq!(text(&node), format!("{ANNA}\n"));
}

#[test]
fn modes_and_owners_are_put_right() {
    let node = node();
    apply(&node, &[("key", ANNA.into())]);
    node.set_mode(Path::new("/home/anna/.ssh"), 0o755).unwrap();
    node.set_owner(Path::new(FILE), 0, 0).unwrap();
    let changes = apply(&node, &[("key", ANNA.into())]);
    let shown: Vec<_> =
        changes.iter().map(|change| (change.attribute.as_str(), change.before.as_deref().unwrap())).collect();
    assert_eq!(shown, [("directory mode", "0755"), ("owner", "root")]);
    // Taking away changes neither.
    put(&node, &format!("{ANNA}\n"), 0o640);
    apply(&node, &[("key", ANNA.into()), ("state", "absent".into())]);
    assert_eq!(node.stat(Path::new(FILE)).unwrap().unwrap().mode, 0o640);
    assert!(apply(&node, &[("key", BEN.into()), ("state", "absent".into())]).is_empty());
}

#[test]
fn links_that_the_user_could_have_laid_are_not_followed() {
    let node = node();
    let attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
    node.make_directory(Path::new("/etc"), attributes).unwrap();
    node.make_link(Path::new("/home/anna/.ssh"), Path::new("/etc")).unwrap();
    let task = try_task(&[("key", ANNA.into())]).unwrap();
    let problem = task.change(&context(&node, Mode::Apply)).unwrap_err();
    assert_eq!(problem.message, "/home/anna/.ssh is a link, not a directory");
    node.remove(Path::new("/home/anna/.ssh")).unwrap();
    node.make_directory(Path::new("/home/anna/.ssh"), Attributes { mode: 0o700, uid: 1000, gid: 1000 })
        .unwrap();
    node.make_link(Path::new(FILE), Path::new("/etc/shadow")).unwrap();
    assert!(matches!(task.look(&context(&node, Mode::Apply)), Ok(Seen::Differs(_))));
    assert_eq!(
        task.change(&context(&node, Mode::Apply)).unwrap_err().message,
        format!("{FILE} is a link, not a file")
    );
}

#[test]
fn a_user_or_home_that_is_missing_is_a_difference_and_then_told() {
    let node = Overlay::new(&Empty);
    let task = try_task(&[("key", ANNA.into())]).unwrap();
    let apply = context(&node, Mode::Apply);
    assert_eq!(
        task.look(&apply).unwrap(),
        Seen::Differs(vec![Change::new("keys", None, Some("1 key".into()))])
    );
    assert_eq!(task.change(&apply).unwrap_err().message, "there is no user `anna` on the node");
    assert_eq!(
        try_task(&[("key", ANNA.into()), ("state", "absent".into())]).unwrap().look(&apply).unwrap(),
        Seen::AsWanted
    );
    node.change_user(&UserChange { name: "anna".into(), create: true, ..UserChange::default() }).unwrap();
    assert_eq!(task.change(&apply).unwrap_err().message, "the home directory /home/anna is not there");
}

#[test]
fn a_plan_assumes_a_user_that_may_come_with_a_package() {
    let node = Overlay::new(&Empty);
    let command = crate::node::Command::change(&["apt-get"], std::time::Instant::now());
    crate::node::Commands::run(&node, &command).unwrap();
    let task = try_task(&[("key", ANNA.into())]).unwrap();
    let plan = context(&node, Mode::Plan);
    assert!(matches!(task.look(&plan), Ok(Seen::Differs(_))));
    task.change(&plan).unwrap();
    assert_eq!(task.look(&plan).unwrap(), Seen::AsWanted);
}

#[test]
fn secrets_and_parts() {
    let node = node();
    let task = try_task(&[("key", ANNA.into())]).unwrap();
    let secret = Context { sensitive: true, ..context(&node, Mode::Plan) };
    let Seen::Differs(changes) = task.look(&secret).unwrap() else { panic!() };
    assert_eq!(changes, [Change::new("keys", None, Some("[secret]".into()))]);
    assert!(task.touches().part);
    for (more, error) in [
        (vec![("key", Value::from("x"))], "wants a public key"),
        (vec![("key", Value::List(Vec::new()))], "empty list"),
        (vec![("key", Value::from(ANNA)), ("options", "a b".into())], "cannot stand before a key"),
        (vec![("key", Value::from(ANNA)), ("options", "a\nb".into())], "cannot stand before a key"),
    ] {
        let got = try_task(&more).err().unwrap().to_string();
        assert!(got.contains(error), "{got}");
    }
}
