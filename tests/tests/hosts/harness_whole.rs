//! A whole host before a role and after its cleanup: nothing is left but what docs/node.md names. The same for
//! a rollback of one run.

use std::collections::BTreeMap;

use cm_tests::{Hosts, Repository, quiet_hosts};

const HOST: &str = "whole";

/// What `docs/node.md` says may differ after all was taken back: paths below these, and these themselves.
const LEFT: &[&str] = &[
    // What programs write by themselves.
    "/var/log",
    "/var/cache",
    "/var/tmp",
    "/var/lib/systemd",
    "/root/.cache",
    // The package manager's book-keeping and its index.
    "/var/lib/apt",
    "/var/lib/dpkg",
    // Former versions that useradd(8) and its like keep.
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
    "/etc/.pwd.lock",
    // Made anew from what is there.
    "/etc/ld.so.cache",
    // The agent and its journal, which history needs.
    "/var/lib/cm",
];

/// Prints all that is compared: `KIND NAME STATE` in records that end with NUL.
const LOOK: &str = r##"
find / -xdev \( -type f -printf 'path %p file %m %U:%G %s\0' -o -type l -printf 'path %p link %U:%G %l\0' -o -printf 'path %p %y %m %U:%G\0' \)
find / -xdev -type f -size -2000k -print0 | xargs -0 -r sha256sum -z | while IFS= read -r -d '' line; do printf 'content %s %s\0' "${line#*  }" "${line%% *}"; done
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' | while read -r name state; do printf 'package %s %s\0' "$name" "$state"; done
apt-mark showmanual | while read -r name; do printf 'manual %s yes\0' "$name"; done
getent passwd | while IFS=: read -r name rest; do printf 'user %s %s\0' "$name" "$rest"; done
getent group | while IFS=: read -r name rest; do printf 'group %s %s\0' "$name" "$rest"; done
systemctl list-unit-files --no-legend --plain | while read -r name state rest; do printf 'enabled %s %s\0' "$name" "$state"; done
systemctl list-units --all --no-legend --plain --type service,socket,timer,mount,swap,path | while read -r name load active rest; do printf 'active %s %s\0' "$name" "$active"; done
findmnt -rno TARGET,SOURCE,FSTYPE,OPTIONS | while read -r target rest; do printf 'mount %s %s\0' "$target" "$rest"; done
cat /proc/swaps | while read -r name rest; do printf 'swap %s -\0' "$name"; done
printf 'value hostname %s\0value forward %s\0value timezone %s\0' "$(hostname)" "$(cat /proc/sys/net/ipv4/ip_forward)" "$(date +%Z)"
"##;

type Look = BTreeMap<String, String>;

fn look(hosts: &Hosts) -> Look {
    let output = hosts.lab.exec(HOST, &["bash", "-c", LOOK]).expect("a running host");
    let records = output.stdout.split(|&byte| byte == 0).filter(|record| !record.is_empty());
    let mut found = Look::new();
    for record in records {
        let record = record.escape_ascii().to_string();
        let mut words = record.splitn(3, ' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        found.insert(format!("{kind} {name}"), words.next().unwrap_or_default().to_owned());
    }
    assert!(found.len() > 5000, "a host has more than {} things", found.len());
    found
}

/// What differs and is not stated, as lines for a person.
fn differences(before: &Look, after: &Look) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let show = |state: Option<&String>| state.map_or("nothing", String::as_str).to_owned();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name) && !is_left(name) && !is_restless(name))
        .map(|name| format!("{name}: {} -> {}", show(before.get(name)), show(after.get(name))))
        .collect()
}

fn is_left(name: &str) -> bool {
    let Some(path) = name.strip_prefix("path ").or_else(|| name.strip_prefix("content ")) else {
        return false;
    };
    LEFT.iter()
        .any(|left| path.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Units that come and go by themselves, and connections of the test itself.
fn is_restless(name: &str) -> bool {
    let Some(unit) = name.strip_prefix("active ") else { return false };
    [
        "user@",
        "user-runtime-dir@",
        "ssh@",
        "run-user-",
        "session-",
        "systemd-",
        "cm-guard",
        "run-",
        "apt-daily",
        "dpkg-db",
        "fstrim",
        "e2scrub",
        "logrotate",
        "man-db",
        "container-getty@",
        "console-getty",
    ]
    .iter()
    .any(|start| unit.starts_with(start))
}

/// What was there before: files that the role edits, and a service of the administrator's.
const BEFORE: &str = r##"
set -e
printf 'first = 1\n# old comment\nsecond = 2\nunended' > /etc/whole.conf; chmod 640 /etc/whole.conf; chown daemon:adm /etc/whole.conf
printf '[main]\nkey = old\n[other]\nx = y\n' > /etc/whole.ini
printf 'was here\n' > /etc/whole.old; chmod 4755 /etc/whole.old
ln -sfT /etc/whole.old /etc/whole.link; chown -h daemon /etc/whole.link
mkdir -p /srv/whole-there; chmod 2750 /srv/whole-there; chown daemon:adm /srv/whole-there
printf 'mine\n' > /srv/whole-there/mine
"##;

const ROLE: &str = r##"
params:
  word: { type: string, default: one }
tasks:
  - package: cm-lab-daemon
  - group: whole-team
  - user: whole-app
    group: whole-team
    groups: [adm]
    comment: the whole role
  - user: whole-sys
    system: true
  - authorized_key: whole-app
    key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3p3mJtX0GIVcaSVC1f2yqm0gGXxU2HkUXZkHgqTg5r anna@desk"
  - directory: /srv/whole/deep/er
    owner: whole-app
    mode: "2770"
  - directory: /srv/whole-there
    mode: "0700"
    owner: whole-app
  - file: /srv/whole/deep/er/a "name" with 'quotes'
    content: "{{ word }}\n"
    owner: whole-app
  - file: /srv/whole/page.html
    template: page.html.j2
  - tree: /srv/whole/site
    source: site
  - file: /etc/whole.old
    state: absent
  - link: /etc/whole.link
    target: whole.conf
  - line: /etc/whole.conf
    text: second = {{ word }}
    match: "^second"
  - block: /etc/whole.conf
    text: "managed = {{ word }}\nmore = yes\n"
  - replace: /etc/whole.conf
    match: "old (comment)"
    text: "new $1"
  - ini: /etc/whole.ini
    section: main
    option: key
    value: "{{ word }}"
  - line: /etc/login.defs
    text: "# by the role"
  - hosts_entry: 192.0.2.7
    names: [whole.example.org, whole]
  - cron: whole-job
    user: whole-app
    minute: "5"
    command: /bin/true
  - limits: whole-app
    item: nofile
    type: soft
    value: 1024
  - sysctl: net.ipv4.ip_forward
    value: 1
  - mount: /srv/whole-tmp
    device: tmpfs
    fstype: tmpfs
    options: size=1m
  - unit: whole.service
    content: "[Service]\nExecStart=/bin/sleep 1000000\nEnvironment=WORD={{ word }}\n[Install]\nWantedBy=multi-user.target\n"
    restarts: whole
  - service: whole
    state: running
    enabled: true
  - unit: cm-lab-daemon.service.d/whole.conf
    content: "[Service]\nEnvironment=WHOLE={{ word }}\n"
    restarts: cm-lab-daemon
  - service: cm-lab-daemon
    state: running
    enabled: true
  - service: cron
    state: stopped
    enabled: false
    when: node.os.family == "nothing"
  - timezone: Asia/Tokyo
"##;

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  whole: { hosts: [whole] }\n");
    repository.role("whole", ROLE);
    repository.write("roles/whole/templates/page.html.j2", "<p>{{ word }} on {{ node.hostname }}</p>\n");
    repository.write("roles/whole/files/site/index.html", "<h1>site</h1>\n");
    repository.write("roles/whole/files/site/css/a b.css", "a{}\n");
    repository
}

#[test]
fn a_role_and_its_cleanup_or_rollback_leave_the_host_as_it_was() {
    let Some(hosts) = quiet_hosts() else { return };
    let repository = repository(hosts);
    hosts.sh(HOST, BEFORE);
    let _ = repository.cm(&format!("run true on {HOST}")).exits(0);
    let first = look(hosts);
    let changed = repository.converges(&format!("whole on {HOST}"));
    assert!(changed.len() >= 25, "{changed:#?}");
    let one = look(hosts);
    assert!(differences(&first, &one).len() > 40, "{:#?}", differences(&first, &one));

    // One run of two, taken back.
    repository.converges(&format!("whole on {HOST} --set word=two"));
    assert!(!differences(&one, &look(hosts)).is_empty());
    let run = last_change(&repository);
    let _ = repository.cm(&format!("rollback {run} on {HOST} --yes")).exits(0);
    assert_eq!(differences(&one, &look(hosts)), [""; 0], "after the rollback of the second run");
    repository.is_converged(&format!("whole on {HOST}"));

    // The whole role.
    let _ = repository.cm(&format!("cleanup whole on {HOST} --yes")).exits(0);
    assert_eq!(differences(&first, &look(hosts)), [""; 0], "after the cleanup");

    // And a first run alone.
    repository.converges(&format!("whole on {HOST}"));
    let run = last_change(&repository);
    let _ = repository.cm(&format!("rollback {run} on {HOST} --yes")).exits(0);
    assert_eq!(differences(&first, &look(hosts)), [""; 0], "after the rollback of the only run");
}

/// The newest run that changed something.
fn last_change(repository: &Repository) -> String {
    let history = repository.cm("history --json").exits(0);
    let runs = history.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut applied = runs.filter(|run| run["mode"] == "apply" && run["state"] == "changed");
    let run = applied.next().unwrap_or_else(|| panic!("no run in {}", history.stdout));
    run["id"].as_str().unwrap_or_else(|| panic!("a run without an id: {run}")).to_owned()
}
