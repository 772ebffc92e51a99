//! The cases of all modules on a real host: one role of all of them, through `cm`.
//!
//! Each case has a folder of its own. What the harness of the modules proves on the fake node is proven here
//! of the whole way: plan, apply, a second apply, verify; and each round damages every case once.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
};

use cm_modules::{Kind, registry};
use cm_tests::{Repository, quiet_hosts};
use cm_wire::{TreeEntry, TreeKind, Value};
use serde_json::json;

use crate::{
    case::{Case, Fact, Where, content_of},
    cases,
    harness_look::{differences, look},
    harness_script::{condition, script, text},
    harness_whole::last_change,
};

const HOST: &str = "cases";

/// A case in its folder of the host.
struct Played {
    module: &'static str,
    id: String,
    case: Case,
}

/// All of them, or those that the environment variable `CASE` (`MODULE` or `MODULE-NAME`) picks.
fn played() -> Vec<Played> {
    let only = std::env::var("CASE").unwrap_or_default();
    let mut all = Vec::new();
    for of_module in cases::all() {
        for case in of_module.cases.iter().filter(|case| case.runs.contains(&Where::Host)) {
            let id = format!("{}-{}", of_module.module, case.name);
            if !only.is_empty() && only != of_module.module && only != id {
                continue;
            }
            let folder = Path::new("/srv/harness").join(&id);
            all.push(Played { module: of_module.module, id, case: case.moved(&folder) });
        }
    }
    all
}

#[test]
fn every_case_of_every_module_on_a_real_host() {
    let Some(hosts) = quiet_hosts() else { return };
    let repository = Repository::with_groups(hosts, "  cases: { hosts: [cases] }\n");
    let all = played();
    for played in &all {
        let folder = text(&format!("/srv/harness/{}", played.id));
        hosts.sh(HOST, &format!("mkdir -p {folder}\n{}", script(&played.case.before)));
    }
    write_role(&repository, &all);
    let what = format!("harness on {HOST}");
    let _ = repository.cm(&format!("run true on {HOST}")).exits(0);
    let prepared = look(hosts, HOST);
    let changed = repository.converges(&what);
    let differs = |played: &&Played| !played.case.at_rest;
    for played in all.iter().filter(differs) {
        assert!(changed.iter().any(|task| task.task == played.id), "{} changed nothing", played.id);
    }
    let run = last_change(&repository);
    let _ = repository.cm(&format!("rollback {run} on {HOST} --yes")).exits(0);
    let left: Vec<String> = differences(&prepared, &look(hosts, HOST))
        .into_iter()
        .filter(|text| !cannot_be_undone(&all, text))
        .collect();
    assert_eq!(left, [""; 0], "after the rollback");

    repository.converges(&what);
    let facts = |facts: &mut dyn Iterator<Item = (&str, &Fact)>| {
        let lines: String = facts
            .map(|(id, fact)| format!("{} || echo {}\n", condition(fact), text(&format!("{id}: {fact:?}"))))
            .collect();
        let wrong = hosts.sh(HOST, &lines);
        assert_eq!(wrong, "", "not so on the host");
    };
    facts(&mut all.iter().flat_map(|played| played.case.ends.iter().map(|fact| (&*played.id, fact))));
    let rounds = all.iter().map(|played| played.case.drifts.len()).max().unwrap_or_default();
    for round in 0..rounds {
        let damaged: Vec<&Played> = all.iter().filter(|played| played.case.drifts.len() > round).collect();
        for played in &damaged {
            hosts.sh(HOST, &script(&played.case.drifts[round].acts));
        }
        let found = repository.mends(&what);
        let mut missed = Vec::new();
        for played in &damaged {
            let attribute = format!("\"attribute\":{}", json!(played.case.drifts[round].attribute));
            if !found.iter().any(|task| task.task == played.id && task.changes.contains(&attribute)) {
                missed.push(format!("{}: no {attribute}", played.id));
            }
        }
        assert!(missed.is_empty(), "round {round}: {missed:#?} in {found:#?}");
        let strict = damaged.iter().filter(|played| !played.case.drifts[round].loose);
        facts(&mut strict.flat_map(|played| played.case.ends.iter().map(|fact| (&*played.id, fact))));
    }
}

/// What nobody can take back: what commands did in their folders.
fn cannot_be_undone(all: &[Played], text: &str) -> bool {
    let folder = |played: &Played| format!("/srv/harness/{}", played.id);
    all.iter().any(|played| played.case.no_undo.is_some() && text.contains(&folder(played)))
}

/// Writes a role with a task for each case, and the files that they name.
fn write_role(repository: &Repository, all: &[Played]) {
    let mut role = String::from("tasks:\n");
    for played in all {
        let schema = registry::find(played.module).expect("cases are of modules").schema;
        // The key that names the module comes first.
        let mut subject_pair = String::new();
        let mut rest = format!(r#""id": {}"#, json!(played.id));
        for (name, value) in &played.case.params {
            let subject = *name == schema.subject.name;
            let key = if subject { schema.name } else { name.as_str() };
            let kind =
                if subject { schema.subject.kind } else { schema.param(name).expect("it is known").kind };
            let value = written(repository, &format!("{}-{name}", played.id), kind, value);
            let pair = format!("{}: {value}", json!(key));
            if subject {
                subject_pair = pair;
            } else {
                rest.push_str(&format!(", {pair}"));
            }
        }
        role.push_str(&format!("  - {{ {subject_pair}, {rest} }}\n"));
    }
    repository.role("harness", &role);
}

/// A parameter as a role has it.
fn written(repository: &Repository, name: &str, kind: Kind, value: &Value) -> serde_json::Value {
    let folder = |kind: &str| format!("roles/harness/{kind}/{name}");
    match (kind, value) {
        (Kind::Template, Value::Content(content)) => {
            let bytes = content_of(&content.digest).expect("cases make their contents");
            repository.write(&folder("templates"), bytes);
            json!(name)
        }
        (Kind::Source, Value::Content(content)) => {
            let bytes = content_of(&content.digest).expect("cases make their contents");
            repository.write(&folder("files"), bytes);
            json!(name)
        }
        (_, Value::Content(content)) => {
            let bytes = content_of(&content.digest).expect("cases make their contents");
            json!(raw(&String::from_utf8(bytes).expect("contents within a role are text")))
        }
        (_, Value::Tree(entries)) => {
            write_tree(&repository.folder().join(folder("files")), entries);
            json!(name)
        }
        (_, value) => plain(value),
    }
}

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Text(text) => json!(raw(text)),
        Value::List(values) => values.iter().map(plain).collect(),
        Value::Map(values) => values
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Content(_) | Value::Tree(_) => serde_json::Value::Null,
    }
}

/// Texts of roles are templates.
fn raw(text: &str) -> String {
    if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
        format!("{{% raw %}}{text}{{% endraw %}}")
    } else {
        text.to_owned()
    }
}

fn write_tree(folder: &Path, entries: &[TreeEntry]) {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    fs::create_dir_all(folder).expect("a writable folder");
    for entry in entries {
        let path: PathBuf = folder.join(OsStr::from_bytes(&entry.path));
        match &entry.kind {
            TreeKind::Directory => fs::create_dir_all(&path).expect("a writable folder"),
            TreeKind::Link(target) => symlink(OsStr::from_bytes(target), &path).expect("a writable folder"),
            TreeKind::File { content, executable } => {
                let bytes = content_of(&content.digest).expect("cases make their contents");
                fs::write(&path, bytes).expect("a writable folder");
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its own file");
            }
        }
    }
}
