//! The node's power fails in the middle of a run, and somebody else reboots it.

use std::time::Duration;

use cm_tests::{
    Hosts, Repository,
    faults::{HALTING, chain, go_on, halted, recovers, tells, unchain},
};

use crate::silence::fragile_hosts;

const HOST: &str = "power";

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  g: { hosts: [power] }\n");
    repository.role("halting", HALTING);
    repository.role("chain", &chain("chain"));
    repository
}

#[test]
fn power_fails_and_comes_back_at_once() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    let run = halted(hosts, &repository, HOST, "");
    hosts.lab.kill(HOST).expect("a host of the lab");
    hosts.lab.boot(HOST).expect("a host of the lab");
    let ran = run.finish().exits(4);
    tells(&ran, HOST, &["lost the agent on `power`", "may have gone down", "run the same command again"]);
    assert!(ran.took < Duration::from_secs(70), "{:?}", ran.took);
    // What was reported as done outlives the loss of power.
    assert_eq!(hosts.sh(HOST, "cat /srv/h.first; ls /srv/h.second 2>/dev/null || true"), "first\n");
    go_on(hosts, HOST);
    recovers(hosts, &repository, HOST, "halting on power");
}

#[test]
fn power_fails_at_boundaries_between_tasks_and_stays_off_for_a_while() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    let inventory = repository.inventory(
        hosts,
        "  g: { hosts: [power] }\n",
        "    keepalive: 2s\n    connect_timeout: 2s\n    attempts: 1\n  become: true\n",
    );
    repository.write("inventory.yaml", inventory);
    for boundary in [1, 4, 7] {
        unchain(hosts, HOST, "chain");
        let mut run = repository.watch("apply chain on power");
        run.until(|event| event["event"] == "planned");
        run.after_tasks(boundary);
        hosts.lab.kill(HOST).expect("a host of the lab");
        let ran = run.finish();
        let off = repository.cm("apply chain on power --json");
        hosts.lab.boot(HOST).expect("a host of the lab");
        // The run may just have ended before the power did.
        if ran.code != Some(0) {
            tells(
                &ran.exits(4),
                HOST,
                &["lost the agent on `power`", "may have gone down", "run the same command again"],
            );
        }
        tells(&off.exits(4), HOST, &["could not reach `power`", "did not answer"]);
        let sizes = hosts.sh(HOST, "stat -c %s /srv/chain/big 2>/dev/null || echo none");
        assert!(["none", "300001"].contains(&sizes.trim()), "{sizes}");
        recovers(hosts, &repository, HOST, "chain on power");
    }
}

#[test]
fn somebody_else_reboots_the_host() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    let run = halted(hosts, &repository, HOST, "");
    hosts.lab.reboot(HOST).expect("a host of the lab");
    let ran = run.finish().exits(4);
    tells(&ran, HOST, &["lost the agent on `power`", "run the same command again"]);
    assert_eq!(hosts.sh(HOST, "cat /srv/h.first; ls /srv/h.second 2>/dev/null || true"), "first\n");
    go_on(hosts, HOST);
    recovers(hosts, &repository, HOST, "halting on power");
}
