//! command with all of its guards, wait, and what hangs on commands.

use cm_tests::{Hosts, Repository, differences, hosts};

#[test]
fn commands_run_only_where_their_guards_let_them() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "guards",
        r#"
tasks:
  - directory: /srv/guards
  - command: echo made > /srv/guards/made
    creates: /srv/guards/made
  - command: echo x >> /srv/guards/unless
    unless: test -s /srv/guards/unless
  - command: rm /srv/guards/request; echo done >> /srv/guards/only
    only_if: test -e /srv/guards/request
  - command: echo nothing to see
    changed_when: false
  - command: pwd > where; echo "$GREETING" > greeting; cat > input
    cwd: /srv/guards
    env: { GREETING: "good 'day'" }
    stdin: "from stdin\n"
    creates: /srv/guards/input
  - command: by words
    argv: [touch, "/srv/guards/a b"]
    creates: "/srv/guards/a b"
"#,
    );
    repository.converges("guards on releases");
    for host in Hosts::RELEASES {
        let end = hosts.sh(host, "cd /srv/guards; ls; cat made unless where greeting input");
        assert_eq!(
            end, "a b\ngreeting\ninput\nmade\nunless\nwhere\nmade\nx\n/srv/guards\ngood 'day'\nfrom stdin\n",
            "on {host}"
        );
        hosts.sh(host, "touch /srv/guards/request; rm /srv/guards/made");
    }
    let found = repository.mends("guards on releases");
    assert_eq!(found.len(), 6, "{found:#?}");
    assert_eq!(hosts.sh("d13", "cat /srv/guards/only"), "done\n");
}

#[test]
fn what_nobody_can_know_is_told_with_what_it_hangs_on() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "hangs",
        "tasks:\n  - command: echo 1 > /srv/hangs.first\n    creates: /srv/hangs.first\n  - command: echo 2 > /srv/hangs.second\n    only_if: grep -q 1 /srv/hangs.first\n    unless: test -e /srv/hangs.second\n",
    );
    let planned = repository.cm("plan hangs on d12 --json").exits(2);
    let tasks = planned.tasks();
    assert_eq!(tasks[1]["outcome"], "unknown", "{}", planned.said());
    assert_eq!(tasks[1]["because"][0], tasks[0]["task"], "{}", planned.said());
    let applied = differences(&repository.cm("apply hangs on d12 --json").exits(0));
    assert_eq!(applied.len(), 2, "{applied:#?}");
    repository.is_converged("hangs on d12");
}

#[test]
fn a_command_that_fails_shows_what_it_said() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "fails",
        "tasks:\n  - file: /srv/beside-the-failure\n    content: x\n  - command: sleep 30\n    id: slow\n    parallel: true\n    timeout: 1s\n  - command: test -e /run/third || { test -e /run/second && touch /run/third; touch /run/second; exit 1; }\n    id: flaky\n    parallel: true\n    retry: { times: 4, delay: 100ms }\n  - command: echo to stdout; echo the reason >&2; exit 5\n    id: breaks\n    parallel: true\n  - file: /srv/never\n    content: x\n    needs: breaks\n",
    );
    let ran = repository.cm("apply fails on d12 --json").exits(3);
    assert_eq!(ran.outcome("d12", "breaks").as_deref(), Some("failed"), "{}", ran.said());
    assert_eq!(ran.outcome("d12", "slow").as_deref(), Some("failed"));
    assert_eq!(ran.outcome("d12", "flaky").as_deref(), Some("changed"), "{}", ran.said());
    assert_eq!(ran.outcome("d12", "file:/srv/never").as_deref(), Some("skipped"));
    assert_eq!(ran.outcome("d12", "file:/srv/beside-the-failure").as_deref(), Some("changed"));
    let ran = repository.cm("apply fails on d12").exits(3);
    let _ = ran.says(&[
        "task `breaks` failed on `d12`",
        "5",
        "the reason",
        "roles/fails/role.yaml:12",
        "1 task that needs it was skipped",
        "1 s",
    ]);
    assert!(!hosts.holds("d12", "test -e /srv/never"));
}

#[test]
fn waits_for_ports_files_and_commands() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "waits",
        "tasks:\n  - wait: sshd\n    port: 22\n  - wait: /etc/hostname\n  - wait: a command\n    command: test -d /etc\n    within: 5s\n  - wait: \"9\"\n    state: closed\n",
    );
    repository.is_converged("waits on releases");
    repository.role("wait-in-vain", "tasks:\n  - wait: nobody\n    port: 9\n    within: 1s\n");
    repository.cm("apply wait-in-vain on d12").exits(3).says(&["`wait:nobody` failed on `d12`", "9"]);
}
