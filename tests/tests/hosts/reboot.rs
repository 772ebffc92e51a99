//! `reboot`: the run goes on where it stood, in a new boot.

use cm_tests::{Repository, undoing_hosts};

#[test]
fn a_run_goes_on_after_the_restart_of_its_host() {
    let Some(hosts) = undoing_hosts() else { return };
    let repository = Repository::with_groups(
        hosts,
        "  undoing: { hosts: [undone, pruned, cleaned, forgot, guarded, boots] }\n",
    );
    repository.role(
        "boot",
        "tasks:\n  - file: /srv/boot/before\n    content: \"x\\n\"\n    restarts: \"reboot:new kernel\"\n  - directory: /srv/boot\n  - reboot: new kernel\n    policy: asked\n    timeout: 120\n  - command: cat /proc/sys/kernel/random/boot_id >/srv/boot/id\n    creates: /srv/boot/id\n  - file: /srv/boot/after\n    content: \"x\\n\"\n    needs: \"reboot:new kernel\"\n",
    );
    let boot = || hosts.sh("boots", "cat /proc/sys/kernel/random/boot_id");
    let before = boot();
    let planned = repository.cm("plan boot on boots").exits(2);
    let _ =
        planned.says(&["reboot:new kernel would change", "restart, because file:/srv/boot/before changed"]);
    assert_eq!(boot(), before);
    let ran = repository.cm("apply boot on boots --json").exits(0);
    let events = ran.events();
    let index = |name: &str| events.iter().position(|event| event["event"] == name);
    assert!(index("restarting") < index("back") && index("restarting").is_some(), "{events:#?}");
    let tasks: Vec<String> = ran
        .tasks()
        .iter()
        .map(|task| {
            format!(
                "{} {}",
                task["task"].as_str().unwrap_or_default(),
                task["outcome"].as_str().unwrap_or_default()
            )
        })
        .collect();
    // Each has ended once, before the restart or after it.
    assert_eq!(tasks.len(), 5, "{tasks:#?}");
    assert!(tasks.iter().all(|task| task.ends_with(" changed")), "{tasks:#?}");
    let after = boot();
    assert_ne!(before, after);
    assert_eq!(hosts.sh("boots", "cat /srv/boot/id"), after, "what comes after it was done in the new boot");
    let host = events.iter().find(|event| event["event"] == "host").cloned().unwrap_or_default();
    assert_eq!(host["state"], "changed");
    let run = repository.cm("show last --json").exits(0).events().remove(0);
    assert_eq!(run["tasks"]["changed"], 5, "{run:#}");
    repository.is_converged("boot on boots");
    assert_eq!(boot(), after, "nothing asks for another restart");
}
