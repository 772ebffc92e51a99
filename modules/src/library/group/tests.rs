use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Empty, Node, Overlay,
    bench::context,
    node::{Accounts, UserChange},
};

fn try_task(name: &str, more: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
    let mut params: Params = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.insert("name".into(), name.into());
    compile(&params)
}

/// Looks, changes, looks again: the first look's changes, as `attribute before after`.
fn apply(node: &dyn Node, name: &str, more: &[(&str, Value)]) -> Vec<String> {
    let task = try_task(name, more).unwrap_or_else(|error| panic!("{error}"));
    let context = context(node, Mode::Apply);
    let Seen::Differs(seen) = task.look(&context).unwrap() else { return Vec::new() };
    task.change(&context).unwrap_or_else(|problem| panic!("{problem:?}"));
    assert_eq!(task.look(&context).unwrap(), Seen::AsWanted, "after {seen:?}");
    let show = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    seen.into_iter()
        .map(|change| format!("{} {} {}", change.attribute, show(change.before), show(change.after)))
        .collect()
}

fn list(words: &[&str]) -> Value {
    Value::List(words.iter().map(|&word| word.into()).collect())
}

#[test]
fn a_group_lives_from_first_to_last() {
    let node = Overlay::new(&Empty);
    for name in ["anna", "ben"] {
        node.change_user(&UserChange { name: name.into(), create: true, ..UserChange::default() }).unwrap();
    }
    assert_eq!(apply(&node, "sys", &[("system", true.into())]), ["state - present"]);
    assert_eq!(node.group("sys").unwrap().unwrap().gid, 999);
    let first = [("gid", Value::Int(5000)), ("members", list(&["anna"]))];
    assert_eq!(apply(&node, "ops", &first), ["state - present", "gid - 5000", "members - anna"]);
    assert!(apply(&node, "ops", &first).is_empty());
    assert_eq!(apply(&node, "ops", &[("members", list(&["ben"]))]), ["members anna anna, ben"]);
    let exactly = [("members", list(&["ben"])), ("exclusive", true.into())];
    assert_eq!(apply(&node, "ops", &exactly), ["members anna, ben ben"]);
    assert_eq!(node.user("ben").unwrap().unwrap().groups, ["ops"]);
    assert_eq!(apply(&node, "ops", &[("gid", Value::Int(6000))]), ["gid 5000 6000"]);
    assert_eq!(apply(&node, "ops", &[("state", "absent".into())]), ["state present -"]);
    assert!(apply(&node, "ops", &[("state", "absent".into())]).is_empty());
    assert!(node.user("ben").unwrap().unwrap().groups.is_empty());
}

#[test]
fn what_is_missing_or_taken_is_told() {
    let node = Overlay::new(&Empty);
    apply(&node, "ops", &[("gid", Value::Int(5000))]);
    let problem = |name: &str, more: &[(&str, Value)]| {
        try_task(name, more).unwrap().change(&context(&node, Mode::Apply)).unwrap_err().message
    };
    assert_eq!(problem("dev", &[("gid", Value::Int(5000))]), "the group id 5000 belongs to `ops`");
    assert_eq!(
        problem("ops", &[("members", list(&["nobody-here"]))]),
        "there is no user `nobody-here` on the node"
    );
    assert!(try_task("ops", &[("state", "absent".into()), ("gid", Value::Int(1))]).is_err());
    assert!(try_task("ops", &[("exclusive", true.into())]).is_err());
    assert!(try_task("a:b", &[]).is_err());
}

#[test]
fn it_comes_after_its_members() {
    let touches = try_task("ops", &[("members", list(&["anna"]))]).unwrap().touches();
    assert_eq!(
        (touches.makes, touches.needs),
        (vec![Thing::Group("ops".into())], vec![Thing::User("anna".into())])
    );
}
