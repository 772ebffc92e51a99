use std::fs;

use cm_syntax::Style;

use super::*;

const ROLE: &str = "params:\n  port: { type: int, default: 80 }\ntasks:\n  - file: /etc/site\n    content: \"{{ port }}\\n\"\n";

fn read(scenario: &str) -> (Vec<Scenario>, String) {
    let folder = tempfile::tempdir().unwrap();
    let tests = folder.path().join("roles/web/tests");
    fs::create_dir_all(&tests).unwrap();
    fs::write(folder.path().join("roles/web/role.yaml"), ROLE).unwrap();
    fs::write(tests.join("one.yaml"), scenario).unwrap();
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let scenarios = read_scenarios(folder.path(), "web", &sources, &mut diagnostics);
    (scenarios, diagnostics.render(&sources, Style::plain()).to_string())
}

#[test]
fn a_scenario_with_all_its_keys() {
    let (scenarios, errors) = read(
        "description: all\nreleases: [debian-12]\nhosts: { a: , b: { vars: { x: 1 }, release: debian-13 } }\n\
         groups: { some: [a], more: { hosts: [b], vars: { y: 2 }, roles: [web] } }\non: some\nparams: { port: 81 }\nvars: { z: 3 }\n\
         secrets: { s: v }\nbefore:\n  - package: curl\n    when: x is defined\nthen:\n  - port: \"{{ port }}\"\n\
         later:\n  - { name: n, params: { port: 82 }, then: [{ port: 82 }] }\n\
         drift:\n  - { on: a, commands: rm /etc/site, finds: \"file:/etc/site\" }\nleaves: /srv\n",
    );
    assert_eq!(errors, "");
    let one = &scenarios[0];
    assert_eq!(
        (one.name.as_str(), one.on.as_str(), one.hosts.len(), one.groups.len()),
        ("one", "some", 2, 2)
    );
    assert_eq!(one.then.items[0].1, "roles/web/tests/one.yaml:13");
    assert_eq!(one.drift[0].finds[0].value, "file:/etc/site");
    assert!(one.is_for("debian-12") && !one.is_for("debian-11"));
    assert_eq!(one.roles, ["web"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_places_and_near_names() {
    let (_, errors) = read(
        "hostss: 2\nreleases: [debian-21]\ngroups: { some: [node3] }\non: som\nparams: { prt: 81, port: \"82\" }\n\
         before:\n  - pakage: curl\nthen:\n  - port: \"{{ prt }}\"\n\
         drift:\n  - { command: rm /etc/site, finds: [] }\n",
    );
    for part in [
        "unknown key `hostss`",
        "did you mean `hosts`?",
        "unknown release `debian-21`",
        "unknown host `node3`",
        "unknown host or group `som`",
        "has no parameter `prt`",
        "did you mean `port`?",
        "wants a whole number, not",
        "unknown module `pakage`",
        "did you mean `package`?",
        "roles/web/tests/one.yaml:9",
        "unknown key `command`",
        "has no `commands`",
    ] {
        assert!(errors.contains(part), "{part} is not in:\n{errors}");
    }
}

#[test]
fn a_role_without_scenarios_has_its_defaults() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("roles/web")).unwrap();
    fs::write(folder.path().join("roles/web/role.yaml"), ROLE).unwrap();
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let scenarios = read_scenarios(folder.path(), "web", &sources, &mut diagnostics);
    assert!(diagnostics.is_empty());
    assert_eq!((scenarios[0].name.as_str(), scenarios[0].hosts.len()), ("defaults", 1));
}

#[test]
fn the_scenarios_of_shipped_roles_are_without_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    for role in crate::library::names() {
        for (path, bytes) in crate::library::files(role).unwrap_or_default() {
            let path = folder.path().join(ROLES).join(role).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    check_scenarios(folder.path(), &sources, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render(&sources, Style::plain()));
}
