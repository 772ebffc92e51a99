//! The role `etcd` of the library: a cluster of three over TLS, upgraded member by member while a client writes.

use std::{fs, path::Path, process::Command, time::Duration};

use cm_tests::{Hosts, Repository, cluster_hosts, eventually};

const MEMBERS: [&str; 3] = ["member1", "member2", "member3"];

/// Writes numbers through all members for as long as it runs. The last that was written is in `/root/written`, all
/// that were refused are in `/root/refused`.
const WRITER: &str = r#"#!/bin/sh
set -a; . /root/etcdctl.env; set +a
n=0
while [ ! -e /root/enough ]; do
    n=$((n + 1))
    if said=$(etcdctl --dial-timeout=5s --command-timeout=20s put "number/$n" "$n" 2>&1); then
        echo $n >/root/written.new && mv /root/written.new /root/written
    else
        echo "$n: $said" >>/root/refused
    fi
done
"#;

/// Makes packages of those in the archive with a later version, in a repository of the host's own.
const LATER_VERSION: &str = r#"
set -e
mkdir -p /srv/later && cd /srv/later
apt-get -qq download etcd-server etcd-client
for old in *.deb; do
    dpkg-deb -R "$old" tree
    sed -i 's/^Version: .*/&+later/' tree/DEBIAN/control
    new=later-${old%%_*}.deb
    dpkg-deb -Znone --root-owner-group -b tree "$new" >/dev/null
    {
        cat tree/DEBIAN/control
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$new" "$(stat -c %s "$new")" "$(sha256sum "$new" | cut -d ' ' -f 1)"
    } >>Packages
    rm -r tree "$old"
done
echo 'deb [trusted=yes] file:/srv/later ./' >/etc/apt/sources.list.d/later.list
apt-get -qq update
"#;

/// The repository, with certificates that the role's own script made; the client gets its own.
fn repository(hosts: &Hosts) -> Repository {
    let repository = Repository::with_groups(hosts, "  etcd: { hosts: [member1, member2, member3] }\n");
    let folder = repository.folder().join("certificates");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roles/library/etcd/certificates.sh");
    let mut make = Command::new("sh");
    make.arg(script).arg(&folder).arg("client");
    make.args(MEMBERS.map(|member| format!("{member}={}", hosts.address(member))));
    let made = make.output().expect("sh starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("the script made it");
    for member in MEMBERS {
        let _ = repository.secret(hosts, &format!("key_{member}"), &read(&format!("{member}.key")));
    }
    let certificates: serde_json::Map<_, _> =
        MEMBERS.iter().map(|member| ((*member).to_owned(), read(&format!("{member}.pem")).into())).collect();
    let vars = serde_json::json!({
        "ca": read("ca.pem"),
        "certificates": certificates,
        "certificate": "{{ certificates[host.name] }}",
        "private_key": "{{ secrets['key_' ~ host.name] }}",
    });
    let groups = format!("  etcd: {{ hosts: [member1, member2, member3], vars: {vars} }}\n");
    let _ = repository.write("inventory.yaml", repository.inventory(hosts, &groups, "  become: true\n"));
    for name in ["ca.pem", "client.pem", "client.key"] {
        hosts.sh("client", &format!("cat >/root/{name} <<'END'\n{}END\n", read(name)));
    }
    repository
}

fn written(hosts: &Hosts) -> u64 {
    hosts.sh("client", "cat /root/written 2>/dev/null || echo 0").trim().parse().expect("a number")
}

/// When each member's etcd was started, in microseconds; the hosts share one clock.
fn started(hosts: &Hosts) -> [u64; 3] {
    let ask = "systemctl show -p ExecMainStartTimestampMonotonic --value etcd";
    MEMBERS.map(|member| hosts.sh(member, ask).trim().parse().expect("a number"))
}

#[test]
fn a_cluster_is_upgraded_member_by_member_while_a_client_writes_without_an_error() {
    let Some(hosts) = cluster_hosts() else { return };
    let repository = repository(hosts);
    let endpoints = MEMBERS.map(|member| format!("https://{}:2379", hosts.address(member))).join(",");
    let env = format!(
        "ETCDCTL_API=3\nETCDCTL_ENDPOINTS={endpoints}\nETCDCTL_CACERT=/root/ca.pem\nETCDCTL_CERT=/root/client.pem\nETCDCTL_KEY=/root/client.key\n"
    );
    hosts.sh("client", &format!("cat >/root/etcdctl.env <<'END'\n{env}END\n"));
    hosts.sh("client", "{ apt-get -qq update && apt-get -qq -y install etcd-client; } >/dev/null 2>&1");

    repository.converges("etcd on etcd");
    let nobody = format!(
        "ETCDCTL_API=3 etcdctl --endpoints {endpoints} --cacert /root/ca.pem --command-timeout=3s get x"
    );
    assert!(!hosts.holds("client", &nobody), "a client without a certificate reads");
    for member in MEMBERS {
        hosts.sh(member, LATER_VERSION);
    }
    let start = format!(
        "cat >/root/writer <<'END'\n{WRITER}END\nchmod +x /root/writer; systemd-run -q --unit writer /root/writer"
    );
    hosts.sh("client", &start);
    eventually("the client writes", Duration::from_secs(60), || (written(hosts) > 5).then_some(()));

    let (before, began) = (started(hosts), written(hosts));
    roll_out(&repository, &["version=*+later", "settings={snapshot-count: 5000}"]);
    let ended = written(hosts);
    assert!(ended > began + 3, "the client wrote all the time");
    eventually("the client still writes", Duration::from_secs(60), || (written(hosts) > ended).then_some(()));
    hosts.sh("client", "touch /root/enough");
    eventually("the client ends", Duration::from_secs(60), || {
        (!hosts.holds("client", "systemctl -q is-active writer")).then_some(())
    });

    assert_eq!(hosts.sh("client", "cat /root/refused 2>/dev/null || true"), "", "of {}", written(hosts));
    let count = "set -a; . /root/etcdctl.env; etcdctl get --prefix number/ --keys-only | grep -c number";
    assert_eq!(hosts.sh("client", count).trim(), written(hosts).to_string());
    let mut after = started(hosts);
    for (member, (before, after)) in MEMBERS.iter().zip(before.iter().zip(&after)) {
        assert_ne!(before, after, "{member} was restarted");
        let version = hosts.sh(
            member,
            "dpkg-query -W -f '${Version} ' etcd-server; grep snapshot-count /etc/etcd/etcd.yaml",
        );
        assert!(version.contains("+later") && version.contains("5000"), "{member}: {version}");
    }
    // None before the one before it had been healthy for the two seconds that the role asks for.
    after.sort_unstable();
    assert!(after.is_sorted_by(|one, next| one + 2_000_000 <= *next), "{after:?}");
}

/// By the strategy that the role itself has.
fn roll_out(repository: &Repository, set: &[&str]) {
    let mut line = vec!["rollout", "etcd", "on", "etcd", "--yes"];
    line.extend(set.iter().flat_map(|value| ["--set", *value]));
    let _ = repository.cm_words(&line).exits(0).says(&MEMBERS);
}
