//! Who is let in, with which key, and what a refusal says.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cm_transport::{
    AgentUse, AskPassphrase, ConnectCause, Connector, ConnectorOptions, ExitStatus, Passphrase, Phase,
};
use russh::keys::load_public_key;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Behaviour, TestServer, new_key, write_key};
use crate::tools::{Agent, keygen};

fn connector() -> Connector {
    Connector::new(ConnectorOptions { retry_pause: Duration::from_millis(5), ..ConnectorOptions::default() })
}

/// A connector that answers questions for passphrases and counts them.
fn asked(answer: Option<&'static str>) -> (Connector, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let ask: AskPassphrase = {
        let count = Arc::clone(&count);
        Arc::new(move |_file: PathBuf| {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { answer.map(|text| Passphrase::new(text.to_owned())) })
        })
    };
    let options = ConnectorOptions { passphrase: Some(ask), ..ConnectorOptions::default() };
    (Connector::new(options), count)
}

fn strict(authorized: &[PathBuf]) -> Behaviour {
    Behaviour {
        authorize_all: false,
        authorized: authorized
            .iter()
            .map(|key| load_public_key(format!("{}.pub", key.display())).unwrap())
            .collect(),
        ..Behaviour::default()
    }
}

#[tokio::test]
async fn a_key_file_logs_in_over_one_connection_and_one_channel() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection = connector().connect(&server.endpoint(folder.path())).await.unwrap();
    assert_eq!(
        connection.host_key_fingerprint(),
        Some(server.host_key.fingerprint(russh::keys::HashAlg::Sha256).to_string().as_str())
    );
    let mut session = connection.exec("echo").await.unwrap();
    session.stdin.write_all(b"hello").await.unwrap();
    session.stdin.shutdown().await.unwrap();
    let mut output = String::new();
    session.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "hello");
    assert_eq!(session.exit.await, Ok(ExitStatus::Code(0)));
    connection.close().await;
    assert_eq!((server.connections(), server.sessions()), (1, 1));
}

#[tokio::test]
async fn a_connection_runs_over_any_stream() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let endpoint = server.endpoint(folder.path());
    let (near, far) = tokio::io::duplex(64 * 1024);
    let behaviour = Behaviour::default();
    let key = behaviour.host_keys[0].public_key().to_openssh().unwrap();
    std::fs::write(&endpoint.known_hosts[0], format!("127.0.0.1 {key}\n")).unwrap();
    tokio::spawn(crate::server::serve(Arc::new(behaviour), Arc::default(), far));
    let mut connection = connector().connect_over(&endpoint, near).await.unwrap();
    let session = connection.exec("exit 7").await.unwrap();
    let (mut stderr, exit) = (session.stderr, session.exit);
    assert_eq!(exit.await, Ok(ExitStatus::Code(7)));
    assert_eq!(stderr.end().await, b"goodbye\n");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn every_kind_of_key_file_is_read() {
    let folder = tempdir().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = keygen(folder.path(), kind, kind, "");
        let server = TestServer::start(strict(std::slice::from_ref(&key))).await;
        let mut endpoint = server.endpoint(tempdir().unwrap().path());
        endpoint.known_hosts = vec![folder.path().join("known_hosts")];
        std::fs::write(&endpoint.known_hosts[0], server.known_hosts_line()).unwrap();
        endpoint.identities = vec![key];
        connector()
            .connect(&endpoint)
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}: {:?}", error.cause));
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_for_many_hosts() {
    let folder = tempdir().unwrap();
    let key = keygen(folder.path(), "locked", "ed25519", "secret");
    let server = TestServer::start(strict(std::slice::from_ref(&key))).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities = vec![key];
    let (connector, count) = asked(Some("secret"));
    let hosts: Vec<_> = (0..5)
        .map(|_| {
            let (connector, endpoint) = (connector.clone(), endpoint.clone());
            tokio::spawn(async move { connector.connect(&endpoint).await.map(drop) })
        })
        .collect();
    for host in hosts {
        host.await.unwrap().unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_is_asked_for_a_key_that_the_host_refuses_or_the_agent_holds() {
    let folder = tempdir().unwrap();
    let locked = keygen(folder.path(), "locked", "ed25519", "secret");
    let server = TestServer::start(strict(&[])).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities = vec![locked.clone()];
    let (connector, count) = asked(Some("secret"));
    let error = connector.connect(&endpoint).await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::AuthenticationRefused { .. }), "{error:?}");

    // The agent gets the same key from a copy without a passphrase.
    let open = folder.path().join("open");
    std::fs::copy(&locked, &open).unwrap();
    crate::tools::run("ssh-keygen", &["-q", "-p", "-P", "secret", "-N", "", "-f", open.to_str().unwrap()]);
    let agent = Agent::start(folder.path());
    agent.add(&open);
    let server = TestServer::start(strict(std::slice::from_ref(&locked))).await;
    let mut endpoint = server.endpoint(tempdir().unwrap().path());
    endpoint.known_hosts = vec![folder.path().join("known_hosts")];
    std::fs::write(&endpoint.known_hosts[0], server.known_hosts_line()).unwrap();
    endpoint.identities = vec![locked];
    endpoint.agent = AgentUse::Path(agent.socket.clone());
    connector.connect(&endpoint).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn wrong_and_missing_passphrases_are_told_apart() {
    let folder = tempdir().unwrap();
    let key = keygen(folder.path(), "locked", "ed25519", "secret");
    let server = TestServer::start(strict(std::slice::from_ref(&key))).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities = vec![key.clone()];
    for (answer, expected, count_expected) in [(Some("wrong"), true, 1), (None, false, 1)] {
        let (connector, count) = asked(answer);
        for _ in 0..2 {
            let error = connector.connect(&endpoint).await.unwrap_err();
            assert!(!error.is_temporary());
            let hint = error.hint().unwrap();
            assert!(hint.contains("ssh-add"), "{hint}");
            match *error.cause {
                ConnectCause::Passphrase { file, given, .. } => {
                    assert_eq!((file, given), (key.clone(), expected))
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(count.load(Ordering::SeqCst), count_expected);
    }
}

#[tokio::test]
async fn the_named_key_comes_before_a_full_agent() {
    let folder = tempdir().unwrap();
    let agent = Agent::start(folder.path());
    for number in 0..7 {
        agent.add(&keygen(folder.path(), &format!("other{number}"), "ed25519", ""));
    }
    let named = keygen(folder.path(), "named", "ed25519", "");
    let default = keygen(folder.path(), "default", "ed25519", "");
    let server = TestServer::start(strict(std::slice::from_ref(&named))).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities = vec![named.clone()];
    endpoint.default_identities = vec![default];
    endpoint.agent = AgentUse::Path(agent.socket.clone());
    connector().connect(&endpoint).await.unwrap();
    let offered = server.seen.offered.lock().unwrap().clone();
    let public = load_public_key(folder.path().join("named.pub")).unwrap();
    assert!(offered.iter().all(|key| key.key_data() == public.key_data()), "{offered:?}");
}

#[tokio::test]
async fn too_many_agent_keys_end_in_a_refusal_that_lists_them() {
    let folder = tempdir().unwrap();
    let agent = Agent::start(folder.path());
    for number in 0..8 {
        agent.add(&keygen(folder.path(), &format!("other{number}"), "ed25519", ""));
    }
    let server = TestServer::start(Behaviour { max_auth_attempts: 3, ..strict(&[]) }).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities = Vec::new();
    endpoint.agent = AgentUse::Path(agent.socket.clone());
    let error = connector().connect(&endpoint).await.unwrap_err();
    let details = error.details();
    assert_eq!(details.len(), 8, "{details:#?}");
    assert!(
        details[0].contains("agent: other0 (ssh-ed25519 SHA256:") && details[0].ends_with("refused"),
        "{details:#?}"
    );
    assert!(details[7].contains("not tried"), "{details:#?}");
    assert_eq!(server.connections(), 1, "a refusal is not tried again");
}

#[tokio::test]
async fn identities_only_leaves_other_agent_keys_alone() {
    let folder = tempdir().unwrap();
    let agent = Agent::start(folder.path());
    let in_agent = keygen(folder.path(), "in-agent", "ed25519", "");
    agent.add(&in_agent);
    let server = TestServer::start(strict(std::slice::from_ref(&in_agent))).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.agent = AgentUse::Path(agent.socket.clone());
    endpoint.identities_only = true;
    assert!(connector().connect(&endpoint).await.is_err());
    endpoint.identities_only = false;
    connector().connect(&endpoint).await.unwrap();
    // The public half alone says which of the agent's keys is meant.
    endpoint.identities_only = true;
    endpoint.identities = vec![folder.path().join("in-agent.pub")];
    connector().connect(&endpoint).await.unwrap();
}

#[tokio::test]
async fn a_refusal_says_what_was_tried_and_what_the_host_takes() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(strict(&[])).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities.push(folder.path().join("missing"));
    let error = connector().connect(&endpoint).await.unwrap_err();
    assert_eq!(error.to_string(), "could not log in to `web1` as `admin`");
    let cause = error.cause.to_string();
    assert!(
        cause.starts_with(&format!("{} refused to log in `admin` (it accepts: ", server.address)),
        "{cause}"
    );
    assert!(cause.contains("publickey"), "{cause}");
    let details = error.details();
    assert!(details[0].ends_with("missing: there is no such file"), "{details:#?}");
    assert!(
        details[1].contains("/key (ssh-ed25519 SHA256:") && details[1].ends_with("refused"),
        "{details:#?}"
    );
    assert!(error.hint().unwrap().contains("~admin/.ssh/authorized_keys"));
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn key_files_that_cannot_be_used_are_named() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(strict(&[])).await;
    let open = write_key(folder.path(), "open-to-all", &new_key());
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let rubbish = folder.path().join("rubbish");
    std::fs::write(&rubbish, "this is no key").unwrap();
    std::fs::set_permissions(&rubbish, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (path, expected) in [
        (open, "its mode 0644 is too open; a private key must be 0600"),
        (rubbish, "it is not a private key that can be read"),
        (folder.path().to_owned(), "it is not a file"),
        (folder.path().join("missing"), "there is no such file"),
    ] {
        let mut endpoint = server.endpoint(folder.path());
        endpoint.identities = vec![path.clone()];
        let error = connector().connect(&endpoint).await.unwrap_err();
        match &*error.cause {
            ConnectCause::KeyFile { file, reason, .. } => {
                assert_eq!(*file, path);
                assert!(reason.starts_with(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn without_any_key_the_error_says_so() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(strict(&[])).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.identities = Vec::new();
    endpoint.default_identities = vec![folder.path().join("id_ed25519")];
    let error = connector().connect(&endpoint).await.unwrap_err();
    assert_eq!(error.details(), Vec::<String>::new());
    assert_eq!(error.hint().unwrap(), "no key was found: name one with `key:`, or load it with `ssh-add`");
}

#[tokio::test]
async fn an_agent_that_does_not_answer_does_not_keep_a_key_file_out() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let socket = folder.path().join("stuck.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut endpoint = server.endpoint(folder.path());
    endpoint.agent = AgentUse::Path(socket);
    endpoint.connect_timeout = Duration::from_millis(300);
    connector().connect(&endpoint).await.unwrap();
    endpoint.agent = AgentUse::Path(folder.path().join("no-such.sock"));
    connector().connect(&endpoint).await.unwrap();
}

#[tokio::test]
async fn a_host_that_hangs_while_logging_in_is_given_up() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour { stuck_login: true, ..Behaviour::default() }).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.connect_timeout = Duration::from_millis(300);
    let error = connector().connect(&endpoint).await.unwrap_err();
    assert!(matches!(*error.cause, ConnectCause::TimedOut { phase: Phase::Authentication, .. }), "{error:?}");
    assert_eq!(
        error.cause.to_string(),
        format!("{} did not answer within 0.3 s during authentication", server.address)
    );
    assert_eq!(server.connections(), 1, "keys are not offered again and again");
}
