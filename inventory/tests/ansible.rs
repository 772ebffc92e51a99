//! What ansible-core says of an inventory is what we read: whole answers are compared for everything in `tests/ansible/`.
//!
//! A folder there is one inventory: `case` names its sources, one a line, as they would be given to `-i`. The program comes
//! from `cargo xtask ansible` (in `target/ansible/`); without it there is nothing to compare with, and the test says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cm_inventory::{Inventory, Reading};
use cm_syntax::{Diagnostics, Sources, Style};
use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn names(case: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(case.join("case")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn ours(case: &Path) -> Result<Value, String> {
    let named: Vec<PathBuf> = names(case).into_iter().map(PathBuf::from).collect();
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let reading = Reading { root: case, named: &named, secret: &|_| None };
    let inventory = Inventory::load_from(&sources, &reading, &mut diagnostics);
    match inventory {
        Some(inventory) if !diagnostics.has_errors() => Ok(sorted(inventory.ansible_list())),
        _ => Err(diagnostics.render(&sources, Style::plain())),
    }
}

fn theirs(program: &Path, case: &Path) -> Value {
    let mut command = Command::new(program);
    for name in names(case) {
        command.args(["-i", &name]);
    }
    let home = tempfile::tempdir().unwrap();
    let settings = home.path().join("ansible.cfg");
    std::fs::write(&settings, "").unwrap();
    command.arg("--list").current_dir(case).env("HOME", home.path());
    command.env("ANSIBLE_CONFIG", settings).env("ANSIBLE_LOCAL_TEMP", home.path()).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("Unable to parse"), "{}: {errors}", case.display());
    sorted(plain(serde_json::from_slice(&output.stdout).unwrap()))
}

/// Texts of `!unsafe` come wrapped.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(mut entries) if entries.len() == 1 && entries.contains_key("__ansible_unsafe") => {
            entries.remove("__ansible_unsafe").unwrap_or_default()
        }
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        other => other,
    }
}

/// The order of hosts in a group, and of groups in a group, says nothing.
fn sorted(mut list: Value) -> Value {
    for (name, group) in list.as_object_mut().unwrap() {
        for key in ["hosts", "children"] {
            if name != "_meta"
                && let Some(names) = group.get_mut(key).and_then(Value::as_array_mut)
            {
                names.sort_by_key(ToString::to_string);
            }
        }
    }
    list
}

/// What differs, a line each.
fn differences(place: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let place = format!("{place}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differences(&place, a, b, found),
                    (Some(a), None) => found.push(format!("{place}: only ours: {a}")),
                    (None, b) => found.push(format!("{place}: only theirs: {}", b.unwrap_or(&Value::Null))),
                }
            }
        }
        _ if ours != theirs => found.push(format!("{place}: ours {ours}, theirs {theirs}")),
        _ => {}
    }
}

#[test]
fn the_corpus_is_read_without_errors() {
    let cases = cases();
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for case in cases {
        if let Err(errors) = ours(&case) {
            panic!("{}:\n{errors}", case.display());
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that has nothing to compare with says so")]
fn ansible_says_the_same() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ansible/bin/ansible-inventory");
    if !program.exists() {
        eprintln!("skipped: `cargo xtask ansible` installs ansible-core, which this compares with");
        return;
    }
    let cases = cases();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut found = Vec::new();
                    match ours(case) {
                        Ok(ours) => differences("", &ours, &theirs(&program, case), &mut found),
                        Err(errors) => found.push(errors),
                    }
                    if !found.is_empty() {
                        wrong.lock().unwrap().push(format!("{}:\n  {}", case.display(), found.join("\n  ")));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
