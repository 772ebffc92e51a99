//! `cm schema`, by a validator that is not ours: what `cm lint` takes it takes, and refuses what that refuses.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cm_tests::{Repository, skipped};
use serde_json::{Value, json};

const PYTHON: &str = "/usr/bin/python3";

/// For each document the first thing that is wrong with it; none: the validator is not here.
fn errors(kind: &str, documents: &[String]) -> Option<Vec<Option<String>>> {
    let usable = Command::new(PYTHON).args(["-c", "import jsonschema, yaml"]).stderr(Stdio::null()).status();
    if !usable.is_ok_and(|status| status.success()) {
        skipped("JSON Schema: python3-jsonschema and python3-yaml are missing");
        return None;
    }
    let schema = with_modules().cm(&format!("schema {kind}")).exits(0).stdout;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/commands/validate.py");
    let mut python =
        Command::new(PYTHON).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let request = json!({ "schema": schema, "documents": documents }).to_string();
    python.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the validator refused the schema of a {kind} itself");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A repository with the modules of the project's example, which its roles name.
fn with_modules() -> Repository {
    let repository = Repository::empty();
    repository.write("cm.toml", "");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/custom-modules/modules");
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = format!("modules/{}", entry.file_name().display());
        repository.write(&path, fs::read(entry.path()).unwrap());
        let permissions = fs::metadata(entry.path()).unwrap().permissions();
        fs::set_permissions(repository.folder().join(path), permissions).unwrap();
    }
    repository
}

/// The files of this name that the project itself has.
fn own(name: &str) -> Vec<PathBuf> {
    fn search(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if entry.file_name() == "target" || entry.file_type().unwrap().is_symlink() {
                continue;
            }
            if path.is_dir() {
                search(&path, name, found);
            } else if entry.file_name() == name {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["roles/library", "docs", "cli/src", "plan/tests", "vagrant"] {
        search(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), name, &mut found);
    }
    found
}

#[test]
fn roles_and_inventories_of_the_project_are_valid() {
    for (kind, name, least) in [("role", "role.yaml", 5), ("inventory", "inventory.yaml", 2)] {
        let files = own(name);
        assert!(files.len() >= least, "only {files:?}");
        let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let Some(errors) = errors(kind, &texts) else { return };
        for (file, error) in files.iter().zip(errors) {
            assert_eq!(error, None, "{}", file.display());
        }
    }
}

/// Tasks, and whether they are right.
const TASKS: &[(&str, bool)] = &[
    ("{ package: [curl, git], state: absent }", true),
    ("{ package: curl, state: gone }", false),
    ("{ pakage: curl }", false),
    ("{ file: /etc/a, content: x, mode: \"0644\", tags: [a, b], when: node.cpus > 1 }", true),
    ("{ file: /etc/a, content: x, mode: 644 }", false),
    ("{ file: etc/a, content: x }", false),
    ("{ file: /etc/a, contents: x }", false),
    ("{ file: \"/etc/{{ item }}\", content: x, each: [a, b] }", true),
    ("{ service: nginx, state: running, enabled: yes }", false),
    ("{ service: nginx, state: running, enabled: \"{{ node.cpus > 1 }}\" }", true),
    ("{ command: ls, creates: /a, timeout: 5m, retry: { times: 3, delay: 5s } }", true),
    ("{ command: ls, retry: { time: 3 } }", false),
    ("{ command: ls, timeout: soon }", false),
    ("{ directory: /etc/a, guard: connection }", true),
    ("{ directory: /etc/a, guard: always }", false),
    ("{ command: id, become: nobody, sensitive: true }", true),
    ("{ conf_key: [a, b], file: /etc/x, state: absent, tags: x }", true),
    ("{ conf_key: a }", false),
    ("{ conf_key: a, file: /etc/x, value: x, stat: absent }", false),
    ("{ id: x }", false),
    ("[]", false),
];

/// What `rollout:` of a role may hold, and whether it is right.
const ROLLOUTS: &[(&str, bool)] = &[
    ("{}", true),
    (
        "{ batch: [1, \"10%\", \"100%\"], max_unavailable: 2, window: true, promote: manual, on_failure: rollback }",
        true,
    ),
    ("{ batch: \"25%\", spread: rack, order: random, max_failures: \"5%\", min_healthy_time: 10s }", true),
    ("{ spread: { by: rack, per_domain: 2 }, order: node.memory.total, healthy_deadline: 300 }", true),
    ("{ batches: [1] }", false),
    ("{ batch: some }", false),
    ("{ batch: -1 }", false),
    ("{ promote: maybe }", false),
    ("{ on_failure: panic }", false),
    ("{ window: yes }", false),
    ("{ spread: { max: 1 } }", false),
    ("{ spread: { by: rack, max: 0 } }", false),
    ("{ healthy_deadline: soon }", false),
    ("{ gates: [{ command: ./check, timeout: 5s, per: batch }] }", true),
    ("{ gates: [{ http: \"http://{{ host.address }}/\", status: 204, contains: ok }] }", true),
    ("{ gates: [{ prometheus: \"http://p\", query: up, pass: \"value == 1\", fail: \"value < 1\" }] }", true),
    ("{ gates: [{ prometheus: \"http://p\", query: up }] }", false),
    ("{ gates: [{ command: x, status: 200 }] }", false),
    ("{ gates: [{ command: x, http: y }] }", false),
    ("{ gates: [{ timeout: 5s }] }", false),
    ("{ gates: [{ http: x, per: host }] }", false),
    ("{ hooks: [{ on: controller, before_batch: ./begin, after_batch: ./end }] }", true),
    ("{ hooks: [{ already: x, before_node: a, after_node: b, timeout: 1m }] }", true),
    ("{ hooks: [{ on: node }] }", false),
    ("{ hooks: [{ before: x }] }", false),
    ("{ hooks: [{ already: x, before_batch: a }] }", false),
    ("{ hooks: [{ already: x, before_batch: a, after_node: b }] }", true),
    ("{ gates:, hooks: }", true),
    ("{ batch: \"+5\" }", true),
    ("{ batch: \" 5 % \" }", true),
    ("{ batch: \"100%\" }", true),
    ("{ batch: \"150%\" }", false),
    ("{ batch: \"101 %\" }", false),
    ("{ batch: \"150\" }", true),
    ("{ batch: \"5 5\" }", false),
    ("{ min_healthy_time: 5min }", true),
    ("{ min_healthy_time: \"1.5h\" }", true),
    ("{ min_healthy_time: \".5s\" }", true),
    ("{ min_healthy_time: 0.5 }", true),
    ("{ min_healthy_time: \"5 m\" }", false),
    ("{ min_healthy_time: \"1.2.3s\" }", false),
    ("{ min_healthy_time: \".\" }", false),
    ("{ min_healthy_time: -1 }", false),
    ("{ min_healthy_time: \"5w\" }", false),
];

/// Inventories, and whether they are right.
const INVENTORIES: &[(&str, bool)] = &[
    ("hosts: { web1: { address: 10.0.0.1, vars: { rack: a } }, web2: {} }", true),
    ("hosts: { web1: { adress: 10.0.0.1 } }", false),
    ("hosts: { web1: 10.0.0.1 }", false),
    (
        "hosts: { \"web[1:3]\": { address: \"10.0.0.{{ n }}\" } }\ngroups: { web: { hosts: [\"web[1:2]\"], vars: { port: 80 } } }",
        true,
    ),
    ("hosts: { a: {} }\ngroups: { web: { hosts: a, groups: [] } }", true),
    ("hosts: { a: { ssh: { port: 70000 } } }", false),
    (
        "hosts: { a: {} }\ndefaults: { ssh: { user: admin, port: 22, host_keys: accept-new }, become: true }",
        true,
    ),
    ("hosts: { a: {} }\ndefaults: { become: yes }", false),
    ("hosts: { a: {} }\ndefaults: { ssh: { usr: admin } }", false),
    ("hosts: { a: { vars: { \"1st\": x } } }", false),
    ("host: {}", false),
];

#[test]
fn the_schema_agrees_with_lint() {
    let vars = "params:\n  rack: { type: string, default: a }\n";
    let tasks = TASKS.iter().map(|(task, good)| (format!("tasks:\n  - {task}\n"), *good));
    let rollouts = ROLLOUTS.iter().map(|(text, good)| (format!("{vars}rollout: {text}\n"), *good));
    let roles: Vec<(String, bool)> = tasks.chain(rollouts).collect();
    let inventories: Vec<(String, bool)> =
        INVENTORIES.iter().map(|(text, good)| (format!("{text}\n"), *good)).collect();
    for (kind, cases) in [("role", roles), ("inventory", inventories)] {
        let texts: Vec<String> = cases.iter().map(|(text, _)| text.clone()).collect();
        let Some(errors) = errors(kind, &texts) else { return };
        for ((text, good), error) in cases.iter().zip(errors) {
            let repository = with_modules();
            let file = if kind == "role" { "roles/a/role.yaml" } else { "inventory.yaml" };
            repository
                .write("inventory.yaml", "hosts: { h: {} }\ngroups: { g: { hosts: [h], roles: [a] } }\n");
            repository.write(file, text);
            let linted = repository.cm("lint");
            assert_eq!(linted.code == Some(0), *good, "lint of {text}: {}", linted.stderr);
            assert_eq!(error.is_none(), *good, "the schema of {text}: {error:?}");
        }
    }
}
