//! The agent is killed with -9: at each boundary between tasks, with a restart owed, twice in a row.

use std::time::Duration;

use cm_tests::{
    Hosts, Repository, eventually,
    faults::{AGENT, Shell, chain, no_agent, recovers, tells, unchain},
};

use crate::silence::fragile_hosts;

const HOST: &str = "agents";

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  g: { hosts: [agents] }\n");
    repository.role("chain", &chain("chain"));
    repository
}

/// No file of the role is there in part.
fn nothing_is_half_made(hosts: &Hosts) {
    // 100,000 times `low`, or `high`, and a line's end.
    let sizes = hosts.sh(HOST, "stat -c %s /srv/chain/big 2>/dev/null || echo none");
    assert!(["none", "300001", "400001"].contains(&sizes.trim()), "{sizes}");
    let lines = hosts.sh(HOST, "cat /etc/chain.conf 2>/dev/null || true");
    assert!(["", "tone = low\n", "tone = high\n"].contains(&lines.as_str()), "{lines:?}");
}

#[test]
fn killed_at_each_boundary_between_tasks() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    let mut shell = Shell::on(hosts, HOST);
    for boundary in 0..=8 {
        unchain(hosts, HOST, "chain");
        let mut run = repository.watch("apply chain on agents");
        run.until(|event| event["event"] == "planned");
        shell.say(&format!("agent=$(pgrep -x -f '{AGENT}')"));
        run.after_tasks(boundary);
        shell.say("kill -9 $agent");
        let ran = run.finish().exits(4);
        tells(
            &ran,
            HOST,
            &[
                "lost the agent on `agents`",
                "signal KILL",
                "in the middle of the run",
                "run the same command again",
            ],
        );
        nothing_is_half_made(hosts);
        no_agent(hosts, HOST, Duration::from_secs(10));
        recovers(hosts, &repository, HOST, "chain on agents");
    }
    // And while one state is turned into another.
    for boundary in [0, 1, 2, 3] {
        let tone = if boundary % 2 == 0 { "high" } else { "low" };
        let mut run = repository.watch(&format!("apply chain on agents --set tone={tone}"));
        run.until(|event| event["event"] == "planned");
        shell.say(&format!("agent=$(pgrep -x -f '{AGENT}')"));
        run.until(|event| event["event"] == "task_started");
        run.after_tasks(boundary);
        shell.say("kill -9 $agent");
        let _ = run.finish();
        nothing_is_half_made(hosts);
        no_agent(hosts, HOST, Duration::from_secs(10));
        recovers(hosts, &repository, HOST, &format!("chain on agents --set tone={tone}"));
    }
}

#[test]
fn killed_between_a_change_and_the_restart_it_owes() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    repository.role(
        "owing",
        "params:\n  word: { type: string, default: a }\ntasks:\n  - file: /etc/owing.conf\n    content: \"{{ word }}\\n\"\n    restarts: owing\n  - command: touch /run/owing.here; while [ ! -e /run/owing.go ]; do sleep 0.02; done\n    id: halt\n    changed_when: false\n    needs: file:/etc/owing.conf\n  - unit: owing.service\n    content: \"[Service]\\nExecStart=/bin/sleep infinity\\n\"\n  - service: owing\n    state: running\n    needs: halt\n",
    );
    hosts.sh(HOST, "touch /run/owing.go");
    let _ = repository.cm("apply owing on agents").exits(0);
    let before = hosts.sh(HOST, "systemctl show -p MainPID --value owing");
    hosts.sh(HOST, "rm -f /run/owing.go /run/owing.here");
    let mut run = repository.watch("apply owing on agents --set word=b");
    run.until(|event| event["event"] == "task_started" && event["task"] == "halt");
    hosts.sh(HOST, &format!("while [ ! -e /run/owing.here ]; do sleep 0.02; done; pkill -9 -x -f '{AGENT}'"));
    let _ = run.finish().exits(4);
    hosts.sh(HOST, "touch /run/owing.go");
    no_agent(hosts, HOST, Duration::from_secs(10));
    assert_eq!(hosts.sh(HOST, "systemctl show -p MainPID --value owing"), before);
    // Nothing differs but what is owed; that is shown by plan and done by apply, with its reason.
    let planned = repository.cm("plan owing on agents --set word=b").exits(2);
    let planned = planned.says(&["service:owing", "restart", "file:/etc/owing.conf"]);
    assert!(!planned.said().contains("file:/etc/owing.conf would change"), "{}", planned.said());
    recovers(hosts, &repository, HOST, "owing on agents --set word=b");
    assert_ne!(hosts.sh(HOST, "systemctl show -p MainPID --value owing"), before);
}

#[test]
fn killed_again_and_again() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    unchain(hosts, HOST, "chain");
    let mut shell = Shell::on(hosts, HOST);
    for steps in 2..6 {
        let mut run = repository.watch("apply chain on agents");
        run.until(|event| event["event"] == "planned");
        shell.say(&format!("agent=$(pgrep -x -f '{AGENT}')"));
        // A step further each time.
        run.after_tasks(steps);
        shell.say("kill -9 $agent");
        let _ = run.finish();
        no_agent(hosts, HOST, Duration::from_secs(10));
    }
    recovers(hosts, &repository, HOST, "chain on agents");
}

#[test]
fn killed_while_it_is_sent() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    unchain(hosts, HOST, "chain");
    let mut shell = Shell::on(hosts, HOST);
    let mut hit = 0;
    for milliseconds in [0, 5, 10, 20, 40] {
        hosts.sh(HOST, "rm -rf /var/lib/cm/agent /run/hunt.over /run/hunt.ended");
        let mut run = repository.watch("apply chain on agents");
        run.until(|event| event["event"] == "connecting");
        // The shell that receives it, as soon as it is there, and what it has started.
        shell.say(&format!(
            "until pkill -9 -f 'cm-need ' || [ -e /run/hunt.over ]; do :; done; sleep 0.0{milliseconds:02}; \
             [ -e /run/hunt.over ] || for p in head gzip dpkg-deb tar; do pkill -9 -x $p; done; touch /run/hunt.ended"
        ));
        let ran = run.finish();
        assert!(matches!(ran.code, Some(0 | 4)), "{}", ran.said());
        hit += usize::from(ran.code == Some(4));
        // It must not hunt what comes now.
        hosts.sh(HOST, "touch /run/hunt.over");
        eventually("the hunt's end", Duration::from_secs(10), || {
            hosts.holds(HOST, "test -e /run/hunt.ended").then_some(())
        });
        // What a loss of power would leave of it.
        hosts.sh(HOST, "mkdir -p -m 700 /var/lib/cm/agent; head -c 1000000 /dev/zero > /var/lib/cm/agent/.cm-agent-0123.999999999");
        no_agent(hosts, HOST, Duration::from_secs(10));
        hosts.sh(HOST, "rm -f /var/lib/cm/agent/cm-agent-*");
        recovers(hosts, &repository, HOST, "chain on agents");
    }
    assert!(hit > 0, "none was killed in time");
}
