//! Faults inside a transaction of the package manager: everything killed while dpkg works, and locks held by others.

use std::time::Duration;

use cm_tests::{
    Hosts, Repository, eventually,
    faults::{AGENT, no_agent, recovers, tells},
};

use crate::silence::fragile_hosts;

const HOST: &str = "packs";

/// A local source of two packages: `slowpack`, whose script after unpacking lasts until `/run/slowpack.go` is
/// there, and `aftpack`, which depends on it.
fn package_source(hosts: &Hosts) {
    let script = r#"
set -e
[ -e /srv/source/Packages ] && exit 0
mkdir -p /srv/source
pack() {
    rm -rf /srv/build; mkdir -p /srv/build/DEBIAN /srv/build/usr/share/$1
    printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: test\n%s' "$1" "$2" > /srv/build/DEBIAN/control
    echo data > /srv/build/usr/share/$1/data
    [ -z "$3" ] || { printf '#!/bin/sh\n%s\n' "$3" > /srv/build/DEBIAN/postinst; chmod 755 /srv/build/DEBIAN/postinst; }
    dpkg-deb --root-owner-group -b /srv/build /srv/source/$1_1.0_all.deb > /dev/null
}
pack slowpack '' 'echo $$ > /run/slowpack.here; while [ ! -e /run/slowpack.go ]; do sleep 0.05; done'
pack aftpack 'Depends: slowpack
' ''
cd /srv/source
for deb in *.deb; do
    dpkg-deb -f $deb
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $deb $(stat -c %s $deb) $(sha256sum $deb | cut -d' ' -f1)
done > Packages
echo 'deb [trusted=yes] file:/srv/source ./' > /etc/apt/sources.list.d/local-test.list
apt-get update -q -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/local-test.list -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
"#;
    hosts.sh(HOST, script);
}

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  g: { hosts: [packs] }\n");
    repository.role(
        "packs",
        "tasks:\n  - file: /etc/packs-before\n    content: x\n  - package: [slowpack, aftpack]\n  - file: /usr/share/aftpack/mine\n    content: \"mine\\n\"\n",
    );
    repository
}

/// Kills the agent and all of apt and dpkg, the package's script included, as a crash would.
const KILL_ALL: &str = "kill -9 $(pgrep -x -f '.*/cm-agent-[^ ]* session') $(pgrep -x apt-get) $(pgrep -x dpkg) $(cat /run/slowpack.here)";

#[test]
fn everything_is_killed_while_dpkg_configures_a_package() {
    let Some(hosts) = fragile_hosts() else { return };
    package_source(hosts);
    let repository = repository(hosts);
    for _ in 0..2 {
        hosts.sh(
            HOST,
            "dpkg --purge aftpack slowpack >/dev/null 2>&1; rm -rf /usr/share/aftpack /run/slowpack.*",
        );
        let run = repository.watch("apply packs on packs");
        eventually("the package's script", Duration::from_secs(60), || {
            hosts.holds(HOST, "test -s /run/slowpack.here").then_some(())
        });
        hosts.sh(HOST, KILL_ALL);
        let ran = run.finish().exits(4);
        tells(
            &ran,
            HOST,
            &["lost the agent on `packs`", "in the middle of the run", "run the same command again"],
        );
        // dpkg was interrupted indeed, or this test proves nothing.
        assert!(hosts.sh(HOST, "dpkg --audit").contains("slowpack"));
        hosts.sh(HOST, "touch /run/slowpack.go");
        no_agent(hosts, HOST, Duration::from_secs(10));
        let next = recovers(hosts, &repository, HOST, "packs on packs");
        let notes: String =
            next.events().iter().filter(|event| event["event"] == "note").map(ToString::to_string).collect();
        assert!(notes.contains("dpkg --configure -a"), "{}", next.said());
        assert_eq!(
            hosts.sh(HOST, "dpkg --audit; dpkg-query -W -f '${Status}\\n' slowpack aftpack | sort -u"),
            "install ok installed\n"
        );
        assert_eq!(hosts.sh(HOST, "cat /usr/share/aftpack/mine"), "mine\n");
    }
}

/// dpkg as it is when it was stopped while it unpacked what an unpacked package needs, or before.
fn unpacked_alone(hosts: &Hosts, library: &str) {
    hosts.sh(
        HOST,
        &format!(
            "set -e; apt-get update -q >/dev/null; dpkg --purge cm-lab-daemon cm-lab-lib >/dev/null 2>&1; \
             cd \"$(mktemp -d)\"; apt-get download -q cm-lab-daemon cm-lab-lib >/dev/null 2>&1; \
             dpkg --unpack cm-lab-daemon_*.deb cm-lab-lib_*.deb >/dev/null; apt-mark auto cm-lab-lib >/dev/null; \
             {library}; dpkg --audit | grep -q cm-lab-daemon"
        ),
    );
}

#[test]
fn what_dpkg_left_half_unpacked_is_installed_again_before_anything_else() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    repository.role("daemon", "tasks:\n  - package: cm-lab-daemon\n");
    let of_library = |edit: &str| format!("sed -i '/^Package: cm-lab-lib$/,/^$/{edit}' /var/lib/dpkg/status");
    for (library, told) in [
        (of_library("s/^Status: .*/Status: install reinstreq half-installed/"), "installed again first"),
        (
            format!(
                "{}; sed -i '/^Package: cm-lab-lib$/,/^$/d' /var/lib/apt/extended_states",
                of_library("d")
            ),
            "--fix-broken",
        ),
    ] {
        unpacked_alone(hosts, &library);
        // Neither of what one would type helps, or this test proves nothing.
        hosts.sh(
            HOST,
            "! dpkg --configure -a >/dev/null 2>&1 && ! apt-get install -y cm-lab-daemon >/dev/null 2>&1",
        );
        let next = recovers(hosts, &repository, HOST, "daemon on packs");
        let notes: String =
            next.events().iter().filter(|event| event["event"] == "note").map(ToString::to_string).collect();
        assert!(notes.contains(told), "{}", next.said());
        assert_eq!(
            hosts.sh(HOST, "dpkg --audit; dpkg-query -W -f '${Status}\n' cm-lab-daemon cm-lab-lib | sort -u"),
            "install ok installed\n"
        );
        assert_eq!(hosts.sh(HOST, "apt-mark showauto cm-lab-lib"), "cm-lab-lib\n", "{told}");
    }
    hosts.sh(HOST, "apt-get purge -y cm-lab-daemon cm-lab-lib >/dev/null");
}

#[test]
fn only_the_agent_is_killed_and_apt_goes_on_without_it() {
    let Some(hosts) = fragile_hosts() else { return };
    package_source(hosts);
    let repository = repository(hosts);
    hosts
        .sh(HOST, "dpkg --purge aftpack slowpack >/dev/null 2>&1; rm -rf /usr/share/aftpack /run/slowpack.*");
    let run = repository.watch("apply packs on packs");
    eventually("the package's script", Duration::from_secs(60), || {
        hosts.holds(HOST, "test -s /run/slowpack.here").then_some(())
    });
    hosts.sh(HOST, &format!("pkill -9 -x -f '{AGENT}'"));
    let _ = run.finish().exits(4);
    // apt still works, or has been taken along; either way the next run comes to the end, and waits where it must.
    let next = repository.watch("apply packs on packs");
    hosts.sh(HOST, "touch /run/slowpack.go");
    let _ = next.finish().exits(0);
    recovers(hosts, &repository, HOST, "packs on packs");
    assert_eq!(
        hosts.sh(HOST, "dpkg --audit; dpkg-query -W -f '${Status}\\n' slowpack aftpack | sort -u"),
        "install ok installed\n"
    );
}

#[test]
fn unattended_upgrades_hold_the_lock() {
    let Some(hosts) = fragile_hosts() else { return };
    package_source(hosts);
    let repository = repository(hosts);
    repository.role("quick", "tasks:\n  - package: [slowpack, aftpack]\n    timeout: 4s\n");
    hosts.sh(
        HOST,
        "dpkg --purge aftpack slowpack >/dev/null 2>&1; rm -rf /usr/share/aftpack; touch /run/slowpack.go",
    );
    // A process of that name which holds the lock as dpkg's own front ends do, by fcntl(2).
    let holder = "cp \"$(command -v perl)\" /usr/local/bin/unattended-upgr; cat > /run/hold.pl <<'P'\nuse Fcntl qw(:flock SEEK_SET F_SETLK F_WRLCK);\nopen(my $f, '+<', '/var/lib/dpkg/lock-frontend') or die;\nmy $lock = pack('s s l! l! i x4', F_WRLCK, SEEK_SET, 0, 0, 0);\nfcntl($f, F_SETLK, $lock) or die \"$!\";\nopen(my $h, '>', '/run/hold.here'); close $h;\nselect(undef, undef, undef, 0.05) while ! -e '/run/hold.go';\nP\nrm -f /run/hold.here /run/hold.go; setsid /usr/local/bin/unattended-upgr /run/hold.pl >/run/hold.log 2>&1 </dev/null &";
    hosts.sh(HOST, holder);
    eventually("the lock", Duration::from_secs(20), || {
        hosts.holds(HOST, "test -e /run/hold.here").then_some(())
    });
    let ran = repository.cm("apply quick on packs").exits(3);
    let ran = ran.says(&[
        "task `package:slowpack` failed on `packs`",
        "`unattended-upgr` (pid ",
        "holds the lock /var/lib/dpkg/lock-frontend and did not end in time",
        "do not delete the lock",
    ]);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    assert!(!hosts.holds(HOST, "dpkg-query -W slowpack"));
    // One that waits long enough says whom it waits for, and goes on.
    let mut run = repository.watch("apply packs on packs");
    let told = run.until(|event| event["event"] == "output");
    assert!(
        told["text"].as_str().is_some_and(|text| text.contains("waiting for `unattended-upgr` (pid ")),
        "{told}"
    );
    hosts.sh(HOST, "touch /run/hold.go");
    let _ = run.finish().exits(0);
    recovers(hosts, &repository, HOST, "packs on packs");
}
