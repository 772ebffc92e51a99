//! The dead-man switch: a host that locks its controller out comes back by itself.

use std::time::Duration;

use cm_tests::{Repository, eventually, undoing_hosts};

const HOST: &str = "guarded";

#[test]
fn a_role_that_breaks_sshd_is_taken_back_by_the_host_itself() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    let role = |text: &str| {
        format!(
            "tasks:\n  - file: /etc/ssh/sshd_config.d/50-cm.conf\n    content: \"{text}\\n\"\n    restarts: ssh\n    guard: {{ connection: 10s }}\n  - service: ssh\n  - file: /srv/after-the-guard\n    content: x\n    needs: service:ssh\n"
        )
    };
    // Harmless: confirmed over a new connection, and nothing of the guard stays.
    repository.role("sshd", &role("PrintMotd no"));
    let events = repository.cm("apply sshd on guarded --json").exits(0).events();
    assert!(events.iter().any(|event| event["event"] == "confirmed"), "{events:#?}");
    hosts.sh(HOST, "rm /srv/after-the-guard");
    assert_eq!(hosts.sh(HOST, "ls /var/lib/cm/guard; ls /etc/systemd/system | grep cm-guard || true"), "");

    repository.role("sshd", &role("ListenAddress 127.0.0.1"));
    let ran = repository.cm("apply sshd on guarded").exits(3);
    let ran = ran.says(&[
        "could not be reached over a new connection within 10 s",
        "`file:/etc/ssh/sshd_config.d/50-cm.conf` changed",
        "the host can be reached again",
    ]);
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
    assert_eq!(hosts.sh(HOST, "cat /etc/ssh/sshd_config.d/50-cm.conf"), "PrintMotd no\n");
    assert!(hosts.holds(HOST, "systemctl is-active ssh && test -e /srv/after-the-guard"));
    let newest = &repository.cm("history -n 1 --json").exits(0).events()[0];
    assert_eq!(newest["state"], "failed");
    // What the host took back is pending again, and nothing else.
    let _ = repository.cm("plan sshd on guarded").exits(2).says(&["+ListenAddress 127.0.0.1"]);
    repository.role("sshd", &role("PrintMotd no"));
    repository.is_converged("sshd on guarded");

    // A controller that is killed meanwhile confirms nothing.
    repository.role("sshd", &role("PrintMotd yes"));
    let mut watched = repository.watch("apply sshd on guarded");
    let _ = watched.until(|event| event["event"] == "task_started");
    watched.kill();
    drop(watched);
    eventually("the host is as before", Duration::from_secs(40), || {
        hosts.holds(HOST, "grep -qx 'PrintMotd no' /etc/ssh/sshd_config.d/50-cm.conf && [ -z \"$(ls /etc/systemd/system | grep cm-guard)\" ]").then_some(())
    });
    repository.role("sshd", &role("PrintMotd no"));
    repository.is_converged("sshd on guarded");
}
