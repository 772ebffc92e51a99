//! Secrets reach the node and nothing else.

use std::{fs, path::Path};

use cm_tests::{Repository, hosts};

/// Parts that nothing but the file on the node may hold.
const SECRET: &str = "xyzzy-plugh-4711";

#[test]
fn a_secret_is_found_nowhere_but_where_it_belongs() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.secret(hosts, "db_password", SECRET);
    let stored = fs::read_to_string(repository.folder().join("secrets.yaml")).expect("a file of secrets");
    assert!(stored.contains("db_password") && !stored.contains(SECRET), "{stored}");

    repository.role(
        "keeps",
        "tasks:\n  - file: /srv/secret.conf\n    content: \"password={{ secrets.db_password }}\\n\"\n    mode: \"0600\"\n  - command: \"test -n \\\"$P\\\"; echo got {{ secrets.db_password }}; sleep 0.3\"\n    id: prints\n    env: { P: \"{{ secrets.db_password }}\" }\n    unless: test -e /srv/secret.seen\n  - file: /srv/secret.seen\n    content: x\n  - command: \"echo {{ secrets.db_password }} >&2; exit 1\"\n    id: fails\n",
    );
    let mut said = String::new();
    for line in [
        "plan keeps on d12 -v",
        "apply keeps on d12 -v",
        "apply keeps on d12 --json",
        "verify keeps on d12 --json",
        "show last --all",
        "show last --json",
        "history",
    ] {
        let ran = repository.cm(line);
        said.push_str(&ran.said());
    }
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(hosts.sh("d12", "cat /srv/secret.conf"), format!("password={SECRET}\n"));
    // The former content of a file that held it, kept for taking back, is the node's own business and root's alone.
    let found = hosts.sh("d12", &format!("grep -rlaF {SECRET} /var/lib/cm /var/log /run /tmp 2>/dev/null || true; journalctl -q -o cat | grep -cF {SECRET} || true"));
    assert_eq!(found, "0\n");
    let mut files = Vec::new();
    holding(repository.folder(), &mut files);
    assert!(files.is_empty(), "{files:?}");
}

/// The files below a folder that hold the secret.
fn holding(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, found);
        } else if fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
        {
            found.push(path);
        }
    }
}
