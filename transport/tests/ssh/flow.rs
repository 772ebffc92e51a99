//! Nobody's slowness is anybody else's: bounded memory, no deadlocks, keepalives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cm_transport::{Connection, Connector, ConnectorOptions, Endpoint, ExitStatus, SessionError};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::server::{Behaviour, TestServer, pattern_byte};

const SOON: Duration = Duration::from_secs(30);

fn connector() -> Connector {
    Connector::new(ConnectorOptions { retry_pause: Duration::from_millis(5), ..ConnectorOptions::default() })
}

/// Sends a word and waits for it to come back.
async fn works(connection: &mut Connection) {
    let mut session = connection.exec("echo").await.unwrap();
    session.stdin.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    timeout(SOON, session.stdout.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"ping");
    session.stdin.shutdown().await.unwrap();
    assert_eq!(timeout(SOON, session.exit).await.unwrap(), Ok(ExitStatus::Code(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_nobody_reads_is_in_nobodys_way_and_is_not_lost() {
    const SIZE: usize = 48 * 1024 * 1024;
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let endpoint = server.endpoint(folder.path());
    let connector = connector();
    let mut flooded = connector.connect(&endpoint).await.unwrap();
    let mut other = connector.connect(&endpoint).await.unwrap();
    works(&mut other).await;
    let mut session = flooded.exec(&format!("flood {SIZE}")).await.unwrap();
    // All of it is taken although nobody reads: the command can end.
    assert_eq!(timeout(SOON, session.exit).await.unwrap(), Ok(ExitStatus::Code(0)));
    works(&mut other).await;
    let mut at = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = session.stdout.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            assert_eq!(*byte, pattern_byte(at), "at {at}");
            at += 1;
        }
    }
    assert_eq!(at, SIZE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_never_stops_talking_is_held_when_the_limit_is_reached() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection = connector().connect(&server.endpoint(folder.path())).await.unwrap();
    let mut session = connection.exec(&format!("flood {}", 200 * 1024 * 1024)).await.unwrap();
    let mut exit = session.exit;
    assert!(timeout(Duration::from_secs(3), &mut exit).await.is_err(), "200 MiB went into 64 MiB");
    let read = async {
        let mut total = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match session.stdout.read(&mut buffer).await.unwrap() {
                0 => break total,
                count => total += count,
            }
        }
    };
    assert_eq!(timeout(SOON, read).await.unwrap(), 200 * 1024 * 1024);
    assert_eq!(exit.await, Ok(ExitStatus::Code(0)));
}

#[tokio::test]
async fn writing_everything_before_reading_anything_does_not_deadlock() {
    const SIZE: usize = 16 * 1024 * 1024;
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection = connector().connect(&server.endpoint(folder.path())).await.unwrap();
    let mut session = connection.exec("echo").await.unwrap();
    let data: Vec<u8> = (0..SIZE).map(pattern_byte).collect();
    timeout(SOON, session.stdin.write_all(&data)).await.expect("writing waits for reading").unwrap();
    session.stdin.shutdown().await.unwrap();
    let mut back = Vec::new();
    timeout(SOON, session.stdout.read_to_end(&mut back)).await.unwrap().unwrap();
    assert!(back == data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_nothing_holds_its_writer_and_nobody_else() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.keepalive = Duration::from_millis(500);
    endpoint.keepalive_max = 1;
    let connector = connector();
    let mut stuck = connector.connect(&endpoint).await.unwrap();
    let mut other = connector.connect(&endpoint).await.unwrap();
    let mut session = stuck.exec("deaf").await.unwrap();
    let started = Instant::now();
    let block = vec![7; 64 * 1024];
    let mut taken = 0;
    let error = loop {
        match timeout(SOON, session.stdin.write(&block)).await.expect("a dead host is noticed") {
            Ok(count) => taken += count,
            Err(error) => break error,
        }
        assert!(taken < 16 * 1024 * 1024, "{taken} bytes taken for a host that reads nothing");
    };
    eprintln!("{taken} bytes were taken, then after {:?}: {error}", started.elapsed());
    works(&mut other).await;
    let error = session.stdout.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(matches!(session.exit.await, Err(SessionError::Lost { .. })));
}

/// A TCP proxy that can stop passing anything on without closing.
struct Proxy {
    port: u16,
    frozen: Arc<watch::Sender<bool>>,
}

impl Proxy {
    async fn before(server: &TestServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (frozen, state) = watch::channel(false);
        let target = server.address;
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(target).await.unwrap();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                for (mut read, mut write) in [
                    (
                        Box::pin(near_read) as std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>>,
                        Box::pin(far_write) as std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
                    ),
                    (Box::pin(far_read), Box::pin(near_write)),
                ] {
                    let mut state = state.clone();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 16 * 1024];
                        loop {
                            let Ok(count) = read.read(&mut buffer).await else { return };
                            let _ = state.wait_for(|frozen| !*frozen).await;
                            if count == 0 || write.write_all(&buffer[..count]).await.is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { port, frozen: Arc::new(frozen) }
    }
}

async fn behind_proxy(server: &TestServer, proxy: &Proxy, folder: &std::path::Path) -> Endpoint {
    let mut endpoint = server.endpoint(folder);
    endpoint.port = proxy.port;
    std::fs::write(
        &endpoint.known_hosts[0],
        format!("[127.0.0.1]:{} {}\n", proxy.port, server.host_key.to_openssh().unwrap()),
    )
    .unwrap();
    endpoint
}

#[tokio::test]
async fn a_line_that_goes_dead_is_noticed_by_keepalives() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let proxy = Proxy::before(&server).await;
    let mut endpoint = behind_proxy(&server, &proxy, folder.path()).await;
    endpoint.keepalive = Duration::from_millis(200);
    endpoint.keepalive_max = 2;
    let mut connection = connector().connect(&endpoint).await.unwrap();
    let mut session = connection.exec("hang").await.unwrap();
    let mut word = [0; 5];
    session.stdout.read_exact(&mut word).await.unwrap();
    // Quiet but alive: longer than the limit, nothing happens.
    assert!(timeout(Duration::from_millis(1200), session.stdout.read_u8()).await.is_err());
    proxy.frozen.send(true).unwrap();
    let started = Instant::now();
    let error = timeout(SOON, session.stdout.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the host did not answer for 0.6 s");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(
        session.exit.await,
        Err(SessionError::Lost { reason: "the host did not answer for 0.6 s".to_owned() })
    );
    assert!(session.stdin.write_all(&[0; 100]).await.is_err());
    let error = connection.exec("echo").await.unwrap_err();
    assert!(matches!(error, SessionError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_line_that_dies_under_a_blocked_writer_frees_it() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut endpoint = server.endpoint(folder.path());
    endpoint.keepalive = Duration::ZERO;
    let mut connection = connector().connect(&endpoint).await.unwrap();
    let mut session = connection.exec("deaf").await.unwrap();
    let writer = tokio::spawn(async move {
        let block = vec![0; 1024 * 1024];
        loop {
            if let Err(error) = session.stdin.write_all(&block).await {
                return error;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!writer.is_finished(), "the host takes nothing");
    server.cut_all();
    timeout(SOON, writer).await.expect("the writer hangs").unwrap();
}

#[tokio::test]
async fn dropping_the_connection_cuts_the_line() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection = connector().connect(&server.endpoint(folder.path())).await.unwrap();
    let mut session = connection.exec("hang").await.unwrap();
    session.stdout.read_exact(&mut [0; 5]).await.unwrap();
    drop(connection);
    timeout(SOON, session.stdout.read_u8()).await.unwrap().unwrap_err();
    timeout(SOON, session.exit).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn ends_of_commands_are_told_apart() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection = connector().connect(&server.endpoint(folder.path())).await.unwrap();
    let mut session = connection.exec("exit 3").await.unwrap();
    assert_eq!(session.stderr.end().await, b"goodbye\n");
    assert_eq!(session.exit.await, Ok(ExitStatus::Code(3)));
    let session = connection.exec("killed").await.unwrap();
    assert_eq!(session.exit.await, Ok(ExitStatus::Signal("KILL".to_owned())));
    let session = connection.exec("vanish").await.unwrap();
    assert!(matches!(session.exit.await, Err(SessionError::Lost { .. })));
    let mut session = connection.exec("refuse").await.unwrap();
    assert_eq!(session.exit.await, Err(SessionError::CommandRefused));
    assert!(session.stdout.read_u8().await.is_err());
    works(&mut connection).await;
}

#[tokio::test]
async fn dropping_the_input_is_an_end_of_file() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection = connector().connect(&server.endpoint(folder.path())).await.unwrap();
    let mut session = connection.exec("echo").await.unwrap();
    session.stdin.write_all(b"the last").await.unwrap();
    drop(session.stdin);
    let mut output = String::new();
    timeout(SOON, session.stdout.read_to_string(&mut output)).await.unwrap().unwrap();
    assert_eq!(output, "the last");
}
