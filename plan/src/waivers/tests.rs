//! Files of waivers, right and wrong, and what they cover.

use super::*;

const INVENTORY: &str = "\
hosts:
  web1: {address: 10.0.0.1}
  web2: {address: 10.0.0.2}
  db1: {address: 10.0.0.3}
groups:
  web: {hosts: [web1, web2]}
  db: {hosts: [db1]}
";

fn read(text: &str) -> (Waivers, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("inventory.yaml"), INVENTORY).unwrap();
    std::fs::write(folder.path().join(WAIVERS_FILE), text).unwrap();
    let sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let inventory = Inventory::load(&sources, folder.path(), &mut diagnostics);
    let today = Day::parse("2026-11-23").unwrap();
    let waivers = Waivers::load(folder.path(), inventory.as_ref(), today, &sources, &mut diagnostics);
    (waivers, diagnostics.render(&sources, cm_syntax::Style::plain()))
}

#[test]
fn a_waiver_covers_its_hosts_resources_and_attributes_until_its_day() {
    let (waivers, told) = read(
        "- {resource: 'file:/etc/motd', on: 'web:!web2', attribute: mode, until: 2026-11-23, reason: x, by: anna}\n\
         - {resource: 'package:*', until: 2027-01-01, reason: y}\n",
    );
    assert_eq!(told, "");
    let covers = |host: &str, resource: &str, attribute: &str| {
        waivers.of_attribute(host, resource, attribute).count() == 1
    };
    assert!(covers("web1", "file:/etc/motd", "mode"));
    assert!(!covers("web1", "file:/etc/motd", "content"));
    assert!(!covers("web2", "file:/etc/motd", "mode"));
    assert!(!covers("db1", "file:/etc/motd", "mode"));
    assert!(covers("db1", "package:nginx", "version"));
    assert_eq!(waivers.of_thing("db1", "package:nginx").count(), 1);
    assert_eq!(waivers.of_thing("web1", "file:/etc/motd").count(), 0, "it is for one attribute only");
    let first = waivers.iter().next().unwrap();
    assert_eq!((first.by.as_deref(), &*first.place), (Some("anna"), "waivers.yaml:1:14"));
    assert!(!first.expired(Day::parse("2026-11-23").unwrap()));
    assert!(first.expired(Day::parse("2026-11-24").unwrap()));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let (waivers, told) = read(
        "- resourse: file:/x\n  until: 2026-02-30\n  on: wob\n- {resource: a, until: 2026-11-22, reason: old}\n- {resource: b, until: 2027-01-01}\n",
    );
    for part in [
        "unknown key `resourse` in this waiver",
        "did you mean `resource`?",
        "has no `resource`",
        "`until` must be a day",
        "waivers.yaml:3:7",
        "did you mean `web`?",
        "the waiver for `a` has expired",
        "has no `reason`",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    // One that has expired is still known, so that it can be said.
    assert_eq!(waivers.iter().count(), 1);
    let (_, told) = read("resource: x\n");
    assert!(told.contains("`waivers.yaml` must be a list"), "{told}");
    assert_eq!(read("").1, "");
}

#[test]
fn stars_stand_for_anything() {
    for (pattern, text, wanted) in [
        ("file:/etc/*", "file:/etc/a/b", true),
        ("file:/etc/*", "file:/var/a", false),
        ("*", "", true),
        ("*:*.conf", "file:/etc/x.conf", true),
        ("*:*.conf", "file:/etc/x.conf.bak", false),
        ("a*b*c", "a1b2b3c", true),
        ("a*b*c", "a1c2b", false),
        ("a*a", "a", false),
        ("exact", "exact", true),
        ("exact", "exactly", false),
        ("**", "x", true),
    ] {
        assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
    }
}
