//! Modules of the repository on real hosts: planned exactly, applied, verified, taken back, and their failures told.

use std::{fs, os::unix::fs::PermissionsExt as _};

use cm_tests::{Hosts, Repository, differences, hosts};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/custom-modules/modules");

/// Writes a module: its program and its declaration.
fn module(repository: &Repository, name: &str, declaration: &str, program: impl AsRef<[u8]>) {
    repository.write(&format!("modules/{name}.yaml"), declaration);
    let path = format!("modules/{name}");
    repository.write(&path, program);
    let path = repository.folder().join(path);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its own file");
}

/// A module of the example in docs/.
fn example(repository: &Repository, name: &str) {
    let read = |file: &str| fs::read_to_string(format!("{EXAMPLE}/{file}")).expect("an example");
    module(repository, name, &read(&format!("{name}.yaml")), read(name));
}

/// The newest run that changed something.
fn last_change(repository: &Repository) -> String {
    let runs = repository.cm("history --json").exits(0).events();
    let changed = runs.iter().find(|run| run["mode"] == "apply" && run["state"] == "changed");
    changed.and_then(|run| run["id"].as_str()).expect("a run changed something").to_owned()
}

fn on_all(hosts: &Hosts, script: &str) -> [String; 3] {
    Hosts::RELEASES.map(|host| hosts.sh(host, script))
}

#[test]
fn a_module_of_the_repository_is_planned_applied_verified_and_taken_back() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    example(&repository, "conf_key");
    repository.role(
        "settings",
        "tasks:\n  - conf_key: [color, \"font size\"]\n    file: /srv/custom/app.conf\n    value: \"a \\\"b\\\" $(c)\"\n    tags: keys\n  \
         - conf_key: old\n    file: /srv/custom/app.conf\n    state: absent\n",
    );
    let first = "mkdir -p /srv/custom; printf 'color=red\\nold=1\\nlast=1\\n' >/srv/custom/app.conf; \
                 chmod 640 /srv/custom/app.conf; stat -c '%a %u' /srv/custom/app.conf; cat /srv/custom/app.conf";
    let before = on_all(hosts, first);
    let shown = "stat -c '%a %u' /srv/custom/app.conf; cat /srv/custom/app.conf";

    // What is written wrong is told before any host is touched.
    repository.role("wrong", "tasks:\n  - conf_kee: a\n  - conf_key: a=b\n    fil: /x\n");
    let _ = repository.cm("lint").exits(1).says(&[
        "did you mean `conf_key`",
        "did you mean `file`",
        "has no `file`",
    ]);
    fs::remove_dir_all(repository.folder().join("roles/wrong")).expect("it was written");
    let planned = repository.cm("plan settings on releases").exits(2);
    let _ = planned.says(&["conf_key:color would change", "value", "red", "conf_key:old"]);
    assert_eq!(on_all(hosts, shown), before);
    let _ = repository.cm("apply settings on releases --tags keys").exits(0);
    let applied = repository.converges("settings on releases");
    assert_eq!(applied.len(), 3, "{applied:#?}");
    let wanted = "640 0\ncolor=a \"b\" $(c)\nlast=1\nfont size=a \"b\" $(c)\n";
    assert_eq!(on_all(hosts, shown), [wanted; 3]);
    // The program is there once, for root alone, and goes by its digest.
    let programs = "find /var/lib/cm/programs -printf '%m %y\\n' | sort";
    assert_eq!(on_all(hosts, programs), ["700 d\n700 f\n"; 3]);

    let drift = "sed -i s/^color=.*/color=blue/ /srv/custom/app.conf";
    on_all(hosts, drift);
    let found = repository.mends("settings on releases");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|found| found.changes.contains("blue")), "{found:#?}");
    assert_eq!(on_all(hosts, shown), [wanted; 3]);

    // The repository forgets the module; the node does not.
    fs::remove_dir_all(repository.folder().join("modules")).expect("it was written");
    fs::remove_dir_all(repository.folder().join("roles/settings")).expect("it was written");
    let back = repository.cm(&format!("rollback {} on d12 --yes", last_change(&repository))).exits(0);
    let _ = back.says(&["conf_key:color file=\"/srv/custom/app.conf\" changed", "=blue"]);
    assert_eq!(hosts.sh("d12", "grep ^color /srv/custom/app.conf"), "color=blue\n");
    let planned = differences(&repository.cm("cleanup settings on releases --plan --json").exits(2));
    assert!(planned.len() >= 9, "{planned:#?}");
    let _ = repository.cm("cleanup settings on releases --yes").exits(0);
    let after = on_all(hosts, shown);
    // A line that had gone comes back at the end of the file.
    assert_eq!(after, before.map(|text| text.replace("old=1\nlast=1\n", "last=1\nold=1\n")));
    let _ = repository.cm("cleanup settings on releases --yes").exits(0).says(&["remembers nothing"]);
}

/// Answers as its parameter says.
const ODD: &str = r#"#!/bin/sh
request=$(cat)
text() { printf '%s\n' "$request" | sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" | head -n 1; }
way=$(text way) verb=$(text verb) password=$(text password)
differs() { printf '{"differs": [{"attribute": "way", "after": "%s"}], "state": 1}\n' "$1"; }
case $way in
    garbage) echo "a warning"; echo '{"differs": []}' ;;
    status) echo "what went wrong: $password" >&2; exit 4 ;;
    refuse) printf '{"error": "it cannot be: %s", "hint": "do this"}\n' "$password"; exit 1 ;;
    sleep) sleep 300 ;;
    signal) kill -SEGV $$ ;;
    restless) if [ "$verb" = look ]; then differs "$password"; else echo '{}'; fi ;;
    environment) { id -un; env | cut -d= -f1 | sort; } >"/tmp/custom-$(id -un)"; echo '{"differs": [], "state": 1}' ;;
    left)
        if [ "$verb" = change ]; then touch /srv/custom-left; echo '{"message": "it stays there"}'
        elif [ -e /srv/custom-left ]; then echo '{"differs": []}'
        else differs left
        fi ;;
esac
"#;

const ODD_DECLARATION: &str = "protocol: 1\nparallel: true\nsubject: way\nparams:\n  way: { type: string }\n  password: { type: string, default: hush-hush-41, sensitive: true }\n";

#[test]
fn what_goes_wrong_in_a_module_of_the_repository_is_told() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    module(&repository, "odd", ODD_DECLARATION, ODD);
    module(&repository, "left", &ODD_DECLARATION.replace("subject", "undo: none\nsubject"), ODD);
    module(
        &repository,
        "alien",
        &ODD_DECLARATION.replace("subject", "programs: { no-such-program: its-package }\nsubject"),
        "#!/opt/no/interpreter\n",
    );
    module(&repository, "stranger", ODD_DECLARATION, "#!/opt/no/interpreter\n");
    let ways = ["garbage", "status", "refuse", "sleep", "signal", "restless"];
    let tasks: String = ways
        .iter()
        .map(|way| format!("  - odd: {way}\n    timeout: 2s\n    password: \"se\\\"cret-7719\"\n"))
        .collect();
    repository.role(
        "odd",
        &format!("tasks:\n{tasks}  - alien: a\n  - stranger: a\n  - odd: environment\n    become: nobody\n"),
    );
    let ran = repository.cm("apply odd on e12 -v --diff").exits(3);
    let ran = ran.says(&[
        "the answer of `look` of module `odd` is not JSON",
        "a warning",
        "`look` of module `odd` exited with status 4",
        "what went wrong: [secret]",
        "it cannot be: [secret]",
        "do this",
        "did not end in time",
        "killed by signal 11",
        "did not converge",
        "needs the program `no-such-program`",
        "- package: its-package",
        "its interpreter /opt/no/interpreter is not on the node",
    ]);
    let _ = ran.never_says(&["7719"]);
    // Nothing but the parameters says anything, and another user can run it, too.
    assert_eq!(hosts.sh("e12", "cat /tmp/custom-nobody"), "nobody\nLANG\nPATH\nPWD\n");

    repository.role("odd", "tasks:\n  - left: left\n    password: x\n");
    let _ = repository.cm("plan odd on e12").exits(2).says(&["left:left would change"]);
    assert!(!hosts.holds("e12", "test -e /srv/custom-left"));
    let _ = repository.cm("apply odd on e12").exits(0).says(&["it stays there"]);
    let _ = repository.cm("apply odd on e12").exits(0);
    let back = repository.cm(&format!("rollback {} on e12 --yes", last_change(&repository))).exits(0);
    let _ = back.says(&["left:left stays as it is: its module has no `undo`"]);
    let cleaned = repository.cm("cleanup odd on e12 --yes").exits(0);
    let _ = cleaned.says(&["left:left stays as it is: its module has no `undo`"]);
    assert!(hosts.holds("e12", "test -e /srv/custom-left"));

    // A program that somebody has exchanged is not run, but sent again; its folder is nobody's else.
    hosts.sh("e12", "for f in /var/lib/cm/programs/*; do printf '#!/bin/sh\\ntouch /srv/custom-hacked\\n' >\"$f\"; done; rm /srv/custom-left");
    let _ = repository.cm("apply odd on e12").exits(0);
    assert!(hosts.holds("e12", "test -e /srv/custom-left && ! test -e /srv/custom-hacked"));
    hosts.sh("e12", "rm -f /srv/custom-left /tmp/custom-nobody");
}
