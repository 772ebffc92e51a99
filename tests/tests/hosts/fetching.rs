//! download, archive and git: from a server and a repository on the host itself.

use std::process::Command;

use cm_tests::{Hosts, Repository, hosts};

/// Serves /srv/fetching/served; `/moved` leads to the archive; every request is noted.
const SERVER: &str = r#"
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 8765, Listen => 9, ReuseAddr => 1) or die;
while (my $client = $listener->accept) {
    my $request = <$client>;
    while (my $line = <$client>) { $request .= $line; last if $line =~ /^\r?\n$/ }
    open my $log, ">>", "/srv/fetching/asked"; print $log $request; close $log;
    my ($name) = $request =~ m{^GET /(\S+)};
    if ($name eq "moved") { print $client "HTTP/1.1 302 Found\r\nLocation: /app.tar.gz\r\n\r\n"; close $client; next }
    if (open my $file, "<", "/srv/fetching/served/$name") {
        local $/; my $content = <$file>;
        print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($content) . "\r\n\r\n$content";
    } else { print $client "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" }
    close $client;
}
"#;

/// Two releases, the oldest git among them: the package and all it needs come from Debian's servers.
const ON: [&str; 2] = ["d11", "d13"];

fn here(folder: &std::path::Path, script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("sh starts");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text").trim().to_owned()
}

/// Puts the server, what it serves and a bare repository on a host.
fn prepare(hosts: &Hosts, host: &str, packed: &str) {
    hosts.sh(host, &format!("mkdir -p /srv/fetching && echo {packed} | base64 -d | tar -C /srv/fetching -xz && chown -R root:root /srv/fetching"));
    hosts.sh(host, &format!("cat > /srv/fetching/server.pl <<'END'\n{SERVER}\nEND"));
    hosts.sh(host, "systemd-run -q --unit=fetching-server --collect perl /srv/fetching/server.pl");
    hosts.sh(host, "for i in $(seq 100); do ss -ltn | grep -q :8765 && exit 0; sleep 0.1; done; exit 1");
}

#[test]
fn files_archives_and_repositories_are_fetched() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let packed = here(
        folder.path(),
        "mkdir -p served app-1.0/bin && printf '#!/bin/sh\\necho hi\\n' > app-1.0/bin/run && chmod 755 app-1.0/bin/run
         ln -s bin/run app-1.0/current && tar -czf served/app.tar.gz app-1.0
         git init -q work && cd work && echo one > file && git add file
         git -c user.name=t -c user.email=t@example commit -q -m one && git branch -M main
         git clone -q --bare . ../app.git && cd .. && tar -cz served app.git | base64 -w0",
    );
    let sum = here(folder.path(), "sha256sum served/app.tar.gz | cut -d' ' -f1");
    let source = std::fs::read(folder.path().join("served/app.tar.gz")).expect("it was made");
    repository.write("roles/fetching/files/app.tgz", source);
    for host in ON {
        prepare(hosts, host, &packed);
    }
    repository.role(
        "fetching",
        &format!(
            r#"
tasks:
  - git: /srv/fetched/deep/tree
    repository: /srv/fetching/app.git
    revision: main
  - archive: /srv/fetched/from-node
    path: /srv/fetched/app.tar.gz
    strip: 1
  - archive: /srv/fetched/from-role
    source: app.tgz
    owner: daemon
  - archive: /srv/fetched/from-server
    url: http://127.0.0.1:8765/app.tar.gz
    checksum: "sha256:{sum}"
  - download: /srv/fetched/app.tar.gz
    url: http://127.0.0.1:8765/moved
    checksum: "sha256:{sum}"
    headers: {{ X-Token: marker-of-a-secret }}
    mode: "0640"
  - directory: /srv/fetched
  - package: git
"#
        ),
    );
    let on = ON.join(",");
    let changed = repository.converges(&format!("fetching on {on}"));
    assert_eq!(changed.len(), 7 * ON.len(), "{changed:#?}");
    for host in ON {
        let look = "cd /srv/fetched; stat -c '%n %a %U' app.tar.gz from-node/bin/run from-role/app-1.0/bin/run; from-server/app-1.0/current; cat deep/tree/file; stat -c %a /var/lib/cm/archives; ls /var/lib/cm/archives | wc -l";
        let wanted = "app.tar.gz 640 root\nfrom-node/bin/run 755 root\nfrom-role/app-1.0/bin/run 755 daemon\nhi\none\n700\n3\n";
        assert_eq!(hosts.sh(host, look), wanted, "on {host}");
        assert_eq!(
            hosts.sh(host, "grep -c ^GET /srv/fetching/asked"),
            "3\n",
            "a plan and a look fetch nothing"
        );
        assert_eq!(hosts.sh(host, "grep -c marker-of-a-secret /srv/fetching/asked"), "2\n");
        hosts.sh(host, "cd /srv/fetched; echo x >> app.tar.gz; rm from-node/bin/run; chmod 700 from-server/app-1.0/bin/run; chown 0 from-role/app-1.0/current; ln -sfn /etc from-role/app-1.0/current");
    }
    let found = repository.mends(&format!("fetching on {on}"));
    assert_eq!(found.len(), 4 * ON.len(), "{found:#?}");
    for host in ON {
        assert_eq!(hosts.sh(host, "readlink /srv/fetched/from-role/app-1.0/current"), "bin/run\n");
        // The repository goes on.
        hosts.sh(host, "cd /tmp && rm -rf fetching-push && git clone -q /srv/fetching/app.git fetching-push 2>/dev/null && cd fetching-push && echo two > file && git -c user.name=t -c user.email=t@example commit -qam two && git push -q origin HEAD:main && cd .. && rm -rf fetching-push");
    }
    let changed = repository.converges(&format!("fetching on {on}"));
    assert_eq!(changed.len(), ON.len(), "{changed:#?}");
    for host in ON {
        assert_eq!(hosts.sh(host, "cat /srv/fetched/deep/tree/file"), "two\n", "on {host}");
        hosts.sh(host, "echo by hand > /srv/fetched/deep/tree/file");
    }
    repository.is_converged(&format!("fetching on {on}"));
    // What does not fit its checksum takes nobody's place.
    repository.role(
        "wrong",
        "tasks:\n  - download: /srv/fetched/app.tar.gz\n    url: http://127.0.0.1:8765/app.tar.gz\n    checksum: \"md5:00000000000000000000000000000000\"\n",
    );
    repository.cm("apply wrong on d13").exits(3).says(&["has the checksum md5:", "nothing was changed"]);
    assert_eq!(hosts.sh("d13", "sha256sum < /srv/fetched/app.tar.gz | cut -d' ' -f1"), format!("{sum}\n"));
    for host in ON {
        hosts.sh(host, "systemctl stop fetching-server; rm -rf /srv/fetching /srv/fetched");
    }
}
