//! What is said about hosts that cannot be reached, and how often they are tried.

use std::time::{Duration, Instant};

use cm_transport::{ConnectCause, ConnectError, Connector, ConnectorOptions, Endpoint, Phase};
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::server::{Behaviour, TestServer};

fn connector() -> Connector {
    Connector::new(ConnectorOptions { retry_pause: Duration::from_millis(5), ..ConnectorOptions::default() })
}

fn endpoint(port: u16) -> Endpoint {
    let mut endpoint = Endpoint::new("web3", "127.0.0.1", "admin");
    endpoint.port = port;
    endpoint.agent = cm_transport::AgentUse::None;
    endpoint.connect_timeout = Duration::from_millis(300);
    endpoint
}

async fn fault(endpoint: &Endpoint) -> ConnectError {
    connector().connect(endpoint).await.unwrap_err()
}

#[tokio::test]
async fn a_refused_port_is_tried_as_often_as_wanted() {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = fault(&endpoint(port)).await;
    assert_eq!(error.to_string(), "could not reach `web3`");
    assert_eq!(error.cause.to_string(), format!("127.0.0.1:{port} refused the connection (3 attempts)"));
    assert_eq!(error.attempts, 3);
    assert!(error.is_temporary() && error.hint().unwrap().contains("sshd"));
    let once = Endpoint { attempts: 1, ..endpoint(port) };
    assert_eq!(fault(&once).await.cause.to_string(), format!("127.0.0.1:{port} refused the connection"));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_tried_again() {
    let mut endpoint = endpoint(22);
    endpoint.address = "no-such-host.invalid".to_owned();
    endpoint.connect_timeout = Duration::from_secs(20);
    let error = fault(&endpoint).await;
    assert!(matches!(*error.cause, ConnectCause::UnknownName { .. }), "{error:?}");
    assert_eq!(error.attempts, 1);
    assert!(!error.is_temporary());
    assert!(error.cause.to_string().starts_with("the name `no-such-host.invalid` could not be resolved ("));
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_times_out() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let started = Instant::now();
    let error = fault(&endpoint(port)).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(
        error.cause.to_string(),
        format!("127.0.0.1:{port} did not answer within 0.3 s during the SSH handshake (3 attempts)")
    );
    assert!(error.is_temporary() && error.hint().unwrap().contains("the port answers but sshd does not"));
    holding.abort();
}

#[tokio::test]
async fn something_that_is_not_sshd_is_told_from_sshd_that_is_busy() {
    let closed = "closed the connection during the SSH handshake: ";
    for (greeting, attempts, expected) in [
        ("", 3, format!("{closed}the host closed the connection (3 attempts)")),
        ("Exceeded MaxStartups\r\n", 3, format!("{closed}Exceeded MaxStartups (3 attempts)")),
        (
            "220 mail.example.org ESMTP\r\nhello\r\n",
            1,
            "does not speak SSH as needed: it says `220 mail.example.org ESMTP`".to_owned(),
        ),
        ("SSH-1.5-old\r\n", 1, "does not speak SSH as needed: it says `SSH-1.5-old`".to_owned()),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(greeting.as_bytes()).await;
                let _ = stream.shutdown().await;
                // Reads what comes, or the kernel answers it with a reset.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        });
        let error = fault(&endpoint(port)).await;
        assert_eq!(error.cause.to_string(), format!("127.0.0.1:{port} {expected}"));
        assert_eq!((error.attempts, error.is_temporary()), (attempts, attempts > 1));
        server.abort();
    }
}

#[tokio::test]
async fn connections_that_sshd_drops_under_load_are_tried_again() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour { drop_first: 2, ..Behaviour::default() }).await;
    connector().connect(&server.endpoint(folder.path())).await.unwrap();
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn not_too_many_strangers_knock_at_one_door() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour { stuck_login: true, ..Behaviour::default() }).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.connect_timeout = Duration::from_secs(20);
    let connector =
        Connector::new(ConnectorOptions { handshakes_per_address: 4, ..ConnectorOptions::default() });
    let hosts: Vec<_> = (0..20)
        .map(|_| {
            let (connector, endpoint) = (connector.clone(), endpoint.clone());
            tokio::spawn(async move { connector.connect(&endpoint).await.map(drop) })
        })
        .collect();
    while server.seen.offered.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.connections(), 4);
    hosts.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_given_up_handshake_leaves_no_connection_behind() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-tarpit\r\n").await.unwrap();
        // The other side says its name and offer, then goes: this ends.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let once = Endpoint { attempts: 1, ..endpoint(port) };
    let error = fault(&once).await;
    assert!(matches!(*error.cause, ConnectCause::TimedOut { phase: Phase::Handshake, .. }), "{error:?}");
    let ended = tokio::time::timeout(Duration::from_secs(10), accepted).await;
    let _ = ended.expect("the connection is still open").unwrap();
}
