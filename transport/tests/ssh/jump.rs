//! Hosts behind other hosts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cm_transport::{ConnectCause, Connector, ConnectorOptions, ExitStatus};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::server::{Behaviour, TestServer};

const SOON: Duration = Duration::from_secs(30);

fn connector() -> Connector {
    Connector::new(ConnectorOptions { retry_pause: Duration::from_millis(5), ..ConnectorOptions::default() })
}

#[tokio::test]
async fn one_connection_to_a_jump_host_carries_all_hosts_behind_it() {
    let folder = tempdir().unwrap();
    let (outer, inner) =
        (TestServer::start(Behaviour::default()).await, TestServer::start(Behaviour::default()).await);
    let target = TestServer::start(Behaviour::default()).await;
    let mut endpoint = target.endpoint(folder.path());
    let mut first = outer.endpoint(folder.path());
    first.host = "outer".to_owned();
    let mut second = inner.endpoint(folder.path());
    second.host = "inner".to_owned();
    endpoint.jump = vec![first, second];
    let connector = connector();
    let hosts: Vec<_> = (0..8)
        .map(|number| {
            let (connector, mut endpoint) = (connector.clone(), endpoint.clone());
            endpoint.host = format!("web{number}");
            tokio::spawn(async move {
                let mut connection = connector.connect(&endpoint).await.unwrap();
                let mut session = connection.exec("echo").await.unwrap();
                session.stdin.write_all(endpoint.host.as_bytes()).await.unwrap();
                session.stdin.shutdown().await.unwrap();
                let mut output = String::new();
                session.stdout.read_to_string(&mut output).await.unwrap();
                assert_eq!(output, endpoint.host);
                assert_eq!(session.exit.await, Ok(ExitStatus::Code(0)));
            })
        })
        .collect();
    for host in hosts {
        host.await.unwrap();
    }
    assert_eq!((outer.connections(), inner.connections(), target.connections()), (1, 1, 8));
    assert_eq!(inner.seen.forwards.load(Ordering::SeqCst), 8);
    assert_eq!(outer.sessions() + inner.sessions(), 0);
    connector.close().await;
}

#[tokio::test]
async fn a_jump_host_that_is_down_is_tried_once_for_all() {
    let folder = tempdir().unwrap();
    let target = TestServer::start(Behaviour::default()).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut endpoint = target.endpoint(folder.path());
    let mut bastion = endpoint.clone();
    bastion.host = "bastion".to_owned();
    bastion.port = port;
    bastion.attempts = 2;
    endpoint.jump = vec![bastion];
    let connector = connector();
    for _ in 0..3 {
        let error = connector.connect(&endpoint).await.unwrap_err();
        assert_eq!(error.to_string(), "could not reach `web1`");
        assert_eq!(error.cause.to_string(), "the way through jump host `bastion` is closed");
        let ConnectCause::Jump { source, .. } = &*error.cause else { panic!("{error:?}") };
        assert_eq!(source.cause.to_string(), format!("127.0.0.1:{port} refused the connection (2 attempts)"));
        assert_eq!(error.attempts, 1);
        assert!(error.hint().unwrap().contains("`bastion`"));
    }
}

#[tokio::test]
async fn a_jump_host_that_cannot_reach_the_host_is_told_from_one_that_is_down() {
    let folder = tempdir().unwrap();
    let bastion = TestServer::start(Behaviour::default()).await;
    let target = TestServer::start(Behaviour::default()).await;
    let mut endpoint = target.endpoint(folder.path());
    endpoint.jump = vec![bastion.endpoint(folder.path())];
    endpoint.jump[0].host = "bastion".to_owned();
    let connector = connector();
    let mut unreachable = endpoint.clone();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    unreachable.port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = connector.connect(&unreachable).await.unwrap_err();
    assert!(
        matches!(&*error.cause, ConnectCause::JumpRefused { jump, .. } if jump == "bastion"),
        "{error:?}"
    );
    assert_eq!(error.attempts, 3);
    // The jump host itself is as good as before.
    connector.connect(&endpoint).await.unwrap();
    assert_eq!(bastion.connections(), 1);
}

#[tokio::test]
async fn a_jump_connection_that_was_lost_is_made_anew() {
    let folder = tempdir().unwrap();
    let target = TestServer::start(Behaviour::default()).await;
    let mut endpoint = target.endpoint(folder.path());
    let key = crate::server::new_key();
    let bastion = TestServer::start(Behaviour { host_keys: vec![key.clone()], ..Behaviour::default() }).await;
    endpoint.jump = vec![bastion.endpoint(folder.path())];
    let connector = connector();
    let mut connection = connector.connect(&endpoint).await.unwrap();
    let mut session = connection.exec("hang").await.unwrap();
    session.stdout.read_exact(&mut [0; 5]).await.unwrap();
    bastion.cut_all();
    let error = timeout(SOON, session.stdout.read_u8()).await.unwrap().unwrap_err();
    eprintln!("behind a lost jump host: {error}");
    // A new one at the same place.
    let port = bastion.address.port();
    drop(bastion);
    let listener = loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let behaviour = Behaviour { host_keys: vec![key], ..Behaviour::default() };
        crate::server::serve(behaviour.into(), std::sync::Arc::default(), stream).await;
    });
    timeout(SOON, connector.connect(&endpoint)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_behind_a_jump_host_does_not_slow_its_neighbour() {
    let folder = tempdir().unwrap();
    let bastion = TestServer::start(Behaviour::default()).await;
    let target = TestServer::start(Behaviour::default()).await;
    let mut endpoint = target.endpoint(folder.path());
    endpoint.jump = vec![bastion.endpoint(folder.path())];
    let connector = connector();
    let mut slow = connector.connect(&endpoint).await.unwrap();
    let mut quick = connector.connect(&endpoint).await.unwrap();
    // 32 MiB for one that reads nothing, through the same jump connection.
    let flooded = slow.exec(&format!("flood {}", 32 * 1024 * 1024)).await.unwrap();
    let unread = flooded.stdout;
    for _ in 0..20 {
        let mut session = quick.exec("echo").await.unwrap();
        session.stdin.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        timeout(SOON, session.stdout.read_exact(&mut answer)).await.expect("the neighbour waits").unwrap();
    }
    assert_eq!(timeout(SOON, flooded.exit).await.unwrap(), Ok(ExitStatus::Code(0)));
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_behind_a_jump_host_that_takes_nothing_does_not_slow_its_neighbour() {
    let folder = tempdir().unwrap();
    let bastion = TestServer::start(Behaviour::default()).await;
    let target = TestServer::start(Behaviour::default()).await;
    let mut endpoint = target.endpoint(folder.path());
    endpoint.jump = vec![bastion.endpoint(folder.path())];
    let connector = connector();
    let mut stuck = connector.connect(&endpoint).await.unwrap();
    let mut quick = connector.connect(&endpoint).await.unwrap();
    let mut deaf = stuck.exec("deaf").await.unwrap();
    let writer = tokio::spawn(async move {
        let block = vec![0; 256 * 1024];
        while deaf.stdin.write_all(&block).await.is_ok() {}
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..20 {
        let mut session = quick.exec("echo").await.unwrap();
        session.stdin.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        timeout(SOON, session.stdout.read_exact(&mut answer)).await.expect("the neighbour waits").unwrap();
    }
    assert!(!writer.is_finished());
    writer.abort();
}
