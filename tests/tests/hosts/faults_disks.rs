//! File systems that are full or read-only: the agent's own and those of what it changes.

use cm_tests::{
    Hosts, Ran, Repository,
    faults::{left_over, recovers, tells},
};

use crate::silence::fragile_hosts;

const HOST: &str = "disks";

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  g: { hosts: [disks] }\n");
    // So many that the journal needs more than the rest of its last block.
    let each: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
    let role = "params:\n  word: { type: string, default: a }\ntasks:\n  - directory: /srv/many\n  - file: \"/srv/many/{{ item }}\"\n    content: \"{{ word }}\\n\"\n    each: [{each}]\n  - file: /srv/many/large\n    content: \"{{ word * 3000000 }}\\n\"\n  - line: /etc/many.conf\n    text: \"word = {{ word }}\"\n    match: ^word\n    create: true\n";
    repository.role("many", &role.replace("{each}", &each.join(", ")));
    repository
}

/// The host as it was before all of these tests, whatever one that failed has left.
fn fresh(hosts: &Hosts) {
    hosts.sh(
        HOST,
        "for f in /srv/many /var/lib/cm /var /run/small; do umount -l $f 2>/dev/null; done; mount -o remount,bind,rw /; rm -rf /srv/many /etc/many.conf",
    );
}

/// What failed, one line each, with its hint.
fn failures(ran: &Ran) -> Vec<String> {
    let failed = ran.tasks().into_iter().filter(|task| task["outcome"] == "failed");
    failed.map(|task| format!("{} {} {}", task["task"], task["error"], task["hint"])).collect()
}

/// No file of the role is there in part, and no temporary one at all.
fn nothing_is_half_made(hosts: &Hosts) {
    assert_eq!(
        hosts.sh(HOST, "cd /srv/many 2>/dev/null || exit 0; for f in *; do stat -c %s \"$f\"; done | sort -n | uniq | grep -v -e '^2$' -e '^3000001$' || true"),
        ""
    );
    assert_eq!(left_over(hosts, HOST), "");
}

/// Puts a small file system in the place of a folder, with what is in it, and so many free KiB.
fn shrink(hosts: &Hosts, folder: &str, free: u32) {
    hosts.sh(
        HOST,
        &format!(
            "set -e; mkdir -p {folder} /run/small; mount -t tmpfs -o mode=0755 tmpfs /run/small; cp -a {folder}/. /run/small/; \
             used=$(df -k --output=used /run/small | tail -1); mount -o remount,size=$(( used + {free} ))k /run/small; \
             mount --move /run/small {folder} 2>/dev/null || {{ mount --bind /run/small {folder}; umount /run/small; }}"
        ),
    );
}

#[test]
fn the_file_system_of_a_target_is_full() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    fresh(hosts);
    shrink(hosts, "/srv/many", 1000);
    let ran = repository.cm("apply many on disks --json").exits(3);
    let failed = failures(&ran);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(
        failed[0].contains("/srv/many/large")
            && failed[0].contains("no space left")
            && failed[0].contains("df"),
        "{failed:#?}"
    );
    nothing_is_half_made(hosts);
    // The small ones are there: one that does not fit hinders only itself.
    assert_eq!(hosts.sh(HOST, "cat /srv/many/[1-9]* | sort -u; cat /etc/many.conf"), "a\nword = a\n");
    // An old file stays whole where the new one does not fit beside it.
    hosts.sh(HOST, "mount -o remount,size=4m /srv/many");
    recovers(hosts, &repository, HOST, "many on disks");
    let ran = repository.cm("apply many on disks --set word=b --json").exits(3);
    assert_eq!(failures(&ran).len(), 1, "{}", ran.said());
    assert_eq!(hosts.sh(HOST, "head -c 1 /srv/many/large; stat -c %s /srv/many/large"), "a3000001\n");
    hosts.sh(HOST, "mount -o remount,size=20m /srv/many");
    recovers(hosts, &repository, HOST, "many on disks --set word=b");
    hosts.sh(HOST, "umount /srv/many; rm -rf /srv/many");
}

#[test]
fn var_is_full() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    fresh(hosts);
    repository.role("small", "tasks:\n  - file: /srv/small\n    content: x\n");
    let _ = repository.cm("apply small on disks").exits(0);
    shrink(hosts, "/var", 8000);
    hosts.sh(HOST, "dd if=/dev/zero of=/var/filler bs=1k 2>/dev/null; truncate -s 0 /var/lib/cm/none; true");
    let ran = repository.cm("apply many on disks --json");
    // Nothing can be changed that cannot be written down: that is told once, not by every task.
    let failed = failures(&ran.exits(3));
    assert!(
        failed.iter().all(|failed| failed.contains("No space left on device") && failed.contains("df -h")),
        "{failed:#?}"
    );
    assert_eq!(
        failed.iter().filter(|failed| failed.contains("journal cannot be written")).count(),
        1,
        "{failed:#?}"
    );
    assert!(failed.len() <= 2, "{failed:#?}");
    nothing_is_half_made(hosts);
    // Plans and verifies need no room.
    let _ = repository.cm("plan many on disks").exits(2);
    let _ = repository.cm("verify many on disks").exits(2);
    hosts.sh(HOST, "rm /var/filler");
    recovers(hosts, &repository, HOST, "many on disks");
    hosts.sh(HOST, "umount -l /var");
}

#[test]
fn there_is_no_room_for_the_agent() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    fresh(hosts);
    hosts.sh(HOST, "rm -rf /var/lib/cm; mkdir -m 700 /var/lib/cm");
    shrink(hosts, "/var/lib/cm", 200);
    let ran = repository.cm("apply many on disks --json").exits(4);
    tells(
        &ran,
        HOST,
        &[
            "could not start the agent on `disks`",
            "could not be written to /var/lib/cm/agent",
            "No space left",
            "df -h",
        ],
    );
    assert!(!hosts.holds(HOST, "test -e /srv/many"));
    assert_eq!(left_over(hosts, HOST), "");
    hosts.sh(HOST, "mount -o remount,size=40m /var/lib/cm");
    recovers(hosts, &repository, HOST, "many on disks");
    hosts.sh(HOST, "umount -l /var/lib/cm");
}

#[test]
fn the_root_file_system_is_read_only() {
    let Some(hosts) = fragile_hosts() else { return };
    let repository = repository(hosts);
    fresh(hosts);
    // Without the agent there: it cannot be put there.
    hosts.sh(HOST, "rm -rf /var/lib/cm; mount -o remount,bind,ro /");
    let ran = repository.cm("apply many on disks --json");
    hosts.sh(HOST, "mount -o remount,bind,rw /");
    tells(
        &ran.exits(4),
        HOST,
        &["could not start the agent on `disks`", "Read-only file system", "writable"],
    );
    recovers(hosts, &repository, HOST, "many on disks");
    // With it: it looks, and says once that nothing can be changed.
    hosts.sh(HOST, "mount -o remount,bind,ro /");
    let ran = repository.cm("apply many on disks --set word=b --json");
    let planned = repository.cm("plan many on disks --set word=b --json");
    let verified = repository.cm("verify many on disks --json");
    hosts.sh(HOST, "mount -o remount,bind,rw /");
    tells(
        &ran.exits(3),
        HOST,
        &["nothing was changed on `disks`", "/var/lib/cm", "Read-only file system", "writable"],
    );
    let _ = planned.exits(2);
    let _ = verified.exits(0);
    assert_eq!(hosts.sh(HOST, "cat /srv/many/[1-9]* | sort -u"), "a\n");
    recovers(hosts, &repository, HOST, "many on disks --set word=b");
    // Only what is to be changed is read-only.
    hosts.sh(HOST, "mount --bind /srv/many /srv/many; mount -o remount,bind,ro /srv/many");
    let ran = repository.cm("apply many on disks --json");
    hosts.sh(HOST, "umount /srv/many");
    let failed = failures(&ran.exits(3));
    assert_eq!(failed.len(), 41, "{failed:#?}");
    assert!(
        failed.iter().all(|failed| failed.contains("read-only file system") && failed.contains("mount")),
        "{failed:#?}"
    );
    assert_eq!(left_over(hosts, HOST), "");
    recovers(hosts, &repository, HOST, "many on disks");
}
