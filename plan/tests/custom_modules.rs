//! Modules of the repository in roles: their tasks, edges, conflicts and secrets.

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};

use cm_wire::Value;
use support::{INVENTORY, Repository};

const KV: &str = r#"
protocol: 1
description: A key in a file.
subject: key
identity: [file]
params:
  key:   { type: string }
  file:  { type: path, default: /etc/app.conf }
  value: { type: string, default: "", pattern: "[a-z]*" }
  size:  { type: int, min: 1, max: 9 }
  token: { type: string, sensitive: true }
  state: { choices: [present, absent], default: present }
edits: ["path:{{ file }}"]
needs: ["user:{{ value }}"]
absent: { state: absent }
programs: { psql: postgresql-client }
timeout: 90s
"#;

fn repository(role: &str, declaration: &str) -> Repository {
    let repository = Repository::new(&[
        ("inventory.yaml", INVENTORY),
        ("roles/web/role.yaml", role),
        ("modules/kv.yaml", declaration),
        ("modules/kv", "#!/bin/sh\n"),
    ]);
    let program = repository.path().join("modules/kv");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    repository
}

fn errors(role: &str) -> String {
    let repository = repository(role, KV);
    match repository.load() {
        Err(errors) => errors,
        Ok(_) => repository.plan("web1").map(|_| String::new()).unwrap_or_else(|errors| errors),
    }
}

#[test]
fn a_task_carries_its_program_and_the_limits_of_its_module() {
    let role = "tasks:\n  - kv: [a, b]\n    value: \"{{ node.hostname | replace('1', '') }}\"\n    token: \"it's \\\"ü\\\"\"\n    become: nobody\n  - kv: c\n    timeout: 5s\n    when: node.cpus == 4\n    restarts: app\n  - service: app\n  - package: postgresql-client\n";
    let plan = repository(role, KV).plan("web1").unwrap();
    let ids: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(&ids[..3], ["kv:a", "kv:b", "kv:c"]);
    let first = &plan.tasks[0];
    assert_eq!((first.module.as_str(), first.timeout, first.run_as.as_deref()), ("kv", 90, Some("nobody")));
    assert_eq!(first.params["value"], Value::from("web"));
    assert_eq!((plan.tasks[2].timeout, plan.tasks[2].notify.len()), (5, 1));
    assert_eq!(plan.contents.len(), 1);
    // Secrets are known as they are, and as programs write them in JSON.
    let secrets: Vec<&str> = plan.secrets.iter().map(cm_wire::Secret::expose).collect();
    assert_eq!(secrets, ["it's \"ü\"", "it's \\\"ü\\\"", "it's \\\"\\u00fc\\\""]);
    let edge = |from: &str, to: &str| {
        let place = |id: &str| plan.tasks.iter().position(|task| task.id == id).unwrap();
        let edges = plan.graph.task_edges();
        let found = edges.iter().find(|edge| (edge.from, edge.to) == (place(from), place(to)));
        found.map(|edge| edge.reason.to_string())
    };
    assert_eq!(edge("kv:a", "kv:b").as_deref(), Some("both on /etc/app.conf, as written"));
    assert_eq!(edge("package:postgresql-client", "kv:a").as_deref(), Some("uses package postgresql-client"));
    // The node makes the same resource of it.
    for task in &plan.tasks {
        cm_modules::registry::compile(&task.module, &task.params).unwrap();
    }
}

#[test]
fn one_thing_has_one_truth_and_parts_of_a_file_have_several() {
    assert_eq!(
        errors("tasks:\n  - kv: a\n    value: x\n  - kv: b\n    value: y\n  - kv: a\n    file: /etc/other\n"),
        ""
    );
    let both = errors("tasks:\n  - kv: a\n    value: x\n  - kv: a\n    value: y\n");
    assert!(both.contains("two tasks want different things of `kv:a file=\"/etc/app.conf\"`"), "{both}");
    assert!(both.contains("`value` is \"y\" here") && both.contains("`value` is \"x\" here"), "{both}");
    let gone = errors("tasks:\n  - kv: a\n  - kv: a\n    state: absent\n");
    assert!(gone.contains("to be absent here"), "{gone}");
    let hidden = errors("tasks:\n  - kv: a\n    token: quux-1\n  - kv: a\n    token: quux-2\n");
    assert!(hidden.contains("`token` is one thing here"), "{hidden}");
    // The same twice is one task.
    let repository = repository("tasks:\n  - kv: a\n  - kv: a\n    value: x\n", KV);
    assert_eq!(repository.plan("web1").unwrap().tasks.len(), 1);
}

#[test]
fn what_is_written_wrong_is_told_with_its_place() {
    for (role, error) in [
        ("tasks:\n  - kw: a\n", "did you mean `kv`"),
        ("tasks:\n  - kv: a\n    valu: x\n", "did you mean `value`"),
        ("tasks:\n  - kv: a\n    value: X1\n", "wants text that matches \"[a-z]*\""),
        ("tasks:\n  - kv: a\n    value: \"{{ node.hostname }}\"\n", "wants text that matches \"[a-z]*\""),
        ("tasks:\n  - kv: a\n    size: 10\n", "wants a whole number from 1 to 9"),
        ("tasks:\n  - kv: a\n    state: gone\n", "one of present, absent"),
        ("tasks:\n  - kv: a\n    state: \"{{ node.hostname }}\"\n", "wants one of present, absent"),
        ("tasks:\n  - kv: a\n    file: etc\n", "an absolute path"),
        ("tasks:\n  - kv: \"\"\n", "is empty"),
        ("verify:\n  - kv: a\n", "unknown check `kv`"),
        ("tasks:\n  - kv: a\n    needs: kv:b\n", "unknown task"),
    ] {
        let found = errors(role);
        assert!(found.contains(error) && found.contains("roles/web/role.yaml:"), "{role}{found}");
    }
    let required = KV.replace("size:  { type: int,", "size:  { type: int, required: true,");
    let found = repository("tasks:\n  - kv: a\n", &required).errors();
    assert!(found.contains("`kv:a` has no `size`"), "{found}");
}

#[test]
fn a_guard_wants_something_that_can_be_taken_back() {
    let role = "tasks:\n  - kv: a\n    guard: connection\n";
    assert_eq!(errors(role), "");
    let repository = repository(role, &format!("{KV}undo: none\n"));
    let found = repository.plan("web1").unwrap_err();
    assert!(found.contains("`guard` of `kv:a` means nothing"), "{found}");
}
