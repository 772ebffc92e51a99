//! The machine's own sshd, with configuration, keys and log of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cm_transport::{AgentUse, Endpoint};
use tempfile::{TempDir, tempdir};

use crate::tools::{keygen, run, wait_until};

/// A running sshd with host keys, configuration and log of its own.
pub struct Sshd {
    folder: TempDir,
    pub port: u16,
    child: Child,
    pub key: PathBuf,
}

impl Sshd {
    pub fn start(more: &str) -> Self {
        let folder = tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        keygen(folder.path(), "host_ed25519", "ed25519", "");
        let key = keygen(folder.path(), "client", "ed25519", "");
        std::fs::copy(folder.path().join("client.pub"), folder.path().join("authorized_keys")).unwrap();
        let config = folder.path().join("sshd_config");
        let mut file = std::fs::File::create(&config).unwrap();
        writeln!(
            file,
            "ListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nLogLevel DEBUG1\n{more}",
            path("host_ed25519"),
            path("authorized_keys"),
        )
        .unwrap();
        // Where it separates privileges when it runs as root; Debian makes it at boot.
        let _ = std::fs::create_dir("/run/sshd");
        for _ in 0..5 {
            let port = {
                let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
                listener.local_addr().unwrap().port()
            };
            let mut child = Command::new("/usr/sbin/sshd")
                .args(["-D", "-f", config.to_str().unwrap(), "-E", &path("log"), "-p", &port.to_string()])
                .stdin(Stdio::null())
                .spawn()
                .expect("sshd (Debian: openssh-server)");
            let log = folder.path().join("log");
            let mut listens = false;
            wait_until("sshd listens or ends", || {
                listens =
                    std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Server listening on"));
                listens || child.try_wait().unwrap().is_some()
            });
            if listens {
                return Self { folder, port, child, key };
            }
            assert!(
                std::fs::read_to_string(&log).unwrap_or_default().contains("Address already in use"),
                "{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
        }
        panic!("no free port for sshd");
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn endpoint(&self) -> Endpoint {
        let user = run("id", &["-un"]).trim().to_owned();
        let mut endpoint = Endpoint::new("real", "127.0.0.1", user);
        endpoint.port = self.port;
        endpoint.agent = AgentUse::None;
        endpoint.identities = vec![self.key.clone()];
        endpoint.known_hosts = vec![self.path().join("known_hosts")];
        let key = std::fs::read_to_string(self.path().join("host_ed25519.pub")).unwrap();
        std::fs::write(&endpoint.known_hosts[0], format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
        endpoint
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path().join("log")).unwrap()).into_owned()
    }

    pub fn count(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }

    /// Time for `ssh host true` with OpenSSH's client.
    pub fn time_openssh(&self, more: &[&str]) -> Duration {
        let started = Instant::now();
        let status = Command::new("ssh")
            .args(["-F", "none", "-p", &self.port.to_string(), "-i", self.key.to_str().unwrap()])
            .args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "IdentityAgent=none"])
            .args(["-o", &format!("UserKnownHostsFile={}", self.path().join("known_hosts").display())])
            .args(more)
            .args(["127.0.0.1", "true"])
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        started.elapsed()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
