//! hostname, timezone, mount, swap, kernel_module, alternatives and debconf: what a container can have of them,
//! and why the rest fails.

use cm_tests::{Hosts, Repository, hosts};

const ROLE: &str = r#"
params:
  size: { type: string, default: 1m }
tasks:
  - timezone: Europe/Berlin
  - directory: /srv/sysdata
  - file: /srv/sysdata/one
    content: shown
  - mount: "/mnt/my data"
    device: /srv/sysdata
    options: [bind, ro]
  - mount: /mnt/fast
    device: tmpfs
    fstype: tmpfs
    options: ["size={{ size }}", "mode=0750", noexec]
  - file: /mnt/fast/inside
    content: in memory
  - mount: /mnt/later
    state: configured
    device: LABEL=later
    fstype: ext4
    options: [noauto, nofail]
    pass: 2
  - file: /opt/cm-editor
    content: "\#!/bin/sh\n"
    mode: "0755"
  - alternatives: cm-editor
    path: /opt/cm-editor
    link: /usr/local/bin/cm-editor
    priority: 10
  - kernel_module: cm-nothing
    state: blacklisted
  - debconf: cm-asks/greeting
    type: string
    value: hello there
  - debconf: cm-asks/secret
    type: password
    value: hushhush
"#;

#[test]
fn settings_of_the_system_come_drift_and_go() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("system", &ROLE.replace("\\#", "#"));
    let changed = repository.converges("system on releases");
    assert!(!format!("{changed:?}").contains("hushhush"), "{changed:#?}");
    for host in Hosts::RELEASES {
        let said = hosts.sh(
            host,
            "date +%Z | tr -d ST; cat /etc/timezone '/mnt/my data/one' /mnt/fast/inside; echo; \
             touch '/mnt/my data/two' 2>/dev/null || echo read-only; stat -c %a /mnt/fast; \
             findmnt -no OPTIONS /mnt/fast | grep -o noexec; grep -c ' /mnt' /etc/fstab; \
             readlink -f /usr/local/bin/cm-editor; update-alternatives --query cm-editor | grep -c 'Status: manual'; \
             cat /etc/modprobe.d/cm-cm_nothing.conf; echo get cm-asks/greeting | debconf-communicate cm-asks",
        );
        let wanted = "CE\nEurope/Berlin\nshownin memory\nread-only\n750\nnoexec\n3\n/opt/cm-editor\n1\n\
                      blacklist cm_nothing\n0 hello there\n";
        assert_eq!(said, wanted, "on {host}");
        // systemd knows the mounts from the new lines, and does not take them back.
        assert!(
            hosts.holds(host, "systemctl daemon-reload; systemctl is-active mnt-fast.mount"),
            "on {host}"
        );
    }
    // Other options: the same file system, with what is in it.
    repository.converges("system on releases --set size=2m");
    for host in Hosts::RELEASES {
        let said = hosts.sh(host, "findmnt -no OPTIONS /mnt/fast | grep -o size=2048k; cat /mnt/fast/inside");
        assert_eq!(said, "size=2048k\nin memory", "on {host}");
        hosts.sh(
            host,
            "umount /mnt/fast; mount -o remount,bind,rw '/mnt/my data'; sed -i '/later/s/ext4/xfs/' /etc/fstab; \
             ln -sf ../usr/share/zoneinfo/Asia/Tokyo /etc/localtime; echo Asia/Tokyo >/etc/timezone; \
             update-alternatives --quiet --auto cm-editor; rm /etc/modprobe.d/cm-cm_nothing.conf; \
             printf 'RESET cm-asks/greeting\\nRESET cm-asks/secret\\n' | debconf-communicate cm-asks >/dev/null",
        );
    }
    let found = repository.mends("system on releases --set size=2m");
    // On each of three hosts: two mounts and what is in one, a line, zone, alternative, module and two answers.
    assert_eq!(found.len(), 27, "{found:#?}");
    repository.role(
        "gone",
        "tasks:\n  - mount: [\"/mnt/my data\", /mnt/fast, /mnt/later]\n    state: absent\n  \
         - alternatives: cm-editor\n    path: /opt/cm-editor\n    state: absent\n  \
         - kernel_module: cm-nothing\n    state: absent\n  \
         - debconf: [cm-asks/greeting, cm-asks/secret]\n    state: absent\n  \
         - timezone: Etc/UTC\n",
    );
    repository.converges("gone on releases");
    for host in Hosts::RELEASES {
        let left = "grep ' /mnt' /etc/fstab /proc/mounts; ls /etc/modprobe.d/cm-* /etc/alternatives/cm-editor \
                    /usr/local/bin/cm-editor; grep cm-asks /var/cache/debconf/*s.dat /var/cache/debconf/config.dat";
        assert!(!hosts.holds(host, left), "on {host}: {}", hosts.sh(host, &format!("{left}; true")));
    }
}

#[test]
fn a_cleanup_takes_settings_back_and_tells_no_password() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "system",
        &ROLE.replace("\\#", "#").replace("Europe/Berlin", "Etc/UTC").replace("fast", "quick"),
    );
    let state = "cat /etc/fstab; grep ' /mnt' /proc/mounts; ls /mnt /opt /usr/local/bin /etc/alternatives \
                 /var/lib/dpkg/alternatives; cat /var/cache/debconf/config.dat /var/cache/debconf/passwords.dat";
    let before = hosts.sh("e12", state);
    let _ = repository.cm("apply system on e12").exits(0);
    assert_ne!(hosts.sh("e12", state), before);
    let said = repository.cm("cleanup system on e12 --yes").exits(0).says(&["cm-asks/secret"]).said();
    assert!(!said.contains("hushhush"), "{said}");
    assert_eq!(hosts.sh("e12", state), before);
}

#[test]
fn a_host_gets_its_name_at_once_and_for_the_next_boot() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("name", "params:\n  name: { type: string }\ntasks:\n  - hostname: \"{{ name }}\"\n");
    repository.converges("name on e12 --set name=renamed.example.org");
    assert_eq!(hosts.sh("e12", "hostname; cat /etc/hostname"), "renamed.example.org\nrenamed.example.org\n");
    hosts.sh("e12", "hostname other");
    assert_eq!(repository.mends("name on e12 --set name=renamed.example.org").len(), 1);
    repository.converges("name on e12 --set name=e12");
    let _ = repository.cm("plan name on e12 --set name=a_b").exits(1).says(&["letters, digits"]);
}

#[test]
fn what_belongs_to_the_kernel_of_the_host_fails_with_the_reason() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("kernel", "tasks:\n  - kernel_module: cm-nothing\n");
    let hint = "`node.virtualization != \"systemd-nspawn\"`".replace('`', "");
    let _ = repository.cm("plan kernel on e12").exits(2).says(&["kernel_module:cm-nothing"]);
    let _ =
        repository.cm("apply kernel on e12").exits(3).says(&["loading the kernel module cm_nothing", &hint]);
    repository.role("swap", "tasks:\n  - swap: \"/var/a swap file\"\n    size: 2M\n");
    let _ = repository.cm("apply swap on e12").exits(3).says(&["swapping on /var/a swap file"]);
    // What was made before that is whole and closed to others; nothing would use it at boot.
    assert_eq!(hosts.sh("e12", "stat -c '%a %s' '/var/a swap file'; swaplabel '/var/a swap file' | cut -c1-5; grep -c swap /etc/fstab || true"), "600 2097152\nUUID:\n0\n");
    repository.role("swap", "tasks:\n  - swap: \"/var/a swap file\"\n    state: absent\n");
    repository.converges("swap on e12");
    assert!(!hosts.holds("e12", "test -e '/var/a swap file'"));
    repository.role("zone", "tasks:\n  - timezone: Europe/Berlim\n");
    let _ = repository
        .cm("plan zone on e12")
        .exits(3)
        .says(&["no time zone Europe/Berlim", "did you mean Europe/Berlin?"]);
}
