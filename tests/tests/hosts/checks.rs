//! The `verify:` checks of a role: each kind, true and not.

use cm_tests::{Hosts, Repository, hosts};

const ROLE: &str = r#"
tasks:
  - file: /srv/checked
    content: "right\n"
verify:
  - port: 22
  - command: test -e /srv/checked
  - file: /srv/checked
    contains: right
  - service: ssh
  - process: sshd
"#;

#[test]
fn each_kind_of_check_that_holds_and_that_does_not() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("checked", ROLE);
    let _ = repository.cm("apply checked on releases").exits(0);
    repository.is_converged("checked on releases");
    let checks = |ran: &cm_tests::Ran| ran.tasks().iter().filter(|task| task["check"] == true).count();
    assert_eq!(checks(&repository.cm("verify checked on releases --json")), 5 * 3);
    hosts.sh("d12", "echo wrong > /srv/checked");
    let found = repository.cm("verify checked on releases --json").exits(2);
    let wrong: Vec<String> = found
        .tasks()
        .iter()
        .filter(|task| task["check"] == true && task["outcome"] != "ok")
        .map(|task| {
            format!(
                "{} {}",
                task["host"].as_str().unwrap_or_default(),
                task["task"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("d12 check.file"), "{wrong:?}");
    assert_eq!(hosts.sh("d12", "cat /srv/checked"), "wrong\n", "verify changes nothing");
}

#[test]
fn checks_that_do_not_hold_after_an_apply_fail_it() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let role = "tasks: []\nverify:\n  - port: 9\n    within: 1s\n  - process: no-such-process\n    within: 1s\n  - service: no-such-service\n    within: 1s\n  - http: \"http://127.0.0.1:9/\"\n    within: 1s\n  - command: echo why >&2; false\n    within: 1s\n";
    repository.role("broken", role);
    for line in ["apply broken on d12 --json", "verify broken on d12 --json"] {
        let ran = repository.cm(line);
        assert!(matches!(ran.code, Some(2 | 3)), "{}", ran.said());
        let tasks = ran.tasks();
        let held: Vec<_> = tasks.iter().filter(|task| task["outcome"] == "ok").collect();
        assert!(tasks.len() == 5 && held.is_empty(), "{}", ran.said());
    }
    let _ = Hosts::RELEASES;
}
