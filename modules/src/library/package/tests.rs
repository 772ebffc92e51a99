use cm_wire::Value;

use super::*;
use crate::{Empty, Overlay, bench::context, registry};

fn package(name: &str, params: &[(&str, Value)]) -> Box<dyn Resource> {
    compiled(name, params).unwrap()
}

fn compiled(name: &str, params: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
    let mut all = Params::from([("name".to_owned(), name.into())]);
    all.extend(params.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    registry::compile("package", &all)
}

fn installed(version: &str) -> Option<InstalledPackage> {
    Some(InstalledPackage { version: version.into(), manual: true, ..InstalledPackage::default() })
}

/// A node where `web` 1.0 is installed and 2.0 can be had, and `tool` can be had.
fn prepared(node: &Overlay<'_>) {
    node.offer_package("web", &["2.0", "1.1-2", "1.1-1", "1.0"]);
    node.offer_package("tool", &["3"]);
    node.prepare_package("web", installed("1.0"));
}

fn differences(
    resource: &dyn Resource,
    context: &Context<'_>,
) -> Vec<(String, Option<String>, Option<String>)> {
    match resource.look(context).unwrap() {
        Seen::Differs(changes) => {
            changes.into_iter().map(|change| (change.attribute, change.before, change.after)).collect()
        }
        Seen::AsWanted => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn change(
    attribute: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> (String, Option<String>, Option<String>) {
    (attribute.to_owned(), before.map(str::to_owned), after.map(str::to_owned))
}

#[test]
fn every_state_is_told_made_and_then_as_wanted() {
    let cases = [
        (package("tool", &[]), vec![change("state", None, Some("installed"))]),
        (package("web", &[]), vec![]),
        (package("web", &[("state", "latest".into())]), vec![change("version", Some("1.0"), Some("2.0"))]),
        (package("web", &[("version", "1.1*".into())]), vec![change("version", Some("1.0"), Some("1.1*"))]),
        (package("web", &[("version", "1.?".into())]), vec![]),
        (package("web", &[("state", "absent".into())]), vec![change("state", Some("installed"), None)]),
        (package("tool", &[("state", "purged".into())]), vec![]),
        (package("web", &[("held", true.into())]), vec![change("held", Some("false"), Some("true"))]),
        (
            package("tool", &[("held", true.into()), ("version", "3".into())]),
            vec![
                change("state", None, Some("installed")),
                change("version", None, Some("3")),
                change("held", None, Some("true")),
            ],
        ),
    ];
    for (resource, expected) in cases {
        let node = Overlay::new(&Empty);
        prepared(&node);
        let context = context(&node, Mode::Plan);
        assert_eq!(differences(resource.as_ref(), &context), expected);
        resource.change(&context).unwrap();
        assert_eq!(resource.look(&context).unwrap(), Seen::AsWanted, "after {expected:?}");
    }
}

#[test]
fn a_version_is_chosen_by_its_pattern() {
    let node = Overlay::new(&Empty);
    prepared(&node);
    package("web", &[("version", "1.1*".into())]).change(&context(&node, Mode::Apply)).unwrap();
    assert_eq!(crate::node::Packages::package(&node, "web").unwrap(), installed("1.1-2"));
}

#[test]
fn a_removed_package_keeps_its_configuration_until_purged() {
    let node = Overlay::new(&Empty);
    prepared(&node);
    let context = context(&node, Mode::Apply);
    package("web", &[("state", "absent".into())]).change(&context).unwrap();
    let purged = package("web", &[("state", "purged".into())]);
    assert_eq!(differences(purged.as_ref(), &context), [change("state", Some("configuration files"), None)]);
    purged.change(&context).unwrap();
    assert_eq!(purged.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn a_package_that_came_with_another_is_marked_as_wanted() {
    let node = Overlay::new(&Empty);
    prepared(&node);
    node.prepare_package(
        "web",
        installed("1.0").map(|package| InstalledPackage { manual: false, ..package }),
    );
    let context = context(&node, Mode::Apply);
    let web = package("web", &[]);
    assert_eq!(differences(web.as_ref(), &context), [change("mark", Some("automatic"), Some("manual"))]);
    web.change(&context).unwrap();
    assert_eq!(web.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn a_provided_name_is_installed_but_never_removed() {
    let node = Overlay::new(&Empty);
    let provided = InstalledPackage { provided_by: Some("postfix".into()), ..installed("3.7").unwrap() };
    node.prepare_package("mail-transport-agent", Some(provided));
    let context = context(&node, Mode::Apply);
    assert_eq!(package("mail-transport-agent", &[]).look(&context).unwrap(), Seen::AsWanted);
    let absent = package("mail-transport-agent", &[("state", "absent".into())]);
    assert_eq!(absent.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn one_impossible_package_fails_alone() {
    let node = Overlay::new(&Empty);
    prepared(&node);
    let context = context(&node, Mode::Plan);
    let wanted =
        [package("tool", &[]), package("nonsense", &[]), package("web", &[("version", "9*".into())])];
    let others: Vec<&dyn Resource> = wanted[1..].iter().map(AsRef::as_ref).collect();
    let results = wanted[0].change_together(&others, &context);
    assert!(results[0].is_ok());
    assert!(results[1].as_ref().unwrap_err().message.contains("`nonsense`"));
    assert!(results[2].as_ref().unwrap_err().message.contains("`9*`"));
    assert_eq!(wanted[0].look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn a_name_may_come_from_a_source_that_an_earlier_task_adds() {
    let node = Overlay::new(&Empty);
    let context = context(&node, Mode::Plan);
    let wanted = package("nonsense", &[]);
    assert!(wanted.change(&context).is_err());
    let content = crate::node::Content::Bytes(b"deb http://x ./\n".to_vec());
    let root = crate::node::Attributes { mode: 0o755, uid: 0, gid: 0 };
    for folder in ["/etc", "/etc/apt", "/etc/apt/sources.list.d"] {
        crate::node::Files::make_directory(&node, folder.as_ref(), root).unwrap();
    }
    crate::node::Files::write(&node, "/etc/apt/sources.list.d/x.list".as_ref(), &content, root, None)
        .unwrap()
        .unwrap();
    wanted.change(&context).unwrap();
    assert_eq!(wanted.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn an_installed_package_may_bring_anything() {
    let node = Overlay::new(&Empty);
    prepared(&node);
    assert!(!crate::Node::may_appear(&node));
    package("web", &[("state", "absent".into())]).change(&context(&node, Mode::Plan)).unwrap();
    assert!(!crate::Node::may_appear(&node));
    package("tool", &[]).change(&context(&node, Mode::Plan)).unwrap();
    assert!(crate::Node::may_appear(&node));
}

#[test]
fn what_cannot_be_is_refused_before_any_node() {
    let wrong: [(&str, &[(&str, Value)]); 7] = [
        ("nginx=1.0", &[]),
        ("-y", &[]),
        ("nginx-", &[]),
        ("nginx curl", &[]),
        ("nginx", &[("state", Value::from("absent")), ("held", Value::from(true))]),
        ("nginx", &[("state", Value::from("latest")), ("version", Value::from("1"))]),
        ("nginx", &[("version", Value::from("1 2"))]),
    ];
    for (name, params) in wrong {
        assert!(compiled(name, params).is_err(), "{name} {params:?}");
    }
    for good in ["g++", "libc6:i386", "php8.2-fpm", "NetworkManager", "libstdc++6", "perl-JSON_XS"] {
        assert!(compiled(good, &[]).is_ok(), "{good}");
    }
}

#[test]
fn the_list_of_all_packages_has_what_a_plan_predicts() {
    let below = Overlay::new(&Empty);
    prepared(&below);
    below.prepare_package("old", installed("1"));
    let node = Overlay::new(&below);
    let context = context(&node, Mode::Plan);
    for wanted in [package("tool", &[]), package("old", &[("state", "absent".into())])] {
        wanted.change(&context).unwrap();
    }
    package("web", &[("version", "1.1-1".into())]).change(&context).unwrap();
    let list = crate::node::Packages::package_list(&node).unwrap();
    let list: Vec<(&str, &str)> =
        list.iter().map(|(name, package)| (name.as_str(), package.version.as_str())).collect();
    assert_eq!(list, [("tool", "3"), ("web", "1.1-1")]);
    let mark = crate::node::PackageRequest { name: "web".into(), action: PackageAction::MarkAuto };
    let marked = Transaction {
        requests: vec![mark],
        recommends: None,
        deadline: context.deadline,
        waiting: Waiting::default(),
    };
    assert_eq!(crate::node::Packages::transact(&node, &marked).results, [Ok(())]);
    assert!(!crate::node::Packages::package_list(&node).unwrap()["web"].manual);
}
