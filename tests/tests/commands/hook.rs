//! The git hook of docs/editors.md, as it stands there.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use cm_tests::{Repository, program};

/// The first shell script with this text in a page of the documentation.
fn script(page: &str, with: &str) -> String {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let mut blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(with)).unwrap().to_owned()
}

#[test]
fn a_commit_that_lint_refuses_is_not_made() {
    let repository = Repository::empty();
    let folder = repository.folder().to_owned();
    let git = |words: &[&str]| {
        let bin = program().parent().unwrap().to_owned();
        // The program may have another name where the suite was told which to test.
        let named = folder.join("bin");
        fs::create_dir_all(&named).unwrap();
        let _ = std::os::unix::fs::symlink(program(), named.join("cm"));
        let path = format!("{}:{}:/usr/bin:/bin", named.display(), bin.display());
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let mut command = Command::new("git");
        command.args(who).args(words).current_dir(&folder).env("PATH", path).env("HOME", &folder);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    repository.write("inventory.yaml", "hosts: { h: {} }\ngroups: { g: { hosts: [h], roles: [a] } }\n");
    repository.write("roles/a/role.yaml", "tasks:\n  - package: curl\n");
    assert!(git(&["init", "-q"]).0);
    let hook = folder.join(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, script("editors.md", "checkout-index")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(git(&["add", "inventory.yaml", "roles"]).0);
    let (done, said) = git(&["commit", "-qm", "good"]);
    assert!(done, "{said}");
    repository.write("roles/a/role.yaml", "tasks:\n  - pakage: curl\n");
    assert!(git(&["add", "roles"]).0);
    // Mended beside, but not in what is committed.
    repository.write("roles/a/role.yaml", "tasks:\n  - package: curl\n");
    let (done, said) = git(&["commit", "-qm", "bad"]);
    assert!(!done && said.contains("did you mean `package`?"), "{said}");
}
