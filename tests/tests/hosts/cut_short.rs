//! Runs that do not come to their end: links cut, agents and controllers killed, nodes frozen, users in a hurry.

use std::time::Duration;

use cm_tests::{Hosts, Repository, Started, eventually, hosts};

/// A role that stops between two files until `/run/NAME.go` is there.
fn halting(repository: &Repository, name: &str) {
    repository.role(
        name,
        &format!(
            "tasks:\n  - file: /srv/{name}.first\n    content: \"first\\n\"\n  - command: touch /run/{name}.here; while [ ! -e /run/{name}.go ]; do sleep 0.05; done\n    id: halt\n    changed_when: false\n    needs: file:/srv/{name}.first\n  - file: /srv/{name}.second\n    content: \"second\\n\"\n    needs: halt\n"
        ),
    );
}

fn started(hosts: &Hosts, repository: &Repository, name: &str, more: &str) -> Started {
    // What a test that failed has left behind would hold the node.
    hosts.sh("e12", "pkill -9 -x -f '.*/cm-agent-[^ ]* session' || true");
    hosts.sh("e12", &format!("rm -f /run/{name}.here /run/{name}.go /srv/{name}.*"));
    let run = repository.start(&format!("apply {name} on e12 {more}"));
    eventually("the halt", Duration::from_secs(20), || {
        hosts.holds("e12", &format!("test -e /run/{name}.here")).then_some(())
    });
    run
}

/// After whatever happened, the next run goes on from there and nothing is left running.
fn goes_on(hosts: &Hosts, repository: &Repository, name: &str) {
    hosts.sh("e12", &format!("touch /run/{name}.go"));
    eventually("the end of the agent", Duration::from_secs(20), || {
        (!hosts.holds("e12", "pgrep -x -f '.*/cm-agent-[^ ]* session'")).then_some(())
    });
    let _ = repository.cm(&format!("apply {name} on e12")).exits(0);
    assert_eq!(hosts.sh("e12", &format!("cat /srv/{name}.first /srv/{name}.second")), "first\nsecond\n");
    repository.is_converged(&format!("{name} on e12"));
}

#[test]
fn the_agent_is_killed() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "agentkilled");
    let run = started(hosts, &repository, "agentkilled", "");
    hosts.sh("e12", "pkill -9 -x -f '.*/cm-agent-[^ ]* session'");
    let _ = run.finish().exits(4).says(&[
        "lost the agent on `e12`",
        "in the middle of the run",
        "run the same command again",
    ]);
    assert!(!hosts.holds("e12", "test -e /srv/agentkilled.second"));
    goes_on(hosts, &repository, "agentkilled");
}

#[test]
fn the_controller_is_killed() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "cmkilled");
    let run = started(hosts, &repository, "cmkilled", "");
    run.signal("KILL");
    let ran = run.finish();
    assert_eq!(ran.code, None);
    goes_on(hosts, &repository, "cmkilled");
    let lines = repository.cm("history --json").exits(0).events();
    assert!(lines.iter().any(|run| run["state"] == "interrupted"), "{lines:#?}");
    assert!(!lines.iter().any(|run| run["state"] == "running"), "{lines:#?}");
}

#[test]
fn the_link_is_cut() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "linkcut");
    let run = started(hosts, &repository, "linkcut", "--timeout 8s");
    hosts.lab.cut("e12").expect("a host of the lab");
    let ran = run.finish();
    hosts.lab.restore("e12").expect("a host of the lab");
    let ran = ran.exits(4).says(&["gave up on `e12`", "8 s", "--timeout"]);
    assert!(ran.took < Duration::from_secs(25), "{:?}", ran.took);
    // The agent of the cut run holds the node until it has seen that nobody is there.
    hosts.sh("e12", "touch /run/linkcut.go");
    hosts.sh("e12", "pkill -9 -x -f '.*/cm-agent-[^ ]* session' || true");
    goes_on(hosts, &repository, "linkcut");
}

#[test]
fn the_power_of_the_node_fails() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "power");
    let run = started(hosts, &repository, "power", "--timeout 10s");
    hosts.lab.kill("e12").expect("a host of the lab");
    let ran = run.finish();
    hosts.lab.boot("e12").expect("a host of the lab");
    let _ = ran.exits(4).says(&["`e12`", "hint: "]);
    assert_eq!(hosts.sh("e12", "cat /srv/power.first; ls /srv/power.second 2>/dev/null || true"), "first\n");
    goes_on(hosts, &repository, "power");
}

#[test]
fn a_node_that_hangs() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "frozen");
    let run = started(hosts, &repository, "frozen", "--timeout 6s");
    hosts.lab.freeze("e12").expect("a host of the lab");
    let ran = run.finish();
    // And one that hangs before it says anything.
    let before = repository.cm("apply frozen on e12 --timeout 4s");
    hosts.lab.thaw("e12").expect("a host of the lab");
    let _ = ran.exits(4).says(&["gave up on `e12`", "6 s"]);
    let before = before.exits(4).says(&["`e12`"]);
    assert!(before.took < Duration::from_secs(20), "{:?}", before.took);
    goes_on(hosts, &repository, "frozen");
}

#[test]
fn ctrl_c_once_lets_running_tasks_end() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "once");
    let run = started(hosts, &repository, "once", "");
    run.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    hosts.sh("e12", "touch /run/once.go");
    let _ = run.finish().exits(130).says(&["no new task starts"]);
    assert!(!hosts.holds("e12", "test -e /srv/once.second"));
    let _ = repository.cm("show last").exits(0).says(&["file:/srv/once.first", "interrupted"]);
    goes_on(hosts, &repository, "once");
}

#[test]
fn ctrl_c_twice_ends_now() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "twice");
    let run = started(hosts, &repository, "twice", "");
    run.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    run.signal("INT");
    let ran = run.finish().exits(130);
    assert!(ran.took < Duration::from_secs(15), "{:?}", ran.took);
    let _ = repository.cm("show last").exits(0).says(&["file:/srv/twice.first"]);
    goes_on(hosts, &repository, "twice");
}

#[test]
fn two_runs_on_one_node() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    halting(&repository, "two");
    let first = started(hosts, &repository, "two", "");
    let other = Repository::over(hosts);
    other.role("other", "tasks:\n  - file: /srv/two.other\n    content: x\n");
    // One that will not wait is told who holds the node.
    let _ = other.cm("apply other on e12 --lock-wait 0s").exits(3).says(&["holds the node", "tester"]);
    assert!(!hosts.holds("e12", "test -e /srv/two.other"));
    // One that waits is told, too, and goes on afterwards; the same state file can be used meanwhile.
    let second = other.start("apply other on e12 --lock-wait 30s");
    let _ = repository.cm("history").exits(0);
    std::thread::sleep(Duration::from_secs(1));
    hosts.sh("e12", "touch /run/two.go");
    let _ = first.finish().exits(0);
    let _ = second.finish().exits(0).says(&["waits", "holds it"]);
    assert!(hosts.holds("e12", "test -e /srv/two.other"));
}
