//! service and unit: states, masks, restarts, daemon-reload, and restarts that are owed.

use std::time::Duration;

use cm_tests::{Hosts, Repository, eventually, hosts};

const UNIT: &str = "[Unit]\\nDescription=test {{ tone }}\\n[Service]\\nExecStart=/bin/sh -c 'echo start {{ tone }} >> /run/NAME.log; trap \\\"echo reload >> /run/NAME.log\\\" HUP; while :; do sleep 0.1; done'\\nExecReload=/bin/kill -HUP $MAINPID\\n[Install]\\nWantedBy=multi-user.target\\n";

fn role(name: &str, rest: &str) -> String {
    let unit = UNIT.replace("NAME", name);
    format!(
        "params:\n  tone: {{ type: string, default: low }}\ntasks:\n  - unit: {name}.service\n    content: \"{unit}\"\n    restarts: {name}\n{rest}"
    )
}

#[test]
fn a_unit_and_its_service_are_started_restarted_reloaded_stopped_and_masked() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "svc",
        &role("svc", "  - service: svc\n    state: running\n    enabled: true\n  - file: /etc/svc.conf\n    content: \"{{ conf }}\"\n    reloads: svc\n")
            .replace("tasks:", "  conf: { type: string, default: a }\ntasks:"),
    );
    repository.converges("svc on releases");
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "systemctl is-active svc; systemctl is-enabled svc; cat /run/svc.log"),
            "active\nenabled\nstart low\n",
            "on {host}"
        );
    }
    // A new unit file: systemd reads it again, the service restarts, once.
    repository.converges("svc on releases --set tone=high");
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "systemctl show -p NeedDaemonReload --value svc; cat /run/svc.log"),
            "no\nstart low\nstart high\n",
            "on {host}"
        );
    }
    // Another file: the service is reloaded and keeps its process.
    let pid = hosts.sh("d12", "systemctl show -p MainPID --value svc");
    repository.converges("svc on releases --set tone=high --set conf=b");
    assert_eq!(hosts.sh("d12", "systemctl show -p MainPID --value svc"), pid);
    for host in Hosts::RELEASES {
        eventually("the reload", Duration::from_secs(5), || {
            (hosts.sh(host, "cat /run/svc.log") == "start low\nstart high\nreload\n").then_some(())
        });
        hosts.sh(host, "systemctl stop svc; systemctl -q disable svc");
    }
    let found = repository.mends("svc on releases --set tone=high --set conf=b");
    assert_eq!(found.len(), 3, "{found:#?}");
    repository
        .role("off", "tasks:\n  - service: svc\n    state: stopped\n    enabled: false\n    masked: true\n");
    // A unit file of its own cannot be masked in its place: that is told, not done by force.
    let ran = repository.cm("apply off on d12");
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.said());
    repository.role("stop", "tasks:\n  - service: svc\n    state: stopped\n    enabled: false\n");
    let _ = repository.cm("run 'rm' on d12");
    hosts.sh("d12", "systemctl -q unmask svc || true");
    repository.converges("stop on d11,d13");
    for host in ["d11", "d13"] {
        assert_eq!(
            hosts.sh(host, "systemctl is-active svc || true; systemctl is-enabled svc || true"),
            "inactive\ndisabled\n",
            "on {host}"
        );
    }
}

#[test]
fn a_service_of_a_package_is_masked_and_unmasked() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("there", "tasks:\n  - package: cm-lab-daemon\n  - service: cm-lab-daemon\n    state: running\n    enabled: true\n");
    repository.role("masked", "tasks:\n  - service: cm-lab-daemon\n    state: stopped\n    masked: true\n");
    repository
        .role("unmasked", "tasks:\n  - service: cm-lab-daemon\n    state: running\n    masked: false\n");
    repository.role("gone", "tasks:\n  - package: [cm-lab-daemon, cm-lab-lib]\n    state: purged\n");
    for host in Hosts::RELEASES {
        hosts.sh(host, "dpkg -P cm-lab-daemon cm-lab-lib 2>/dev/null");
    }
    repository.converges("there on releases");
    repository.converges("masked on releases");
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(
                host,
                "systemctl is-active cm-lab-daemon || true; systemctl is-enabled cm-lab-daemon || true"
            ),
            "inactive\nmasked\n",
            "on {host}"
        );
    }
    repository.converges("unmasked on releases");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, "systemctl is-active cm-lab-daemon"), "active\n", "on {host}");
    }
    repository.converges("gone on releases");
}

#[test]
fn a_drop_in_of_a_unit_is_read_by_systemd() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "dropin",
        "tasks:\n  - unit: ssh.service.d/nice.conf\n    content: \"[Service]\\nNice={{ nice }}\\n\"\n  - service: ssh\n    state: running\nparams:\n  nice: { type: int, default: 3 }\n",
    );
    repository.converges("dropin on releases");
    repository.converges("dropin on releases --set nice=4");
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "systemctl show -p Nice -p NeedDaemonReload ssh | sort"),
            "NeedDaemonReload=no\nNice=4\n",
            "on {host}"
        );
    }
    repository.role("dropin", "tasks:\n  - unit: ssh.service.d/nice.conf\n    state: absent\n");
    repository.converges("dropin on releases");
    assert_eq!(hosts.sh("d11", "systemctl show -p Nice ssh"), "Nice=0\n");
}

#[test]
fn a_service_that_does_not_start_fails_with_its_last_words() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "bad",
        "tasks:\n  - unit: bad.service\n    content: \"[Service]\\nExecStart=/bin/sh -c 'echo no such luck >&2; exit 7'\\n\"\n  - service: bad\n    state: running\n",
    );
    repository.cm("apply bad on e12").exits(3).says(&["`service:bad` failed on `e12`", "no such luck"]);
}

#[test]
fn a_restart_is_owed_until_it_is_done() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    // Between the file and the restart stands a command that kills the run's agent, once.
    let rest = "  - service: owed\n    state: running\n    needs: command:the-cut\n  - command: the-cut\n    argv: [/bin/sh, -c, 'test -e /run/owed.uncut || exit 0; rm /run/owed.uncut; kill -9 $PPID; sleep 5']\n    changed_when: false\n    needs: unit:owed.service\n";
    repository.role("owed", &role("owed", rest));
    let _ = repository.cm("apply owed on e12").exits(0);
    assert_eq!(hosts.sh("e12", "cat /run/owed.log"), "start low\n");
    hosts.sh("e12", "touch /run/owed.uncut");
    let _ = repository
        .cm("apply owed on e12 --set tone=high")
        .exits(4)
        .says(&["in the middle of the run", "run the same command again"]);
    assert_eq!(
        hosts.sh("e12", "grep -o 'test high' /etc/systemd/system/owed.service; cat /run/owed.log"),
        "test high\nstart low\n"
    );
    let _ = repository.cm("plan owed on e12 --set tone=high").exits(2).says(&["service:owed"]);
    let _ = repository.cm("apply owed on e12 --set tone=high").exits(0).says(&["service:owed"]);
    assert_eq!(hosts.sh("e12", "cat /run/owed.log"), "start low\nstart high\n");
    repository.is_converged("owed on e12 --set tone=high");
}
