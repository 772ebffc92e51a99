//! Drift told from intent: what changed behind our back, what the repository moved on to, what nobody wants any
//! more, what a waiver lets be, and what is mended.

use cm_tests::{Hosts, Repository, drifting_hosts};
use serde_json::Value;

/// The role that all tests begin with.
const ROLE: &str = "\
tasks:
  - directory: /srv/drift
  - file: /srv/drift/a
    content: \"one\\n\"
    mode: \"0644\"
    owner: root
    restarts: cm-drift
  - file: /srv/drift/b
    content: \"two\\n\"
  - line: /srv/drift/b
    text: extra
  - file: /srv/drift/theirs
    mode: \"0600\"
  - package: cm-lab-lib
    version: \"1.0\"
  - unit: cm-drift.service
    content: |
      [Service]
      ExecStart=/bin/sleep infinity
  - service: cm-drift
    state: running
verify:
  - file: /srv/drift/a
";

/// The host and what is on it: each test has a host of its own.
fn begin(hosts: &Hosts, host: &str) -> Repository {
    let repository = Repository::with_groups(hosts, "  all_of_them: { hosts: [drifted, mended] }\n");
    repository.role("web", ROLE);
    // It is as wanted already: the first apply vouches for what it does not change.
    hosts.sh(host, "mkdir -p /srv/drift; echo x >/srv/drift/theirs; chmod 600 /srv/drift/theirs");
    repository
}

/// What a verify says of its resources that differ: task, verdict and whether it is waived.
fn verdicts(repository: &Repository, line: &str, code: i32) -> Vec<(String, String, bool)> {
    let events = repository.cm(&format!("{line} --json")).exits(code).events();
    let mut found: Vec<(String, String, bool)> = events
        .iter()
        .filter(|event| event["event"] == "task" && event["outcome"] == "changed")
        .map(|event| {
            let verdict = &event["verdict"];
            let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
            (text(&event["task"]), text(&verdict["kind"]), verdict["waived"] == true)
        })
        .collect();
    found.sort();
    found
}

fn is(found: &[(String, String, bool)], wanted: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> =
        found.iter().map(|(task, kind, _)| (task.as_str(), kind.as_str())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn drift_is_told_from_what_is_pending_and_from_both() {
    let Some(hosts) = drifting_hosts() else { return };
    let repository = begin(hosts, "drifted");
    let verify = "verify web on drifted";

    // Before the first apply nobody has changed anything.
    let found = verdicts(&repository, verify, 2);
    let of_checks = |task: &str| task.starts_with("check.");
    assert!(found.iter().all(|(task, kind, _)| kind == "never_applied" || of_checks(task)), "{found:?}");
    assert!(found.iter().any(|(task, kind, _)| of_checks(task) && kind == "none"), "{found:?}");
    let _ = repository.cm("apply web on drifted").exits(0);
    is(&verdicts(&repository, verify, 0), &[]);

    // By hand: content, mode of what cm only vouched for, a package, a service.
    hosts.sh(
        "drifted",
        "echo hacked >/srv/drift/a; chmod 644 /srv/drift/theirs; dpkg -r cm-lab-lib >/dev/null; systemctl stop cm-drift",
    );
    let drifted = [
        ("file:/srv/drift/a", "drift"),
        ("file:/srv/drift/theirs", "drift"),
        ("package:cm-lab-lib", "drift"),
        ("service:cm-drift", "drift"),
    ];
    is(&verdicts(&repository, verify, 2), &drifted);
    let told = repository.cm(verify).exits(2).says(&[
        "drift: file:/srv/drift/a on drifted",
        "-hacked",
        "as wanted since run ",
        "path:/srv/drift/a: modified 20",
        "owner root",
        "mode 0600 -> 0644",
        "dpkg.log: 20",
        "remove cm-lab-lib",
        "systemd: inactive",
        "1 host: 0 ok, 1 drifted",
        "4 drifted",
    ]);
    drop(told);

    // The database is gone; the node knows it all the same. So does another controller.
    std::fs::remove_file(repository.folder().join(".cm/state.redb")).unwrap();
    let _ = repository.cm("state rebuild on drifted --yes").exits(0);
    is(&verdicts(&repository, verify, 2), &drifted);

    // The repository moves on: what was touched is both, what was not is pending.
    repository.role("web", &ROLE.replace("one", "ONE").replace("extra", "more").replace("0600", "0640"));
    is(
        &verdicts(&repository, verify, 2),
        &[
            ("file:/srv/drift/a", "drift_and_pending"),
            ("file:/srv/drift/b", "pending"),
            ("file:/srv/drift/theirs", "drift_and_pending"),
            ("line:/srv/drift/b", "pending"),
            ("package:cm-lab-lib", "drift"),
            ("service:cm-drift", "drift"),
        ],
    );
    let _ = repository.cm(verify).exits(2).says(&["drift, and pending: file:/srv/drift/a", "wanted now:"]);

    // A role without them leaves orphans, which alone are no reason to fail.
    let _ = repository.cm("apply web on drifted").exits(0);
    repository.role("web", "tasks:\n  - directory: /srv/drift\n");
    let events = repository.cm("verify web on drifted --json").exits(0).events();
    let orphans: Vec<&str> = events.iter().filter_map(|event| event["item"].as_str()).collect();
    assert!(orphans.contains(&"path:/srv/drift/a"), "{orphans:?}");
    let finished = events.iter().find(|event| event["event"] == "run_finished").unwrap();
    assert_eq!(finished["drift"]["orphaned"], orphans.len());
}

#[test]
fn what_is_waived_is_let_be_until_its_day_and_what_drifted_is_mended_and_nothing_else() {
    let Some(hosts) = drifting_hosts() else { return };
    let repository = begin(hosts, "mended");
    let verify = "verify web on mended";
    let _ = repository.cm("apply web on mended").exits(0);
    let first = hosts.sh("mended", "systemctl show -p MainPID cm-drift");

    // A rollback and the repository as it was: nobody drifted, cm itself took it back.
    repository.role("web", &ROLE.replace("two", "TWO"));
    let _ = repository.cm("apply web on mended").exits(0);
    let _ = repository.cm("rollback last --yes").exits(0);
    is(&verdicts(&repository, verify, 2), &[("file:/srv/drift/b", "pending")]);
    repository.role("web", ROLE);
    is(&verdicts(&repository, verify, 0), &[]);

    hosts.sh("mended", "echo hacked >/srv/drift/a; chown daemon /srv/drift/a; chmod 600 /srv/drift/a; dpkg -r cm-lab-lib >/dev/null");
    repository.write(
        "waivers.yaml",
        "- { resource: 'package:*', on: mended, until: 2999-12-31, reason: under repair, by: anna }\n\
         - { resource: 'file:/srv/drift/a', attribute: owner, until: 2999-12-31, reason: x }\n\
         - { resource: 'file:/srv/drift/a', attribute: [mode, content], until: 2020-01-01, reason: over }\n",
    );
    let _ = repository.cm("lint").exits(0).says(&["warning", "has expired", "waivers.yaml:3:"]);
    let found = verdicts(&repository, verify, 2);
    is(&found, &[("file:/srv/drift/a", "drift"), ("package:cm-lab-lib", "drift")]);
    assert_eq!((found[0].2, found[1].2), (false, true));
    let told = repository.cm(verify).exits(2);
    let _ = told.says(&["waived until 2999-12-31 by anna: under repair", "waiver expired", "1 waived"]);

    // What is pending and what is let be stay as they are; without a terminal or --yes, all does.
    repository.role("web", &ROLE.replace("two", "TWO"));
    let _ = repository.cm("verify web on mended --mend").exits(2).says(&["`--yes` does it"]);
    assert!(hosts.holds("mended", "grep -q hacked /srv/drift/a"));
    let report = repository.folder().join("report.xml");
    let line = format!("verify web on mended --mend --yes --report junit:{}", report.display());
    let _ = repository.cm(&line).exits(2).says(&["file:/srv/drift/a would change", "changed on mended"]);
    assert_eq!(hosts.sh("mended", "cat /srv/drift/a; stat -c '%U %a' /srv/drift/a"), "one\nroot 644\n");
    assert_eq!(hosts.sh("mended", "head -1 /srv/drift/b"), "two\n");
    assert!(!hosts.holds("mended", "dpkg -s cm-lab-lib >/dev/null 2>&1"));
    assert_ne!(hosts.sh("mended", "systemctl show -p MainPID cm-drift"), first, "it was restarted");
    let xml = std::fs::read_to_string(report).unwrap();
    assert!(xml.contains("type=\"pending\"") && xml.contains("<skipped message=\"waived until"), "{xml}");
    assert!(!xml.contains("type=\"drift\""), "{xml}");
    let _ = repository.cm("show last").exits(0).says(&["pending", "waived"]);

    // What was waived is changed by an apply, which says so.
    let _ = repository.cm("apply web on mended").exits(0).says(&["package:cm-lab-lib is waived until"]);
    is(&verdicts(&repository, verify, 0), &[]);
}
