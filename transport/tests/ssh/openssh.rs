//! Against the machine's own sshd: what is negotiated, what it counts, how long it takes.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use cm_transport::{AgentUse, Connector, ConnectorOptions, ExitStatus};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::sshd::Sshd;
use crate::tools::{Agent, keygen, run, wait_until};

const SOON: Duration = Duration::from_secs(60);

fn connector() -> Connector {
    Connector::new(ConnectorOptions::default())
}

/// Says whether the OpenSSH here is at least of a version.
fn openssh_is_at_least(major: u32, minor: u32) -> bool {
    let output = Command::new("ssh").arg("-V").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.strip_prefix("OpenSSH_").unwrap();
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>());
    let found = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
    found >= (major, minor)
}

#[tokio::test]
async fn one_connection_one_channel_and_cheap_strong_algorithms() {
    let sshd = Sshd::start("");
    let mut connection = connector().connect(&sshd.endpoint()).await.unwrap();
    let mut session = connection.exec("cat; echo oops >&2; exit 3").await.unwrap();
    let data: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    // One task writes all before it reads anything.
    timeout(SOON, session.stdin.write_all(&data)).await.expect("writing waits for reading").unwrap();
    session.stdin.shutdown().await.unwrap();
    let mut back = Vec::new();
    timeout(SOON, session.stdout.read_to_end(&mut back)).await.unwrap().unwrap();
    assert!(back == data);
    assert_eq!(session.stderr.end().await, b"oops\n");
    assert_eq!(session.exit.await, Ok(ExitStatus::Code(3)));
    connection.close().await;
    wait_until("sshd has noticed the end", || sshd.count("Disconnected from user") > 0);
    assert_eq!(sshd.count("Connection from 127.0.0.1"), 1);
    assert_eq!(sshd.count("server_input_channel_open: ctype session"), 1);
    let log = sshd.log();
    let kex = if openssh_is_at_least(9, 9) { "mlkem768x25519-sha256" } else { "curve25519-sha256" };
    assert!(log.contains(&format!("kex: algorithm: {kex} ")), "{log}");
    let has_aes = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default().contains(" aes");
    if has_aes {
        assert!(log.contains("cipher: aes256-gcm@openssh.com"), "{log}");
    }
}

#[tokio::test]
async fn keys_are_changed_in_the_middle_of_traffic_both_ways() {
    let sshd = Sshd::start("RekeyLimit 1M");
    let mut connection = connector().connect(&sshd.endpoint()).await.unwrap();
    let mut session = connection.exec("cat").await.unwrap();
    let data: Vec<u8> = (0..24 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        session.stdin.write_all(&sent).await.unwrap();
        session.stdin.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    timeout(SOON, session.stdout.read_to_end(&mut back)).await.unwrap().unwrap();
    assert!(back == data);
    timeout(SOON, writer).await.unwrap().unwrap();
    assert_eq!(session.exit.await, Ok(ExitStatus::Code(0)));
    let changes = sshd.count("SSH2_MSG_NEWKEYS received") - 1;
    eprintln!("keys were changed {changes} times in 24 MiB both ways");
    assert!(changes >= 5, "{changes}");
}

#[tokio::test]
async fn user_certificates_log_in_from_files_and_from_an_agent() {
    for kind in ["ed25519", "rsa"] {
        let authority_folder = tempdir().unwrap();
        let authority = keygen(authority_folder.path(), "authority", "ed25519", "");
        let sshd = Sshd::start(&format!(
            "TrustedUserCAKeys {}.pub\nPubkeyAcceptedAlgorithms \
             ssh-ed25519-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com",
            authority.display()
        ));
        let mut endpoint = sshd.endpoint();
        let key = keygen(sshd.path(), "certified", kind, "");
        let public = format!("{}.pub", key.display());
        run(
            "ssh-keygen",
            &["-q", "-s", authority.to_str().unwrap(), "-I", "an operator", "-n", &endpoint.user, &public],
        );
        endpoint.identities = vec![key.clone()];
        connector().connect(&endpoint).await.unwrap_or_else(|e| panic!("{kind}: {e}: {:?}", e.cause));
        assert!(sshd.count("Accepted publickey") == 1 && sshd.count("ID an operator") > 0, "{}", sshd.log());

        // The certificate elsewhere, the key in the agent only.
        let certificate = sshd.path().join("moved-cert.pub");
        std::fs::rename(sshd.path().join("certified-cert.pub"), &certificate).unwrap();
        let agent = Agent::start(sshd.path());
        agent.add(&key);
        let mut by_agent = endpoint.clone();
        by_agent.identities = Vec::new();
        by_agent.certificates = vec![certificate];
        by_agent.agent = AgentUse::Path(agent.socket.clone());
        connector().connect(&by_agent).await.unwrap_or_else(|e| panic!("{kind}: {e}: {:?}", e.cause));
        assert_eq!(sshd.count("Accepted publickey"), 2);
    }
}

#[tokio::test]
async fn an_agent_key_logs_in_and_rsa_uses_the_best_hash() {
    let sshd = Sshd::start("PubkeyAcceptedAlgorithms rsa-sha2-512\nMaxAuthTries 2");
    let agent = Agent::start(sshd.path());
    let key = keygen(sshd.path(), "rsa", "rsa", "");
    std::fs::copy(sshd.path().join("rsa.pub"), sshd.path().join("authorized_keys")).unwrap();
    agent.add(&key);
    let mut endpoint = sshd.endpoint();
    endpoint.identities = Vec::new();
    endpoint.agent = AgentUse::Path(agent.socket.clone());
    connector().connect(&endpoint).await.unwrap();
    endpoint.identities = vec![key];
    endpoint.agent = AgentUse::None;
    connector().connect(&endpoint).await.unwrap();
    assert_eq!(sshd.count("Accepted publickey"), 2);
}

#[tokio::test]
async fn the_named_key_is_first_where_the_server_counts_to_two() {
    let sshd = Sshd::start("MaxAuthTries 2");
    let agent = Agent::start(sshd.path());
    for number in 0..4 {
        agent.add(&keygen(sshd.path(), &format!("other{number}"), "ed25519", ""));
    }
    let mut endpoint = sshd.endpoint();
    endpoint.agent = AgentUse::Path(agent.socket.clone());
    connector().connect(&endpoint).await.unwrap();
    endpoint.identities = Vec::new();
    let error = connector().connect(&endpoint).await.unwrap_err();
    let details = error.details();
    assert_eq!(details.len(), 4, "{details:#?}");
    assert!(details[0].ends_with("refused"), "{details:#?}");
    assert!(details[3].contains("not tried"), "{details:#?}");
}

#[tokio::test]
async fn a_command_that_reads_nothing_holds_its_writer_at_the_window() {
    let sshd = Sshd::start("");
    let mut connection = connector().connect(&sshd.endpoint()).await.unwrap();
    let mut session = connection.exec("echo $$; exec sleep 600").await.unwrap();
    let mut pid = String::new();
    while !pid.ends_with('\n') {
        pid.push(char::from(session.stdout.read_u8().await.unwrap()));
    }
    let block = vec![0; 32 * 1024];
    let mut taken = 0;
    while let Ok(count) = timeout(Duration::from_millis(700), session.stdin.write(&block)).await {
        taken += count.unwrap();
    }
    eprintln!("{} KiB were taken for a command that reads nothing", taken / 1024);
    assert!(taken <= 4 * 1024 * 1024, "{taken}");
    // The command ends under the blocked writer.
    let writer = tokio::spawn(async move { session.stdin.write_all(&vec![0; 8 * 1024 * 1024]).await });
    run("kill", &["-KILL", pid.trim()]);
    let error = timeout(SOON, writer).await.expect("the writer hangs").unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(session.exit.await, Ok(ExitStatus::Signal("KILL".to_owned())));
    connection.close().await;
}

#[tokio::test]
async fn a_real_sshd_serves_as_a_jump_host() {
    let (bastion, target) = (Sshd::start(""), Sshd::start(""));
    let mut endpoint = target.endpoint();
    endpoint.jump = vec![bastion.endpoint()];
    let connector = connector();
    let hosts: Vec<_> = (0..12)
        .map(|_| {
            let (connector, endpoint) = (connector.clone(), endpoint.clone());
            tokio::spawn(async move {
                let mut connection = connector.connect(&endpoint).await.unwrap();
                let session = connection.exec("true").await.unwrap();
                assert_eq!(session.exit.await, Ok(ExitStatus::Code(0)));
            })
        })
        .collect();
    for host in hosts {
        host.await.unwrap();
    }
    assert_eq!(bastion.count("Connection from 127.0.0.1"), 1);
    assert_eq!(target.count("Connection from 127.0.0.1"), 12);
}

#[tokio::test]
async fn forwarding_that_is_forbidden_is_told() {
    let (bastion, target) = (Sshd::start("AllowTcpForwarding no"), Sshd::start(""));
    let mut endpoint = target.endpoint();
    endpoint.jump = vec![bastion.endpoint()];
    endpoint.attempts = 1;
    let error = connector().connect(&endpoint).await.unwrap_err();
    let text = error.cause.to_string();
    assert!(text.starts_with("jump host `real` could not open a connection to 127.0.0.1:"), "{text}");
    assert!(text.contains("administratively prohibited") || text.contains("open failed"), "{text}");
}

#[tokio::test]
async fn a_proxy_command_carries_the_connection() {
    let sshd = Sshd::start("");
    let script = sshd.path().join("proxy.sh");
    // No netcat: ssh itself is the tunnel.
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nexec ssh -F none -o BatchMode=yes -o IdentityAgent=none -o UserKnownHostsFile={} -i {} -p {} -W 127.0.0.1:{} 127.0.0.1\n",
            sshd.path().join("known_hosts").display(),
            sshd.key.display(),
            sshd.port,
            sshd.port
        ),
    )
    .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut endpoint = sshd.endpoint();
    endpoint.proxy_command = Some(script.display().to_string());
    let mut connection = connector().connect(&endpoint).await.unwrap();
    let session = connection.exec("exit 4").await.unwrap();
    assert_eq!(session.exit.await, Ok(ExitStatus::Code(4)));
    assert_eq!(sshd.count("Connection from 127.0.0.1"), 2);

    endpoint.attempts = 1;
    endpoint.proxy_command = Some("sh -c 'echo first >&2; echo no way there >&2; exit 1'".to_owned());
    let error = connector().connect(&endpoint).await.unwrap_err();
    let text = error.cause.to_string();
    assert!(text.ends_with("the proxy command says: no way there"), "{text}");
}

#[tokio::test]
async fn many_hosts_at_one_address_get_past_the_limit_for_strangers() {
    let sshd = Sshd::start("MaxStartups 3:100:3");
    let mut endpoint = sshd.endpoint();
    endpoint.attempts = 8;
    let connector = connector();
    let hosts: Vec<_> = (0..16)
        .map(|_| {
            let (connector, endpoint) = (connector.clone(), endpoint.clone());
            tokio::spawn(async move { connector.connect(&endpoint).await.map(drop) })
        })
        .collect();
    for host in hosts {
        host.await.unwrap().unwrap_or_else(|error| panic!("{error}: {}", error.cause));
    }
}

#[tokio::test]
async fn connecting_takes_less_time_than_ssh_host_true() {
    const ROUNDS: usize = 7;
    let sshd = Sshd::start("MaxStartups 100");
    let endpoint = sshd.endpoint();
    let (mut ours, mut theirs, mut theirs_fast) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut connection = connector().connect(&endpoint).await.unwrap();
        let connected = started.elapsed();
        let session = connection.exec("true").await.unwrap();
        assert_eq!(session.exit.await, Ok(ExitStatus::Code(0)));
        ours.push((started.elapsed(), connected));
        connection.close().await;
        theirs.push(sshd.time_openssh(&[]));
        theirs_fast.push(sshd.time_openssh(&["-o", "KexAlgorithms=curve25519-sha256"]));
    }
    ours.sort();
    theirs.sort();
    theirs_fast.sort();
    let (whole, connected) = ours[ROUNDS / 2];
    let (ssh, fast) = (theirs[ROUNDS / 2], theirs_fast[ROUNDS / 2]);
    eprintln!(
        "median of {ROUNDS}: ours {whole:?} (connected after {connected:?}), `ssh host true` {ssh:?} (ratio {:.2}), \
         with curve25519 {fast:?} (ratio {:.2})",
        whole.as_secs_f64() / ssh.as_secs_f64(),
        whole.as_secs_f64() / fast.as_secs_f64()
    );
    let connector = connector();
    let started = Instant::now();
    let hosts: Vec<_> = (0..16)
        .map(|_| {
            let (connector, endpoint) = (connector.clone(), endpoint.clone());
            tokio::spawn(async move {
                let mut connection = connector.connect(&endpoint).await.unwrap();
                connection.exec("true").await.unwrap().exit.await.unwrap();
            })
        })
        .collect();
    for host in hosts {
        host.await.unwrap();
    }
    let parallel = started.elapsed();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| sshd.time_openssh(&["-o", "ConnectionAttempts=3"]));
        }
    });
    let parallel_ssh = started.elapsed();
    eprintln!(
        "16 at a time: ours {parallel:?}, `ssh host true` {parallel_ssh:?} (ratio {:.2})",
        parallel.as_secs_f64() / parallel_ssh.as_secs_f64()
    );
    // A loose bound, for busy machines; without TCP_NODELAY and quick ACKs it is 80 ms more.
    assert!(whole < ssh * 2, "{whole:?} against {ssh:?}");
}
