use std::collections::{BTreeMap, BTreeSet};

use cm_syntax::{Diagnostics, Sources, Style};
use proptest::prelude::*;

use super::Request;
use crate::Inventory;

fn inventory(text: &str) -> (Sources, Inventory) {
    let sources = Sources::new();
    let file = sources.add("inventory.yaml", text.to_owned());
    let mut diagnostics = Diagnostics::new();
    let inventory = Inventory::from_files(&sources, &[file], &mut diagnostics);
    assert_eq!(diagnostics.render(&sources, Style::plain()), "");
    (sources, inventory)
}

const HOSTS: &str = r#"
hosts: { db1: , "web[01:06]": , "app[1:4]": , "r[a:c]": }
groups:
  web: { hosts: ["web[01:06]"] }
  app: { hosts: ["app[1:4]"] }
  db: { hosts: [db1] }
  rack_a: { hosts: [web02, web03, db1, app1] }
  empty: {}
  backend: { groups: [db, app] }
"#;

fn ask(request: Request<'_>) -> Result<String, String> {
    let (sources, inventory) = inventory(HOSTS);
    let hosts = inventory.select(&sources, request);
    let shown = |host| inventory.host(host).name();
    hosts
        .map(|hosts| hosts.into_iter().map(shown).collect::<Vec<_>>().join(" "))
        .map_err(|diagnostics| diagnostics.render(&sources, Style::plain()))
}

fn hosts(target: &str) -> String {
    ask(Request { target, ..Request::default() }).unwrap_or_else(|errors| errors)
}

#[test]
fn the_targets_of_the_contract() {
    assert_eq!(hosts("web"), "web01 web02 web03 web04 web05 web06");
    assert_eq!(hosts("web01"), "web01");
    assert_eq!(hosts("web02,db"), "db1 web02");
    assert_eq!(hosts("web:!web03"), "web01 web02 web04 web05 web06");
    assert_eq!(hosts("web:&rack_a"), "web02 web03");
    assert_eq!(hosts("web[0:3]"), "web01 web02 web03 web04");
    assert_eq!(hosts("all"), "db1 web01 web02 web03 web04 web05 web06 app1 app2 app3 app4 ra rb rc");
    assert_eq!(hosts("backend"), "db1 app1 app2 app3 app4");
}

#[test]
fn joins_come_first_then_keeps_then_removals() {
    assert_eq!(hosts("!web03:web:&rack_a:app"), "web02 app1");
    assert_eq!(hosts("!web,!app,!r?"), "db1");
    assert_eq!(hosts("&rack_a"), "db1 web02 web03 app1");
    assert_eq!(hosts("web01,web01,web:!web0[2:6],!web[02:06]"), hosts("web01"));
}

#[test]
fn brackets() {
    assert_eq!(hosts("web[01:03]"), "web01 web02 web03");
    assert_eq!(hosts("web[-1]"), "web06");
    assert_eq!(hosts("web[4:]"), "web05 web06");
    // A group's slice goes by position even where the same text would name hosts; see the module's rule.
    assert_eq!(hosts("app[1:2]"), "app2 app3");
    assert_eq!(hosts("r[a:b]"), "ra rb");
    assert_eq!(hosts("web0[1:2]"), "web01 web02");
    assert_eq!(hosts("*[0:1]"), "db1 web01");
    assert_eq!(hosts("r?[-1]"), "rc");
}

#[test]
fn globs_fit_hosts_and_groups() {
    assert_eq!(hosts("r?"), "ra rb rc");
    assert_eq!(hosts("rack*"), "db1 web02 web03 app1");
    assert_eq!(hosts("*"), hosts("all"));
}

#[test]
fn failed_hosts_and_limits() {
    let failed = ["web02".to_owned(), "gone".to_owned()];
    let with = |target, limit, failed| ask(Request { target, limit, failed });
    assert_eq!(with("@failed", None, Some(&failed[..])), Ok("web02".into()));
    assert_eq!(with("@failed", None, Some(&[])), Ok(String::new()));
    assert_eq!(with("web", Some("rack_a,app"), None), Ok("web02 web03".into()));
    assert_eq!(with("web", Some("!@failed"), Some(&failed[..])), Ok("web01 web03 web04 web05 web06".into()));
}

#[test]
fn mistakes() {
    let all = [
        ask(Request { target: "wbe,db,app9,:!&x", limit: Some("rackb"), failed: None }),
        ask(Request { target: "web[04:08],web[9],nothing*,wbe[0:3],@faild", limit: None, failed: None }),
        ask(Request { target: "web", limit: Some("db"), failed: None }),
        ask(Request { target: "empty", limit: None, failed: None }),
        ask(Request { target: "@failed", limit: None, failed: None }),
        ask(Request {
            target: "wbe, web[04:08], web[9], nothing*, wbe[0:3], app9,web[3:1],x[1",
            limit: Some("rackb"),
            failed: None,
        }),
        ask(Request { target: "", limit: None, failed: None }),
    ];
    insta::assert_snapshot!(all.map(|result| result.unwrap_err()).join("=====\n"));
}

proptest! {
    /// The same targets, worked out with plain sets.
    #[test]
    fn targets_mean_what_sets_say(
        members in prop::collection::vec(prop::collection::btree_set(0usize..12, 1..6), 4),
        terms in prop::collection::vec((0u8..3, 0usize..16), 1..6),
        separators in prop::collection::vec(prop::bool::ANY, 6),
    ) {
        let mut text = "hosts: { \"h[00:11]\": }\ngroups:\n".to_owned();
        for (group, hosts) in members.iter().enumerate() {
            let hosts: Vec<String> = hosts.iter().map(|host| format!("h{host:02}")).collect();
            text += &format!("  g{group}: {{ hosts: [{}] }}\n", hosts.join(", "));
        }
        // Terms 0 to 11 are hosts, 12 to 15 groups.
        let set = |term: usize| -> BTreeSet<usize> {
            if term < 12 { BTreeSet::from([term]) } else { members[term - 12].clone() }
        };
        let mut by_sign: BTreeMap<u8, Vec<BTreeSet<usize>>> = BTreeMap::new();
        let mut target = String::new();
        for (at, (sign, term)) in terms.iter().enumerate() {
            if at > 0 {
                target.push(if separators[at] { ',' } else { ':' });
            }
            target += ["", "&", "!"][*sign as usize];
            target += &if *term < 12 { format!("h{term:02}") } else { format!("g{}", term - 12) };
            by_sign.entry(*sign).or_default().push(set(*term));
        }
        let mut wanted: BTreeSet<usize> = match by_sign.get(&0) {
            Some(sets) => sets.iter().flatten().copied().collect(),
            None => (0..12).collect(),
        };
        for keep in by_sign.get(&1).into_iter().flatten() {
            wanted = wanted.intersection(keep).copied().collect();
        }
        for remove in by_sign.get(&2).into_iter().flatten() {
            wanted = wanted.difference(remove).copied().collect();
        }
        let (sources, inventory) = inventory(&text);
        match inventory.select(&sources, Request { target: &target, ..Request::default() }) {
            Ok(hosts) => {
                let hosts: Vec<usize> = hosts.into_iter().map(crate::HostId::index).collect();
                prop_assert_eq!(hosts, wanted.into_iter().collect::<Vec<_>>(), "{}", target);
            }
            Err(_) => prop_assert!(wanted.is_empty(), "{}", target),
        }
    }

    #[test]
    fn no_target_panics(target in "[a-z0-9é,:!&@\\[\\]*? -]{0,30}") {
        let (sources, inventory) = inventory(HOSTS);
        if let Err(errors) = inventory.select(&sources, Request { target: &target, ..Request::default() }) {
            errors.render(&sources, Style::plain());
        }
    }
}
