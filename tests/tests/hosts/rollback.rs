//! `cm rollback`: the host as it was before a run.

use cm_tests::{Hosts, Repository, differences, undoing_hosts};

const HOST: &str = "undone";

/// All that a role touches, byte by byte with what surrounds it.
fn state(hosts: &Hosts) -> String {
    hosts.sh(
        HOST,
        "cd /srv/undo && find . -type f -printf '%p %m %u:%g %s %T@\\n' | sort; find . ! -type f -printf '%p %y %m %u:%g %l\\n' | sort; find . -type f | sort | xargs cat; \
         getent passwd undoer || true; dpkg-query -W -f '${Package} ${Version}\\n' 'cm-lab-*' 2>/dev/null || true; \
         apt-mark showmanual | grep cm-lab || true",
    )
}

fn version(repository: &Repository, version: u32) {
    let more = if version == 1 {
        "  - file: /srv/undo/old.conf\n    content: \"old\\n\"\n  - link: /srv/undo/current\n    target: old.conf\n".to_owned()
    } else {
        "  - file: /srv/undo/old.conf\n    state: absent\n  - link: /srv/undo/current\n    target: new.conf\n  - file: /srv/undo/new.conf\n    content: \"new\\n\"\n    owner: undoer\n    mode: \"0600\"\n  - user: undoer\n    system: true\n  - package: cm-lab-daemon\n  - line: /srv/undo/by-hand\n    text: of cm\n".to_owned()
    };
    repository.role(
        "undo",
        &format!("tasks:\n  - directory: /srv/undo\n  - file: /srv/undo/site.conf\n    content: \"v{version}\\n\"\n    mode: \"064{}\"\n{more}", version % 2),
    );
}

#[test]
fn a_second_version_is_taken_back_to_the_first_byte_by_byte() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    version(&repository, 1);
    let _ = repository.cm("apply undo on undone").exits(0);
    hosts.sh(HOST, "printf 'mine\\n' >/srv/undo/by-hand");
    let first = state(hosts);
    version(&repository, 2);
    let _ = repository.cm("apply undo on undone").exits(0);
    let second = state(hosts);
    assert_ne!(first, second);

    // Nobody to ask: the plan alone, and nothing changes.
    let planned = repository.cm("rollback last").exits(2).says(&["--yes"]);
    let _ = planned.says(&["path:/srv/undo/site.conf would change", "-v2", "+v1", "package:cm-lab-daemon"]);
    assert_eq!(state(hosts), second);
    let planned = differences(&repository.cm("rollback last --plan --json").exits(2));
    // A role that is broken by then does not matter.
    repository.role("broken", "tasks: 3\n");
    let ran = repository.cm("rollback last --yes --json").exits(0);
    let both = differences(&ran);
    assert_eq!(both.len(), 2 * planned.len(), "{both:#?}");
    assert!(planned.iter().all(|planned| both.iter().filter(|done| *done == planned).count() == 2));
    assert_eq!(state(hosts), first);
    let newest = &repository.cm("history --json").exits(0).events()[0];
    assert_eq!((newest["mode"].as_str(), newest["state"].as_str()), (Some("rollback"), Some("changed")));
    // A second time there is nothing to take back but the rollback itself.
    let run =
        newest["command_line"].as_str().unwrap_or_default().split(' ').nth(2).unwrap_or_default().to_owned();
    let _ = repository.cm(&format!("rollback {run} --yes")).exits(0).says(&["1 ok"]);
    let _ = repository.cm("rollback last --yes").exits(0);
    assert_eq!(
        state(hosts).replace(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'], ""),
        second.replace(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'], "")
    );
    let _ = repository.cm("rollback last --yes").exits(0);
    assert_eq!(hosts.sh(HOST, "cat /srv/undo/site.conf"), "v1\n");
    std::fs::remove_dir_all(repository.folder().join("roles/broken")).expect("it was written");

    // What somebody else has changed since is named and refused.
    version(&repository, 2);
    let _ = repository.cm("apply undo on undone").exits(0);
    hosts.sh(HOST, "echo 'by hand' >>/srv/undo/site.conf");
    let second = state(hosts);
    let refused = repository.cm("rollback last --yes").exits(3);
    let _ = refused.says(&[
        "nothing was changed on `undone`",
        "path:/srv/undo/site.conf",
        "somebody else",
        "--force",
    ]);
    assert_eq!(state(hosts), second);
    let _ = repository.cm("rollback last --yes --force").exits(0);
    assert_eq!(hosts.sh(HOST, "cat /srv/undo/site.conf"), "v1\n");
    assert_eq!(hosts.sh(HOST, "cat /srv/undo/site.conf.cm-kept"), "v2\nby hand\n");
    hosts.sh(HOST, "rm /srv/undo/site.conf.cm-kept");

    // And all since a run, where later ones changed other things.
    repository.role("more", "tasks:\n  - file: /srv/undo/more\n    content: x\n");
    version(&repository, 2);
    let _ = repository.cm("apply undo on undone").exits(0);
    let run = repository.cm("history -n 1 --json").exits(0).events()[0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let _ = repository.cm("apply more on undone").exits(0);
    let _ = repository.cm(&format!("rollback {run} on undone --yes")).exits(0);
    assert!(hosts.holds(HOST, "test -e /srv/undo/more"));
    let _ = repository.cm(&format!("rollback {run} --and-later --yes")).exits(0);
    assert!(!hosts.holds(HOST, "test -e /srv/undo/more"));
}

#[test]
fn what_cannot_be_taken_back_is_told_before_any_host_is_asked() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    let _ = repository.cm("rollback last").exits(1).says(&["no run has changed anything yet"]);
    let _ =
        repository.cm("rollback 20200101-000000-abc").exits(1).says(&["the state knows no run", "on TARGET"]);
    let _ = repository.cm("rollback nonsense on forgot").exits(1).says(&["there is no run `nonsense`"]);
    let unknown = repository.cm("rollback 20200101-000000-abc on forgot --yes").exits(0);
    let _ = unknown.says(&["knows of no change by run 20200101-000000-abc"]);
    repository.role("looked", "tasks:\n  - file: /srv/looked\n    content: x\n");
    let _ = repository.cm("plan looked on forgot").exits(2);
    let run = repository.cm("history -n 1 --json").exits(0).events()[0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let _ = repository.cm(&format!("rollback {run}")).exits(1).says(&["was a plan", "changed nothing"]);
}
