//! Documents that are written by the program, and examples in documents, are as they say.

use std::{path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn cm(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_cm")).args(arguments).current_dir(root()).output().unwrap()
}

#[test]
fn the_module_reference_is_what_cm_modules_writes() {
    let written = cm(&["modules"]);
    assert!(written.status.success());
    let kept = std::fs::read_to_string(root().join("docs/modules.md")).unwrap();
    assert!(
        kept == String::from_utf8(written.stdout).unwrap(),
        "docs/modules.md is old: cargo run -p cm -- modules > docs/modules.md"
    );
}

#[test]
fn the_examples_are_without_errors() {
    for example in std::fs::read_dir(root().join("docs/examples")).unwrap() {
        let folder = example.unwrap().path();
        let lint = cm(&["-C", &folder.to_string_lossy(), "lint"]);
        assert!(lint.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&lint.stderr));
    }
}

#[test]
fn a_repository_that_init_writes_is_without_errors_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let site = site.to_string_lossy();
    assert!(cm(&["init", &site]).status.success());
    let lint = cm(&["-C", &site, "lint"]);
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stderr));
    let again = cm(&["init", &site]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing was written"));
}

#[test]
fn completions_and_manual_pages_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let script = cm(&["completions", "bash"]);
    assert!(script.status.success() && String::from_utf8_lossy(&script.stdout).contains("apply"));
    assert!(cm(&["man", &folder.path().to_string_lossy()]).status.success());
    assert!(folder.path().join("cm-apply.1").exists());
}
