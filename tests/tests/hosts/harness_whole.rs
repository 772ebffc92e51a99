//! A whole host before a role and after its cleanup: nothing is left but what docs/node.md names. The same for
//! a rollback of one run.

use cm_tests::{Hosts, Repository, quiet_hosts};

use crate::harness_look::{differences, look};

const HOST: &str = "whole";

/// What was there before: files that the role edits, and a service of the administrator's.
const BEFORE: &str = r##"
set -e
printf 'first = 1\n# old comment\nsecond = 2\nunended' > /etc/whole.conf; chmod 640 /etc/whole.conf; chown daemon:adm /etc/whole.conf
printf '[main]\nkey = old\n[other]\nx = y\n' > /etc/whole.ini
printf 'was here\n' > /etc/whole.old; chmod 4755 /etc/whole.old
ln -sfT /etc/whole.old /etc/whole.link; chown -h daemon /etc/whole.link
mkdir -p /srv/whole-there; chmod 2750 /srv/whole-there; chown daemon:adm /srv/whole-there
printf 'mine\n' > /srv/whole-there/mine
mkdir -p "/srv/whole-inside/deep er"; printf x > "/srv/whole-inside/deep er/it's \"quoted\""; chmod 4755 "/srv/whole-inside/deep er/it's \"quoted\""
printf y > "/srv/whole-inside/$(printf 'new\nline')"; printf z > "/srv/whole-inside/$(printf 'no\377text')"; ln -sfT /etc/passwd /srv/whole-inside/link
cp -a /srv/whole-inside /srv/whole-gone; chown -R daemon:adm /srv/whole-gone
cp -a /srv/whole-inside /srv/whole-site; printf old > /srv/whole-site/index.html; chmod 600 /srv/whole-site/index.html
useradd -m -s /bin/sh -c 'was there' -G adm whole-there
printf '[Service]\nExecStart=/bin/sleep 1000000\n[Install]\nWantedBy=multi-user.target\n' > /etc/systemd/system/whole-old.service
systemctl daemon-reload; systemctl -q enable --now whole-old.service
mkdir -p /root/pack/app/bin; printf 'run\n' > /root/pack/app/bin/run; chmod 755 /root/pack/app/bin/run; tar -C /root/pack -czf /root/whole.tar.gz app
printf '#!/bin/sh\n' > /usr/local/bin/whole-editor; chmod 755 /usr/local/bin/whole-editor
apt-get -qq -y install cm-lab-lib=1.0 >/dev/null
"##;

const ROLE: &str = r##"
params:
  word: { type: string, default: one }
tasks:
  - package: cm-lab-daemon
  - package: cm-lab-lib
    version: "2.0"
    held: true
  - repository: whole
    url: https://packages.example.org/debian
    suites: [bookworm]
    components: [main]
    trusted: true
    enabled: false
  - debconf: whole/question
    package: whole
    type: string
    value: "{{ word }}"
  - alternatives: whole-editor
    path: /usr/local/bin/whole-editor
    link: /usr/bin/whole-editor
    priority: 5
  - directory: /srv/whole
  - archive: /srv/whole/unpacked
    path: /root/whole.tar.gz
    strip: 1
    owner: whole-app
  - download: /srv/whole/fetched
    url: file:///root/whole.tar.gz
    unchecked: true
  - user: whole-there
    shell: /bin/bash
    comment: changed
    groups: [whole-team]
  - directory: /srv/whole-inside
    owner: whole-app
    group: whole-team
    recurse: true
  - directory: /srv/whole-gone
    state: absent
    recurse: true
  - tree: /srv/whole-site
    source: site
    delete: true
    owner: whole-app
  - service: whole-old
    state: stopped
    enabled: false
  - unit: whole-old.service.d/more.conf
    content: "[Service]\nNice=5\n"
  - hostname: whole-renamed
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
    names: [www.example.org]
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
  - timezone: Asia/Tokyo
"##;

fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  whole: { hosts: [whole] }\n");
    repository.role("whole", ROLE);
    repository.write("roles/whole/templates/page.html.j2", "<p>{{ word }} on {{ node.os.name }}</p>\n");
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
    let first = look(hosts, HOST);
    let changed = repository.converges(&format!("whole on {HOST}"));
    assert!(changed.len() >= 38, "{changed:#?}");
    let one = look(hosts, HOST);
    assert!(differences(&first, &one).len() > 40, "{:#?}", differences(&first, &one));

    // One run of two, taken back.
    repository.converges(&format!("whole on {HOST} --set word=two"));
    assert!(!differences(&one, &look(hosts, HOST)).is_empty());
    let run = last_change(&repository);
    let _ = repository.cm(&format!("rollback {run} on {HOST} --yes")).exits(0);
    assert_eq!(differences(&one, &look(hosts, HOST)), [""; 0], "after the rollback of the second run");
    repository.is_converged(&format!("whole on {HOST}"));

    // The whole role.
    let _ = repository.cm(&format!("cleanup whole on {HOST} --yes")).exits(0);
    assert_eq!(differences(&first, &look(hosts, HOST)), [""; 0], "after the cleanup");

    // And a first run alone.
    repository.converges(&format!("whole on {HOST}"));
    let run = last_change(&repository);
    let _ = repository.cm(&format!("rollback {run} on {HOST} --yes")).exits(0);
    assert_eq!(differences(&first, &look(hosts, HOST)), [""; 0], "after the rollback of the only run");
}

/// The newest run that changed something.
pub fn last_change(repository: &Repository) -> String {
    let history = repository.cm("history --json").exits(0);
    let runs = history.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut applied = runs.filter(|run| run["mode"] == "apply" && run["state"] == "changed");
    let run = applied.next().unwrap_or_else(|| panic!("no run in {}", history.stdout));
    run["id"].as_str().unwrap_or_else(|| panic!("a run without an id: {run}")).to_owned()
}
