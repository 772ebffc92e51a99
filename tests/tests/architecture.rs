//! The import table of ARCHITECTURE.md holds: no arrow runs back.

use std::{collections::BTreeMap, fs, path::Path};

/// What each crate may import of ours, in its library or program (tests may import more).
const ALLOWED: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("modules", &["cm-wire"]),
    ("agent", &["cm-wire", "cm-modules"]),
    ("syntax", &[]),
    ("fetch", &[]),
    ("xml", &[]),
    ("rollout", &["cm-xml"]),
    ("inventory", &["cm-syntax", "cm-fetch"]),
    ("roles", &["cm-syntax", "cm-modules", "cm-wire", "cm-rollout"]),
    ("plan", &["cm-syntax", "cm-inventory", "cm-roles", "cm-modules", "cm-wire", "cm-rollout", "cm-xml"]),
    ("transport", &[]),
    ("state", &[]),
    ("engine", &["cm-wire", "cm-syntax", "cm-plan", "cm-transport", "cm-rollout", "cm-fetch"]),
    ("lab", &[]),
    ("simulated", &["cm-lab", "cm-transport"]),
    ("counts", &["cm-agent", "cm-plan", "cm-syntax", "cm-wire"]),
    ("bench", &["cm-lab", "cm-plan", "cm-simulated", "cm-syntax", "cm-wire"]),
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The crates of ours in `[dependencies]` of a manifest.
fn dependencies(folder: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| name.starts_with("cm-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_import_only_what_the_table_allows() {
    let mut wrong = BTreeMap::new();
    for (folder, allowed) in ALLOWED {
        let extra: Vec<String> =
            dependencies(folder).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        if !extra.is_empty() {
            wrong.insert(*folder, extra);
        }
    }
    assert!(wrong.is_empty(), "not allowed by ARCHITECTURE.md: {wrong:?}");
}

#[test]
fn the_agent_drags_in_no_runtime_no_ssh_and_no_database() {
    let lock = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--package", "cm-agent", "--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
    let tree = String::from_utf8(lock.stdout).unwrap();
    for banned in ["tokio ", "russh ", "redb ", "openssl", "reqwest "] {
        assert!(!tree.lines().any(|line| line.starts_with(banned)), "the agent depends on {banned}");
    }
}
