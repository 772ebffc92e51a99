//! Nodes on which the agent cannot be put or cannot run.

use cm_tests::{Hosts, Ran, Repository, hosts};

/// Applies a file to `e12` in the state that `before` brings, and takes that back with `after`.
#[track_caller]
fn fails(hosts: &Hosts, before: &str, after: &str) -> Ran {
    let repository = Repository::over(hosts);
    repository.role("r", "tasks:\n  - file: /srv/never-made\n    content: x\n");
    hosts.sh("e12", before);
    let ran = repository.cm("apply r on e12");
    hosts.sh("e12", after);
    assert!(!hosts.holds("e12", "test -e /srv/never-made"));
    // And it goes on as if nothing had been.
    let again = repository.cm("plan r on e12");
    assert_eq!(again.code, Some(2), "{}", again.said());
    ran
}

const AWAY: &str = "test ! -e /var/lib/cm || mv /var/lib/cm /var/lib/cm.away; mkdir -p /var/lib/cm; ";
const BACK: &str =
    "umount /var/lib/cm; rmdir /var/lib/cm; test ! -e /var/lib/cm.away || mv /var/lib/cm.away /var/lib/cm";

#[test]
fn a_read_only_place() {
    let Some(hosts) = hosts() else { return };
    let mount = format!("{AWAY} mount -t tmpfs -o ro none /var/lib/cm");
    let _ = fails(hosts, &mount, BACK).exits(4).says(&[
        "could not be written to /var/lib/cm/agent",
        "Read-only file system",
        "hint: ",
    ]);
}

#[test]
fn a_full_disk() {
    let Some(hosts) = hosts() else { return };
    let mount = format!("{AWAY} mount -t tmpfs -o size=64k none /var/lib/cm");
    let _ = fails(hosts, &mount, BACK).exits(4).says(&[
        "could not be written to /var/lib/cm/agent",
        "No space left",
        "hint: ",
    ]);
    // Room for the agent, and none for what it has to remember.
    let repository = Repository::over(hosts);
    repository.role("r", "tasks:\n  - file: /srv/not-remembered\n    content: x\n");
    hosts.sh("e12", &format!("{AWAY} mount -t tmpfs -o size=20m none /var/lib/cm"));
    let _ = repository.cm("facts on e12").exits(0);
    hosts.sh("e12", "dd if=/dev/zero of=/var/lib/cm/fill bs=64k 2>/dev/null || true");
    let ran = repository.cm("apply r on e12");
    hosts.sh("e12", BACK);
    let ran = ran.says(&["/var/lib/cm"]);
    assert!(matches!(ran.code, Some(3 | 4)), "{}", ran.said());
    assert!(
        !hosts.holds("e12", "test -e /srv/not-remembered"),
        "what cannot be remembered is not changed: {}",
        ran.said()
    );
}

#[test]
fn a_place_mounted_noexec() {
    let Some(hosts) = hosts() else { return };
    let mount = format!("{AWAY} mount -t tmpfs -o noexec none /var/lib/cm");
    let _ = fails(hosts, &mount, BACK).exits(4).says(&["cannot be started in /var/lib/cm/agent", "noexec"]);
    // One that was there before.
    let repository = Repository::over(hosts);
    let _ = repository.cm("facts on e12").exits(0);
    let mount = "mount --bind /var/lib/cm /var/lib/cm && mount -o remount,bind,noexec /var/lib/cm";
    let _ = fails(hosts, mount, "umount /var/lib/cm")
        .exits(4)
        .says(&["cannot be started in /var/lib/cm/agent", "noexec"]);
}

#[test]
fn another_architecture() {
    let Some(hosts) = hosts() else { return };
    let before = format!(
        "{AWAY} mount -t tmpfs none /var/lib/cm; printf '#!/bin/sh\\necho riscv64\\n' > /usr/local/bin/uname; chmod +x /usr/local/bin/uname"
    );
    let after = format!("rm /usr/local/bin/uname; {BACK}");
    let _ = fails(hosts, &before, &after).exits(4).says(&[
        "architecture riscv64",
        "agents/riscv64/cm-agent",
        "cargo build",
    ]);
}

#[test]
fn an_agent_for_another_architecture_is_taken_from_the_repository() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("r", "tasks:\n  - file: /srv/by-the-other-agent\n    content: x\n");
    let _ = repository.cm("facts on e12").exits(0);
    let program = hosts
        .lab
        .exec("e12", &["sh", "-c", "cat /var/lib/cm/agent/cm-agent-*"])
        .expect("a running host")
        .stdout;
    repository.write("agents/riscv64/cm-agent", program);
    hosts.sh(
        "e12",
        &format!("{AWAY} mount -t tmpfs none /var/lib/cm; printf '#!/bin/sh\\necho riscv64\\n' > /usr/local/bin/uname; chmod +x /usr/local/bin/uname"),
    );
    let ran = repository.cm("apply r on e12");
    hosts.sh("e12", &format!("rm /usr/local/bin/uname; {BACK}"));
    let _ = ran.exits(0).says(&["sent the agent"]);
    // A file that is no agent is sent, too, and what becomes of it is told.
    repository.write("agents/riscv64/cm-agent", "not a program\n");
    hosts.sh(
        "e12",
        &format!("{AWAY} mount -t tmpfs none /var/lib/cm; printf '#!/bin/sh\\necho riscv64\\n' > /usr/local/bin/uname; chmod +x /usr/local/bin/uname"),
    );
    let ran = repository.cm("apply r on e12");
    hosts.sh("e12", &format!("rm /usr/local/bin/uname; {BACK}"));
    let _ = ran.exits(4).says(&["agent", "`e12`"]);
}
