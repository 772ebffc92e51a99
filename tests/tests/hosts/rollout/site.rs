//! A service in packages, twelve hosts that run it, and a load balancer before them.

use std::{env, fs, path::Path, process::Command};

use cm_tests::{Hosts, Repository};

/// The server: it answers its version, and whether it is well. Linked statically, so that it runs on every release.
const SERVER: &str = r#"
use std::{fs, io::{Read, Write}, net::TcpListener};

fn main() {
    let version = fs::read_to_string("/usr/share/cm-site/version").unwrap().trim().to_owned();
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    for stream in listener.incoming().flatten() {
        let version = version.clone();
        std::thread::spawn(move || {
            let mut stream = stream;
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                    _ => return,
                }
            }
            let sick = version.starts_with('3') && request.starts_with(b"GET /health");
            let status = if sick { "500 Internal Server Error" } else { "200 OK" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{version}\n", version.len() + 1);
        });
    }
}
"#;

/// The versions that there are. Version 3 starts, and says that it is not well.
const VERSIONS: [&str; 5] = ["1", "2", "3", "4", "5"];

const ROLE: &str = r#"
params:
  version: { type: string }
rollout:
  batch: [1, "100%"]
  max_unavailable: 4
  min_healthy_time: 1s
  healthy_deadline: 15s
  gate_interval: 1s
  gates:
    - http: "http://{{ host.address }}:8080/health"
  hooks:
    - on: lb
      already: "haproxy-server status site/{{ host.name }} | grep -Eq ' (DRAIN|MAINT)'"
      before_node: "haproxy-server drain site/{{ host.name }}"
      after_node: "haproxy-server undrain site/{{ host.name }}"
tasks:
  - tree: /srv/site
    source: packages
  - repository: site
    url: file:/srv/site
    suites: ./
    trusted: true
    needs: tree:/srv/site
  - package: cm-site
    version: "{{ version }}"
  - service: cm-site
    state: running
    enabled: true
"#;

/// Runs a shell script here.
fn run(folder: &Path, script: &str) {
    let ran = Command::new("sh").args(["-euc", script]).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Builds the server and its packages, and a flat repository of them.
fn packages(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let build = tempfile::tempdir().unwrap();
    fs::write(build.path().join("server.rs"), SERVER).unwrap();
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    run(
        build.path(),
        &format!(
            "{compiler} --edition 2024 -O -C target-feature=+crt-static -C panic=abort -C strip=symbols server.rs 2>&1"
        ),
    );
    let unit = "[Unit]\nDescription=site\n[Service]\nExecStart=/usr/sbin/cm-site\nRestart=on-failure\n[Install]\nWantedBy=multi-user.target\n";
    fs::write(build.path().join("cm-site.service"), unit).unwrap();
    for version in VERSIONS {
        run(
            build.path(),
            &format!(
                r#"
                mkdir -p root/DEBIAN root/usr/sbin root/usr/share/cm-site root/lib/systemd/system
                cp server root/usr/sbin/cm-site
                cp cm-site.service root/lib/systemd/system/
                echo {version} > root/usr/share/cm-site/version
                printf 'Package: cm-site\nVersion: {version}\nArchitecture: %s\nMaintainer: x <x@example.org>\nDescription: x\n' "$(dpkg --print-architecture)" > root/DEBIAN/control
                printf '#!/bin/sh\nset -e\nsystemctl daemon-reload\nsystemctl restart cm-site\n' > root/DEBIAN/postinst
                chmod 755 root/DEBIAN/postinst
                dpkg-deb --root-owner-group -Zgzip -b root {out}/cm-site_{version}.deb >/dev/null
                {{
                    dpkg-deb -f {out}/cm-site_{version}.deb
                    echo "Filename: ./cm-site_{version}.deb"
                    echo "Size: $(stat -c %s {out}/cm-site_{version}.deb)"
                    echo "SHA256: $(sha256sum {out}/cm-site_{version}.deb | cut -d' ' -f1)"
                    echo
                }} >> {out}/Packages
                "#,
                out = folder.display()
            ),
        );
    }
    run(
        folder,
        r#"
        {
            echo "Origin: cm"
            echo "Date: $(LANG=C date -u '+%a, %d %b %Y %H:%M:%S UTC')"
            echo "SHA256:"
            echo " $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages"
        } > Release
        "#,
    );
}

/// The site, with its first version on all hosts and in service.
pub struct Site {
    pub hosts: &'static Hosts,
    pub repository: Repository,
}

impl Site {
    pub fn new(hosts: &'static Hosts) -> Self {
        let site = Self { hosts, repository: Repository::empty() };
        site.wants("1");
        site.repository.role("site", ROLE);
        packages(&site.repository.folder().join("roles/site/files/packages"));
        let _ = site.repository.cm("apply on web,lb").exits(0);
        site
    }

    /// Has the repository say which version is wanted.
    pub fn wants(&self, version: &str) {
        let groups = format!(
            "  web:\n    hosts: [{}]\n    roles: [site]\n    vars: {{ version: \"{version}\" }}\n  \
             lb:\n    hosts: [lb]\n    roles: [haproxy]\n    vars:\n      check_interval: 300ms\n      services:\n        \
             - {{ name: site, port: 80, group: web, backend_port: 8080, check: /health }}\n",
            Hosts::ROLLING.join(", ")
        );
        self.repository
            .write("inventory.yaml", self.repository.inventory(self.hosts, &groups, "  become: true\n"));
    }

    /// The version that is installed on each host, and the one that answers there.
    pub fn versions(&self) -> Vec<String> {
        let versions = |host: &&str| {
            let script =
                "printf '%s ' $(dpkg-query -W -f '${Version}' cm-site); cat /usr/share/cm-site/version";
            self.hosts.sh(host, script).trim().to_owned()
        };
        Hosts::ROLLING.iter().map(versions).collect()
    }

    /// The servers that the load balancer gives no requests, but for those that a person took out.
    pub fn out(&self) -> Vec<String> {
        let status = self.hosts.sh("lb", "haproxy-server status site");
        status
            .lines()
            .filter(|line| !line.contains(" UP ") && !line.starts_with("site/BACKEND"))
            .map(|line| {
                line.split_whitespace().next().unwrap_or_default().trim_start_matches("site/").to_owned()
            })
            .collect()
    }
}
