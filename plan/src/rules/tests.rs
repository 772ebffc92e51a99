use std::{collections::BTreeMap, sync::Arc};

use cm_syntax::Style;
use cm_wire::Facts;

use super::{KnownHost, Members};
use crate::{LoadOptions, Project};

const INVENTORY: &str = r#"
hosts:
  a: { vars: { rack: x } }
  b: { vars: { rack: y } }
  c: { vars: { rack: x } }
groups:
  racked: { hosts: [a, b] }
  debian: { where: node.os.family == "debian", roles: [base], vars: { port: 80 } }
  both: { where: "'debian' in host.groups and 'racked' in host.groups" }
  near: { where: rack == "x" and reachable }
  quiet: { where: lifecycle == "cordoned" }
  outer: { groups: [debian] }
  through: { where: host.name in groups.outer.hosts }
"#;

fn project(inventory: &str) -> Result<(tempfile::TempDir, Project), String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("inventory.yaml"), inventory).unwrap();
    std::fs::create_dir_all(folder.path().join("roles/base")).unwrap();
    let role =
        "params:\n  port: { type: int, default: 1 }\ntasks:\n  - file: /a\n    content: \"{{ port }}\"\n";
    std::fs::write(folder.path().join("roles/base/role.yaml"), role).unwrap();
    Project::load(folder.path(), &LoadOptions::default())
        .map_err(|error| error.diagnostics.render(&error.sources, Style::plain()))
        .map(|project| (folder, project))
}

fn known(family: &str) -> KnownHost {
    let mut facts = Facts::default();
    facts.os.family = family.to_owned();
    KnownHost { facts: Some(Arc::new(facts)), lifecycle: "discovered".into(), reachable: true }
}

fn members(project: &Project, known: &BTreeMap<&str, KnownHost>) -> Result<Members, String> {
    project
        .members(&|host| known.get(host).cloned().unwrap_or_default())
        .map_err(|diagnostics| diagnostics.render(project.sources(), Style::plain()))
}

fn shown(members: &Members) -> String {
    let groups = members.groups.iter().map(|(group, hosts)| format!("{group}: {}", hosts.join(" ")));
    let unknown = members.unknown.iter().map(|(host, groups)| format!("{host}? {}", groups.join(" ")));
    groups.chain(unknown).collect::<Vec<_>>().join("\n")
}

#[test]
fn hosts_that_fit_belong_to_the_group() {
    let (_folder, project) = project(INVENTORY).unwrap();
    let mut all = BTreeMap::from([("a", known("debian")), ("b", known("redhat")), ("c", known("debian"))]);
    all.get_mut("c").unwrap().reachable = false;
    all.get_mut("b").unwrap().lifecycle = "cordoned".into();
    let found = members(&project, &all).unwrap();
    assert_eq!(shown(&found), "both: a\ndebian: a c\nnear: a\nquiet: b\nthrough: a c");
    assert_eq!(project.roles_of(project.inventory().host_id("a").unwrap()).count(), 0);
    let project = project.with_members(&found.groups).unwrap();
    let host = |name: &str| project.inventory().host_id(name).unwrap();
    assert_eq!(project.roles_of(host("a")).collect::<Vec<_>>(), ["base"]);
    assert_eq!(project.roles_of(host("b")).count(), 0);
    let names: Vec<&str> = project
        .inventory()
        .groups_of(host("c"))
        .iter()
        .map(|group| project.inventory().group(*group).name())
        .collect();
    assert_eq!(names, ["all", "outer", "through", "debian"]);
    assert!(project.inventory().variables(host("a")).contains_key("port"));
    // Asked again, other hosts fit; nothing of before is left.
    let again = project.with_members(&BTreeMap::from([("debian".into(), vec!["b".to_owned()])])).unwrap();
    assert_eq!(again.roles_of(host("a")).count(), 0);
    assert_eq!(again.roles_of(host("b")).count(), 1);
}

#[test]
fn hosts_without_facts_are_left_out_where_facts_decide() {
    let (_folder, project) = project(INVENTORY).unwrap();
    let all = BTreeMap::from([
        ("a", known("debian")),
        ("b", KnownHost { reachable: true, ..KnownHost::default() }),
    ]);
    // `b` may be one of `debian`, and so of what asks for that; `near` is about its variables alone.
    assert_eq!(
        shown(&members(&project, &all).unwrap()),
        "both: a\ndebian: a\nnear: a\nquiet: \nthrough: a\nb? debian both through\nc? debian both through"
    );
}

#[test]
fn a_target_names_a_rule_directly_or_through_a_group() {
    let (_folder, project) = project(INVENTORY).unwrap();
    for (target, names) in [
        ("debian", true),
        ("outer:!a", true),
        ("racked,quiet", true),
        ("deb*", true),
        ("racked", false),
        ("all", false),
        ("a", false),
    ] {
        assert_eq!(project.names_rule(target), names, "{target}");
    }
}

#[test]
fn rules_that_cannot_be_are_errors() {
    let text = r#"
hosts: { a: { vars: { x: 1 } }, b: }
groups:
  one: { where: "'two' in host.groups" }
  two: { where: host.name in groups.three.hosts }
  three: { groups: [one] }
  self: { where: "'self' in host.groups" }
  typo: { where: node.os.famly == "debian" }
  secret: { where: secrets.x == 1 }
  half: { where: "node.os ==" }
  all: { where: "true" }
  list: { where: [1] }
"#;
    insta::assert_snapshot!(project(text).map(|_| ()).unwrap_err());
}

#[test]
fn what_goes_wrong_for_a_host_is_told_once() {
    let text = "hosts: { a: { vars: { x: 1 } }, b: , c: }\ngroups:\n  one: { where: x == 1 }\n  two: { where: 1 + 1 }\n";
    insta::assert_snapshot!(members(&project(text).unwrap().1, &BTreeMap::new()).unwrap_err());
}
