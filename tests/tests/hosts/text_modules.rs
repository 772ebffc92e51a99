//! block, replace, ini, hosts_entry, cron, limits and sysctl.

use cm_tests::{Hosts, Repository, hosts};

#[test]
fn parts_of_files_are_edited_after_the_file_that_holds_them() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.write("roles/parts/templates/block.j2", "listen {{ port }}\n");
    repository.role(
        "parts",
        r##"
params:
  port: { type: int, default: 80 }
tasks:
  - ini: /etc/parts/app.ini
    section: a
    option: x
    value: "{{ port }}"
  - directory: /etc/parts
  - file: /etc/parts/app.ini
    content: "; top\n[a]\nx=1\ny=1\n\n[b]\nz=1\n"
  - ini: /etc/parts/app.ini
    section: c
    option: list
    value: [one, "two three"]
  - block: /etc/parts/app.ini
    name: own
    comment: ";"
    text: "; first {{ port }}\n; second\n"
    before: '^\[b'
  - replace: /etc/parts/app.ini
    match: '^(z)=.*$'
    text: '${1}=9'
  - block: /etc/parts/made.conf
    template: block.j2
    create: true
    mode: "0640"
  - replace: /etc/parts/login.defs
    match: '^(UMASK\s+)\d+$'
    text: '${1}027'
"##,
    );
    for host in Hosts::RELEASES {
        hosts.sh(
            host,
            "mkdir -p /etc/parts; printf 'UMASK\\t\\t022\\r\\nx\\377\\r\\n' > /etc/parts/login.defs",
        );
    }
    repository.converges("parts on releases");
    let ini = "; top\n[a]\nx=80\ny=1\n\n; BEGIN cm own\n; first 80\n; second\n; END cm own\n[b]\nz=9\n\n[c]\nlist=one\nlist=two three\n";
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, "cat /etc/parts/app.ini"), ini);
        assert_eq!(
            hosts.sh(host, "cat /etc/parts/made.conf; stat -c %a /etc/parts/made.conf"),
            "# BEGIN cm\nlisten 80\n# END cm\n640\n"
        );
        assert!(hosts.holds(host, "printf 'UMASK\\t\\t027\\r\\nx\\377\\r\\n' | cmp - /etc/parts/login.defs"));
        hosts.sh(
            host,
            "cd /etc/parts; sed -i s/^z.*/z=1/ app.ini; sed -i s/80/81/ made.conf; chmod 600 made.conf",
        );
    }
    // The edits of a file that a task makes are part of its content.
    let found = repository.mends("parts on releases");
    assert!(found.iter().any(|found| found.task == "file:/etc/parts/app.ini"), "{found:#?}");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, "cat /etc/parts/app.ini"), ini);
    }
    let changed = repository.converges("parts on releases --set port=8080");
    assert!(changed.iter().all(|change| change.changes.contains("8080")), "{changed:#?}");
}

#[test]
fn a_damaged_block_and_an_endless_replacement_change_nothing() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "damaged",
        "tasks:\n  - block: /etc/damaged\n    text: new\n  - replace: /etc/endless\n    match: foo\n    text: foobar\n",
    );
    hosts.sh("d12", "printf '# BEGIN cm\\nmine\\n' > /etc/damaged; echo foo > /etc/endless");
    repository.cm("apply damaged on d12").exits(3).says(&[
        "the block in /etc/damaged is damaged: `# BEGIN cm` in line 1 has no `# END cm` after it",
        "put the end line back",
        "it makes \"foobar\", and the next run would make \"foobarbar\" of it",
    ]);
    assert_eq!(hosts.sh("d12", "cat /etc/damaged /etc/endless"), "# BEGIN cm\nmine\nfoo\n");
}

#[test]
fn entries_jobs_limits_and_kernel_parameters() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "entries",
        r#"
tasks:
  - hosts_entry: 10.9.8.7
    names: [db1.entries.example, db1-entries]
  - hosts_entry: "fd00::7"
    names: db1.entries.example
  - directory: /etc/cron.d
  - cron: entries-test
    schedule: "*/7 3 * * mon-fri"
    command: 'test -e "/tmp/a b" || date +\%s'
    user: daemon
    env: { MAILTO: "", PATH: "/usr/bin:/bin" }
  - limits: daemon
    item: nofile
    value: 4096
  - limits: daemon
    type: soft
    item: core
    value: 0
  - sysctl: net.ipv4.tcp_fin_timeout
    value: 31
  - sysctl: net.ipv4.ip_local_port_range
    value: "20000   60000"
  - sysctl: vm.swappiness
    value: 10
    apply: false
"#,
    );
    repository.converges("entries on releases");
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "getent ahostsv4 db1-entries | head -1 | cut -d' ' -f1; getent hosts fd00::7"),
            "10.9.8.7\nfd00::7         db1.entries.example\n"
        );
        assert_eq!(
            hosts.sh(host, "cat /etc/cron.d/entries-test; stat -c '%a %U' /etc/cron.d/entries-test"),
            "# Managed by cm.\nMAILTO=\"\"\nPATH=/usr/bin:/bin\n*/7 3 * * mon-fri daemon test -e \"/tmp/a b\" || date +\\%s\n644 root\n"
        );
        assert_eq!(
            hosts.sh(host, "cat /proc/sys/net/ipv4/tcp_fin_timeout /proc/sys/net/ipv4/ip_local_port_range"),
            "31\n20000\t60000\n"
        );
        // The real readers of these files take them.
        assert_eq!(hosts.sh(host, "su -s /bin/sh -c 'ulimit -n; ulimit -Sc' daemon"), "4096\n0\n");
        hosts.sh(host, "echo 60 > /proc/sys/net/ipv4/tcp_fin_timeout; echo > /etc/cron.d/entries-test; sed -i s/10.9.8.7/10.9.8.6/ /etc/hosts; rm /etc/security/limits.d/60-cm-core-*");
    }
    let found = repository.mends("entries on releases");
    assert_eq!(found.len(), 4 * 3, "{found:#?}");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, "cat /proc/sys/net/ipv4/tcp_fin_timeout"), "31\n");
        assert_eq!(hosts.sh(host, "grep -c entries /etc/hosts"), "2\n");
        assert!(hosts.holds(host, "! grep -q 10.9.8.6 /etc/hosts"));
    }
    repository.role(
        "gone",
        r#"
tasks:
  - hosts_entry: 10.9.8.7
    state: absent
  - cron: entries-test
    state: absent
  - limits: daemon
    item: nofile
    state: absent
  - sysctl: net.ipv4.tcp_fin_timeout
    state: absent
"#,
    );
    repository.converges("gone on releases");
    for host in Hosts::RELEASES {
        assert!(hosts.holds(host, "! grep -q 10.9.8.7 /etc/hosts && test ! -e /etc/cron.d/entries-test && test ! -e /etc/sysctl.d/60-cm-net.ipv4.tcp_fin_timeout.conf"));
        assert_eq!(
            hosts.sh(host, "cat /proc/sys/net/ipv4/tcp_fin_timeout"),
            "31\n",
            "it stays until the next boot"
        );
    }
}

#[test]
fn a_parameter_that_a_host_cannot_set_is_told() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("fixed", "tasks:\n  - sysctl: vm.swappiness\n    value: 11\n");
    repository.cm("apply fixed on d12").exits(3).says(&[
        "setting the kernel parameter vm.swappiness to \"11\": it is read-only here",
        "`apply: false`",
    ]);
    assert!(
        hosts.holds("d12", "! grep -q 11 /etc/sysctl.d/60-cm-vm.swappiness.conf"),
        "nothing for the next boot"
    );
    repository.role("unknown", "tasks:\n  - sysctl: net.ipv4.no_such\n    value: 1\n");
    repository.cm("apply unknown on d12").exits(3).says(&["the kernel has no parameter net.ipv4.no_such"]);
}

#[test]
fn what_cannot_be_is_said_before_any_host_is_touched() {
    let repository = Repository::empty();
    repository.write("inventory.yaml", "hosts:\n  a: { address: 127.0.0.1 }\n");
    repository.role(
        "wrong",
        r#"
tasks:
  - cron: a.b
    schedule: "@daily"
    command: x
  - cron: c
    schedule: "61 * * * *"
    command: x
  - hosts_entry: 10.0.0.300
    names: x
  - limits: anna
    item: nofile
    value: many
  - sysctl: swappiness
    value: 1
  - replace: /etc/x
    match: "(a)"
    text: "$1b"
  - sysctl: vm.swappiness
    value: 1
  - sysctl: vm/swappiness
    value: 2
"#,
    );
    repository.cm("lint").exits(1).says(&[
        "no dots",
        "\"61\" is not a number from 0 to 59",
        "\"10.0.0.300\" is no IPv4 or IPv6 address",
        "wants a number or `unlimited`, not \"many\"",
        "\"swappiness\" is no name of a kernel parameter",
        "write `${1}b`",
    ]);
}
