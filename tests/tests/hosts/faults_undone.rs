//! Runs that are killed anywhere, the package manager with them or not: the role that came in pieces is taken off
//! the host whole.
//!
//! `CM_FAULT_ROUNDS` and `CM_FAULT_SEED` as for `faults_random`.

use std::{thread, time::Duration};

use cm_tests::{
    Hosts, Repository,
    faults::{AGENT, Shell, no_agent, records_are_whole},
    measured,
};

use crate::{
    faults_random::Numbers,
    harness_look::{differences, look},
    silence::fragile_hosts,
};

const HOST: &str = "agents";

const ROLE: &str = "params:
  tone: { type: string, default: a }
tasks:
  - package: cm-lab-daemon
  - user: undone
  - directory: /srv/undone
    owner: undone
  - file: /srv/undone/page
    content: \"{{ tone }}\\n\"
    owner: undone
  - file: /etc/cm-lab-daemon.extra
    content: \"{{ tone }}\\n\"
    restarts: cm-lab-daemon
  - line: /etc/hosts
    text: 192.0.2.7 undone
  - service: cm-lab-daemon
    state: running
    enabled: true
";

/// Kills the agent at some moment, and apt and dpkg with it or not.
fn strike(hosts: &Hosts, repository: &Repository, tone: u64, numbers: &mut Numbers) -> String {
    let mut shell = Shell::on(hosts, HOST);
    let mut run = repository.watch(&format!("apply undone on {HOST} --set tone={tone}"));
    run.until(|event| event["event"] == "connected");
    shell.say(&format!("agent=$(pgrep -x -f '{AGENT}')"));
    let moment = Duration::from_millis(numbers.below(1800));
    thread::sleep(moment);
    let others = ["", " $(pgrep -x apt-get)", " $(pgrep -x dpkg)", " $(pgrep -x apt-get) $(pgrep -x dpkg)"];
    let others = others[numbers.below(4) as usize];
    shell.say(&format!("kill -9 $agent{others} 2>/dev/null"));
    drop(shell);
    let _ = run.finish();
    no_agent(hosts, HOST, Duration::from_secs(30));
    format!("{} ms{others}", moment.as_millis())
}

#[test]
fn a_role_that_came_in_pieces_goes_whole() {
    let Some(hosts) = fragile_hosts() else { return };
    let number = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(default)
    };
    let (rounds, seed) = (number("CM_FAULT_ROUNDS", 3), number("CM_FAULT_SEED", 20));
    let repository = Repository::with_groups(hosts, "  g: { hosts: [agents] }\n");
    repository.role("undone", ROLE);
    // The index of packages and sudo's mark, so that the first round is no other than the rest.
    hosts.sh(HOST, "apt-get update -q > /dev/null");
    let _ = repository.cm("facts on agents").exits(0);
    for round in 0..rounds {
        let mut numbers = Numbers(seed + round);
        let before = look(hosts, HOST);
        let mut kills = Vec::new();
        for tone in 0..=numbers.below(3) {
            kills.push(strike(hosts, &repository, tone, &mut numbers));
        }
        let here =
            format!("CM_FAULT_SEED={} CM_FAULT_ROUNDS=1: killed after {}", seed + round, kills.join(", "));
        measured(&here);
        let _ = repository.cm("apply undone on agents --set tone=z").exits(0);
        let again = repository.cm("apply undone on agents --set tone=z --json").exits(0);
        assert_eq!(cm_tests::differences(&again), [], "{here}");
        let _ = repository.cm("cleanup undone on agents --yes").exits(0);
        assert_eq!(differences(&before, &look(hosts, HOST)), [""; 0], "{here}");
        records_are_whole(&repository);
    }
}
