//! Clocks that are days apart, and a node without memory for the agent.

use std::{fs, process::Stdio};

use cm_tests::{
    Hosts, Repository, cm,
    faults::{chain, records_are_whole, recovers, tells, unchain},
    finish, measured, skipped,
};

use crate::silence::fragile_hosts;

const HOST: &str = "disks";
const FAKETIME: &str = "/usr/bin/faketime";

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  g: { hosts: [disks] }\n");
    repository.role("chain", &chain("chain"));
    repository
}

/// Runs `cm` with a clock that is so far from the node's.
fn at(repository: &Repository, offset: &str, line: &str) -> cm_tests::Ran {
    let real = cm(repository.folder(), &[""; 0]);
    let mut command = std::process::Command::new(FAKETIME);
    command.args(["-f", offset]).arg(real.get_program()).args(line.split_whitespace());
    command.current_dir(repository.folder()).env_clear();
    for (name, value) in real.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // Only what the clock on the wall says is wrong: timers go on as they do on any machine.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// The kernel has one clock for all hosts of a lab: it is the controller's that is put three days off. Neither
/// the node nor the record may take harm when it jumps there and back between runs.
#[test]
fn clocks_are_three_days_apart() {
    let Some(hosts) = fragile_hosts() else { return };
    if !fs::exists(FAKETIME).unwrap_or(false) {
        skipped("clocks apart: there is no faketime here");
        return;
    }
    let repository = repository(hosts);
    for offset in ["+3d", "-3d"] {
        unchain(hosts, HOST, "chain");
        let _ = at(&repository, offset, "apply chain on disks --json").exits(0);
        let again = at(&repository, offset, "apply chain on disks --json").exits(0);
        assert_eq!(cm_tests::differences(&again), []);
        let _ = at(&repository, offset, "verify chain on disks").exits(0);
        // The right time again: for the record it is days earlier, or later.
        recovers(hosts, &repository, HOST, "chain on disks");
        let _ = at(&repository, offset, "history").exits(0);
        // One that dies while its clock is wrong is ended by one whose clock is right.
        let runs = repository.cm("history -n 100 --json").exits(0).events();
        assert!(runs.iter().all(|run| run["id"].is_string() && run["state"] != "running"), "{runs:#?}");
    }
    // The newest run is the one begun last, whatever the clocks said.
    let _ = at(&repository, "-3d", "plan chain on disks").exits(0);
    let last = repository.cm("show last").exits(0);
    assert!(last.said().contains("plan of chain"), "{}", last.said());
    // Files from days to come are files like others.
    hosts.sh(HOST, "touch -d '3 days' /srv/chain/big /etc/chain.conf /var/lib/cm/journal /var/lib/dpkg/status /var/lib/apt/lists");
    recovers(hosts, &repository, HOST, "chain on disks");
    records_are_whole(&repository);
}

#[test]
fn the_node_has_no_memory_for_the_agent() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    repository.role(
        "heavy",
        "tasks:\n  - file: \"/srv/heavy.{{ item }}\"\n    content: \"{{ item * 200000 }}\\n\"\n    each: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z]\n",
    );
    let _ = repository.cm("verify heavy on disks");
    let limit = |kib: &str| {
        hosts.sh(
            HOST,
            &format!("rm -f /srv/heavy.*; echo 'root hard as {kib}' > /etc/security/limits.d/agent.conf"),
        );
    };
    // From hardly enough to start, over ends in the middle, to enough: whatever happens, it is told and mended.
    let (mut died, mut ended_well) = (0, 0);
    for kib in ["4000", "8000", "12000", "24000", "48000", "1000000"] {
        limit(kib);
        let ran = repository.cm("apply heavy on disks --json");
        measured(&format!("{kib} KiB: {:?} after {:?}", ran.code, ran.took));
        match ran.code {
            Some(0) => ended_well += 1,
            Some(4) => {
                died += 1;
                tells(&ran, HOST, &["agent on `disks`", "memory"]);
            }
            // A task of its own that could not be done.
            Some(3) => assert!(ran.said().contains("memory"), "{kib}: {}", ran.said()),
            _ => panic!("{kib}: {}", ran.said()),
        }
        hosts.sh(HOST, "rm -f /etc/security/limits.d/agent.conf");
        assert_eq!(
            hosts.sh(HOST, "stat -c %s /srv/heavy.* 2>/dev/null | grep -vx 200001 || true"),
            "",
            "at {kib} KiB"
        );
        recovers(hosts, &repository, HOST, "heavy on disks");
    }
    assert!(died > 0 && ended_well > 0, "{died} died, {ended_well} ended well: the limits prove nothing");
}
