//! The program without any host: what it says of input that is wrong, whole and word for word.

mod hook;
mod killed;
mod schema;
mod state;

use cm_tests::{Repository, finish};

const INVENTORY: &str = "hosts:\n  web1: { address: 127.0.0.1 }\n  \"db[1:2]\": { address: \"127.0.0.{{ n + 1 }}\" }\ngroups:\n  web: { hosts: [web1], roles: [site], vars: { port: 8080 } }\n  db: { hosts: [\"db[1:2]\"] }\n";

/// What `cm` says in a repository of these files, with its exit code.
fn said(files: &[(&str, &str)], line: &str) -> String {
    let repository = Repository::empty();
    repository.write("inventory.yaml", INVENTORY);
    for (path, text) in files {
        repository.write(path, text);
    }
    let ran = repository.cm(line);
    let folder = repository.folder().display().to_string();
    let parts =
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", ran.code.unwrap_or(-1), ran.stdout, ran.stderr);
    parts.replace(&folder, "[repository]")
}

fn lint(role: &str) -> String {
    said(&[("roles/site/role.yaml", role)], "lint")
}

#[test]
fn a_repository_without_mistakes() {
    let role = "params:\n  port: { type: int, required: true }\ntasks:\n  - file: /etc/site\n    content: \"{{ port }}\\n\"\n";
    insta::assert_snapshot!(lint(role));
}

#[test]
fn unknown_names_of_every_kind_all_at_once() {
    let role = "description: x\nparam:\n  a: 1\nneeds: [basee]\ntasks:\n  - fiel: /etc/a\n  - file: /etc/b\n    contents: x\n  - file: /etc/c\n    content: \"{{ prot }}\"\n  - file: /etc/d\n    template: sit.conf.j2\n  - service: nginx\n    notfy: x\n  - file: /etc/e\n    needs: file:/etc/bb\n";
    let files = [
        ("roles/site/role.yaml", role),
        ("roles/site/templates/site.conf.j2", "x\n"),
        ("roles/base/role.yaml", "tasks: []\n"),
    ];
    insta::assert_snapshot!(said(&files, "lint"));
}

#[test]
fn an_inventory_full_of_mistakes() {
    let inventory = "hosts:\n  web1: { adress: 127.0.0.1 }\ngroups:\n  web: { hosts: [web2], roles: [sit] }\n  all_services: { groups: [wbe], order: [web, db] }\ndefaults:\n  ssh: { usr: admin, port: high }\n  become: yes\n";
    let files = [("inventory.yaml", inventory), ("roles/site/role.yaml", "tasks: []\n")];
    insta::assert_snapshot!(said(&files, "lint"));
}

#[test]
fn yaml_that_is_none() {
    insta::assert_snapshot!(lint("tasks:\n  - file: /etc/a\n   content: \"x\n  - [\n"));
}

#[test]
fn a_key_that_is_there_twice() {
    insta::assert_snapshot!(lint("tasks:\n  - file: /etc/a\n    mode: \"0644\"\n    mode: \"0600\"\n"));
}

#[test]
fn modes_and_bools_that_mean_something_else_to_other_readers() {
    insta::assert_snapshot!(lint(
        "tasks:\n  - file: /etc/a\n    mode: 0644\n  - file: /etc/b\n    mode: 644\n  - service: nginx\n    enabled: yes\n  - file: /etc/c\n    mode: \"999\"\n"
    ));
}

#[test]
fn a_cycle_with_the_reason_of_each_edge() {
    insta::assert_snapshot!(lint(
        "tasks:\n  - file: /etc/a\n    needs: file:/etc/b\n  - file: /etc/b\n    needs: file:/etc/c\n  - file: /etc/c\n    needs: file:/etc/a\n"
    ));
}

#[test]
fn two_tasks_that_want_different_things() {
    let role = "tasks:\n  - file: /etc/a\n    mode: \"0644\"\n  - file: /etc/a\n    mode: \"0600\"\n";
    insta::assert_snapshot!(lint(role));
}

#[test]
fn two_groups_that_disagree() {
    let inventory = "hosts:\n  web1: { address: 127.0.0.1 }\ngroups:\n  a: { hosts: [web1], vars: { port: 1 } }\n  b: { hosts: [web1], vars: { port: 2 } }\n";
    insta::assert_snapshot!(said(&[("inventory.yaml", inventory)], "lint"));
}

#[test]
fn a_template_with_a_mistake_is_shown_with_its_own_line() {
    let files = [
        (
            "roles/site/role.yaml",
            "tasks:\n  - file: /etc/a\n    template: a.j2\n  - file: /etc/b\n    template: b.j2\n",
        ),
        ("roles/site/templates/a.j2", "one\ntwo {{ undefined_name }}\n"),
        ("roles/site/templates/b.j2", "one\n{% if x %}\nnever ended\n"),
    ];
    insta::assert_snapshot!(said(&files, "lint"));
}

#[test]
fn parameters_of_a_role_that_are_wrong_or_lacking() {
    let files = [
        ("roles/site/role.yaml", "needs: [{ role: other, with: { port: 70000, nmae: x } }]\ntasks: []\n"),
        (
            "roles/other/role.yaml",
            "params:\n  port: { type: int, max: 65535 }\n  name: { type: string, required: true }\n  kind: { type: sting }\ntasks: []\n",
        ),
    ];
    insta::assert_snapshot!(said(&files, "lint"));
}

#[test]
fn hosts_groups_and_roles_of_the_command_line() {
    let role = ("roles/site/role.yaml", "tasks: []\n");
    insta::assert_snapshot!(said(&[role], "plan site on wbe"));
    insta::assert_snapshot!(said(&[role], "plan sit on web"));
    insta::assert_snapshot!(said(&[role], "vars web2"));
    insta::assert_snapshot!(said(&[role], "apply site"));
    insta::assert_snapshot!(said(&[role], "apply on db"));
    insta::assert_snapshot!(said(&[role], "plan site on web --set prot=1"));
    insta::assert_snapshot!(said(&[role], "aply site on web"));
}

#[test]
fn variables_with_where_they_come_from() {
    insta::assert_snapshot!(said(
        &[(
            "roles/site/role.yaml",
            "params:\n  port: { type: int, default: 80 }\n  name: { type: string, default: n }\ntasks: []\n"
        )],
        "vars web1"
    ));
}

#[test]
fn no_repository_and_a_new_one() {
    let repository = Repository::empty();
    let ran = repository.cm("lint").exits(1);
    insta::assert_snapshot!(ran.stderr.replace(&repository.folder().display().to_string(), "[repository]"));
    let _ = repository.cm("init").exits(0);
    let _ = repository.cm("lint").exits(0);
    let _ = repository.cm("graph hello --format dot");
}

#[test]
fn a_state_file_that_is_none_is_never_overwritten() {
    let repository = Repository::empty();
    repository.write("inventory.yaml", INVENTORY).write("roles/site/role.yaml", "tasks: []\n");
    repository.write(".cm/state.redb", "not a database\n");
    let ran = repository.cm("history").exits(1);
    insta::assert_snapshot!(ran.stderr.replace(&repository.folder().display().to_string(), "[repository]"));
    let _ = repository.cm("apply site on web").exits(1);
    let kept = std::fs::read(repository.folder().join(".cm/state.redb")).expect("the file is there");
    assert_eq!(kept, b"not a database\n");
}

#[test]
fn this_machine_without_ssh() {
    let repository = Repository::empty();
    let target = repository.folder().join("made/by cm");
    repository.write("inventory.yaml", "hosts:\n  here: { connection: local }\ndefaults:\n  become: false\n");
    repository.role(
        "local",
        &format!(
            "tasks:\n  - file: {}\n    content: \"x\\n\"\n  - directory: {}\n",
            target.display(),
            repository.folder().join("made").display()
        ),
    );
    repository.converges("local on here");
    assert_eq!(std::fs::read_to_string(&target).expect("it was made"), "x\n");
}

#[test]
fn completions_and_manual_pages() {
    let folder = Repository::empty();
    let _ = finish(&mut cm_tests::cm(folder.folder(), &["completions", "bash"]))
        .exits(0)
        .says(&["complete", "cm"]);
}

#[test]
fn a_rollout_full_of_mistakes() {
    let role = "tasks: []
rollout:
  batch: [1, many]
  max_unavailabel: 2
  promote: manuel
  spread: { by: rakc, max: 0 }
  order: node.memory.totl
  healthy_deadline: soon
  gates:
    - http: x
      command: y
    - command: x
      pass: value < 1
    - prometheus: http://p
      query: up
      pass: valeu < 1
  hooks:
    - on: node
    - befor_node: x
      after_node: \"{{ host.nmae }}\"
";
    insta::assert_snapshot!(lint(role));
}

#[test]
fn two_roles_that_are_rolled_out_in_different_ways() {
    let role = |text: &str| format!("tasks: []\nrollout:\n{text}");
    let (site, base) =
        (role("  max_unavailable: 2\n  order: random\n"), role("  max_unavailable: 1\n  order: given\n"));
    let files = [("roles/site/role.yaml", site.as_str()), ("roles/base/role.yaml", base.as_str())];
    insta::assert_snapshot!(said(&files, "rollout plan site,base on web --order random"));
}

#[test]
fn rollouts_are_asked_for_before_there_are_any() {
    let files = [("roles/site/role.yaml", "tasks: []\n")];
    for line in ["rollout", "rollout status", "rollout pause x", "rollout site on web --batch some"] {
        insta::assert_snapshot!(line.replace(' ', "_"), said(&files, line));
    }
}
