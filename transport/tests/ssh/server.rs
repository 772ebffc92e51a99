//! An SSH server inside the test process that can be told how to behave, and counts what happens to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cm_transport::{AgentUse, Endpoint};
use russh::keys::{Algorithm, Certificate, PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure, Sig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a server behaves.
pub struct Behaviour {
    pub host_keys: Vec<PrivateKey>,
    pub certificates: Vec<Certificate>,
    /// Keys that may log in.
    pub authorized: Vec<PublicKey>,
    /// Lets everybody in who shows any key.
    pub authorize_all: bool,
    pub max_auth_attempts: usize,
    /// Closes this many connections as soon as they come.
    pub drop_first: usize,
    /// Never answers an offered key.
    pub stuck_login: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            host_keys: vec![new_key()],
            certificates: Vec::new(),
            authorized: Vec::new(),
            authorize_all: true,
            max_auth_attempts: 6,
            drop_first: 0,
            stuck_login: false,
        }
    }
}

/// What happened to a server.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub sessions: AtomicUsize,
    pub forwards: AtomicUsize,
    pub offered: Mutex<Vec<PublicKey>>,
    pub forwarded_to: Mutex<Vec<u32>>,
}

/// A running server; ends with its drop.
pub struct TestServer {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    pub host_key: PublicKey,
    sockets: Arc<Mutex<Vec<std::net::TcpStream>>>,
    task: JoinHandle<()>,
}

pub fn new_key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

impl TestServer {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let host_key = behaviour.host_keys[0].public_key().clone();
        let sockets: Arc<Mutex<Vec<std::net::TcpStream>>> = Arc::default();
        let behaviour = Arc::new(behaviour);
        let task = tokio::spawn({
            let (seen, sockets) = (Arc::clone(&seen), Arc::clone(&sockets));
            async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { return };
                    let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                    if number < behaviour.drop_first {
                        continue;
                    }
                    let _ = stream.set_nodelay(true);
                    let stream = stream.into_std().unwrap();
                    sockets.lock().unwrap().push(stream.try_clone().unwrap());
                    let stream = TcpStream::from_std(stream).unwrap();
                    tokio::spawn(serve(Arc::clone(&behaviour), Arc::clone(&seen), stream));
                }
            }
        });
        Self { address, seen, host_key, sockets, task }
    }

    /// An endpoint for this server, with a key that nobody else knows and the host key known.
    pub fn endpoint(&self, folder: &std::path::Path) -> Endpoint {
        let mut endpoint = Endpoint::new("web1", self.address.ip().to_string(), "admin");
        endpoint.port = self.address.port();
        endpoint.agent = AgentUse::None;
        endpoint.identities = vec![write_key(folder, "key", &new_key())];
        endpoint.known_hosts = vec![folder.join(format!("known_hosts.{}", self.address.port()))];
        std::fs::write(&endpoint.known_hosts[0], self.known_hosts_line()).unwrap();
        endpoint.connect_timeout = Duration::from_secs(10);
        endpoint
    }

    pub fn known_hosts_line(&self) -> String {
        format!("[{}]:{} {}\n", self.address.ip(), self.address.port(), self.host_key.to_openssh().unwrap())
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn sessions(&self) -> usize {
        self.seen.sessions.load(Ordering::SeqCst)
    }

    /// Ends every connection at once, as a crash would.
    pub fn cut_all(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
        self.cut_all();
    }
}

/// Serves one connection over any stream.
pub async fn serve(
    behaviour: Arc<Behaviour>,
    seen: Arc<Seen>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let config = Arc::new(Config {
        keys: behaviour.host_keys.clone(),
        certificates: behaviour.certificates.clone(),
        auth_rejection_time: Duration::ZERO,
        max_auth_attempts: behaviour.max_auth_attempts,
        nodelay: true,
        ..Config::default()
    });
    let handler = Handler { behaviour, seen, channels: HashMap::new(), deaf: Vec::new() };
    if let Ok(session) = russh::server::run_stream(config, stream, handler).await {
        let _ = session.await;
    }
}

/// Writes a private key file as `ssh` wants it.
pub fn write_key(folder: &std::path::Path, name: &str, key: &PrivateKey) -> std::path::PathBuf {
    let path = folder.join(name);
    key.write_openssh_file(&path, russh::keys::ssh_key::LineEnding::LF).unwrap();
    path
}

struct Handler {
    behaviour: Arc<Behaviour>,
    seen: Arc<Seen>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    /// Channels whose input is never taken: the whole connection stands still then, as with a frozen sshd.
    deaf: Vec<ChannelId>,
}

impl Handler {
    fn may_log_in(&self, key: &PublicKey) -> bool {
        self.behaviour.authorize_all
            || self.behaviour.authorized.iter().any(|one| one.key_data() == key.key_data())
    }
}

impl russh::server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.seen.offered.lock().unwrap().push(offer.public_key.clone());
        if self.behaviour.stuck_login {
            std::future::pending::<()>().await;
        }
        Ok(if self.may_log_in(offer.public_key) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.may_log_in(key.public_key) { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.seen.sessions.fetch_add(1, Ordering::SeqCst);
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.seen.forwards.fetch_add(1, Ordering::SeqCst);
        self.seen.forwarded_to.lock().unwrap().push(port);
        let port = u16::try_from(port).unwrap();
        match TcpStream::connect((host, port)).await {
            Ok(mut stream) => {
                let _ = stream.set_nodelay(true);
                reply.accept().await;
                tokio::spawn(async move {
                    let mut channel = channel.into_stream();
                    let _ = tokio::io::copy_bidirectional(&mut channel, &mut stream).await;
                });
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        _data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.deaf.contains(&channel) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        if command == "refuse" {
            return session.channel_failure(id);
        }
        session.channel_success(id)?;
        if command == "deaf" {
            self.deaf.push(id);
            return Ok(());
        }
        if let Some(channel) = self.channels.remove(&id) {
            tokio::spawn(run(session.handle(), channel, command));
        }
        Ok(())
    }
}

/// The commands that the server knows.
async fn run(handle: russh::server::Handle, mut channel: Channel<Msg>, command: String) {
    let id = channel.id();
    let (word, argument) = command.split_once(' ').unwrap_or((&command, ""));
    match word {
        // Sends back what it gets, without waiting for the one who should read it.
        "echo" => {
            let (mut input, output) = channel.split();
            while let Some(message) = input.wait().await {
                match message {
                    ChannelMsg::Data { data } if output.data_bytes(data.clone()).await.is_err() => return,
                    ChannelMsg::Eof => break,
                    _ => {}
                }
            }
            let _ = handle.exit_status_request(id, 0).await;
            let _ = output.eof().await;
            let _ = output.close().await;
            return;
        }
        // Sends so many bytes, as fast as the window lets it.
        "flood" => {
            let mut left: usize = argument.parse().unwrap();
            let mut at = 0_usize;
            while left > 0 {
                let count = left.min(32 * 1024);
                let data: Vec<u8> = (at..at + count).map(pattern_byte).collect();
                if channel.data_bytes(data).await.is_err() {
                    return;
                }
                at += count;
                left -= count;
            }
            let _ = handle.exit_status_request(id, 0).await;
        }
        "exit" => {
            let _ = handle.extended_data(id, 1, b"goodbye\n".as_slice()).await;
            let _ = handle.exit_status_request(id, argument.parse().unwrap()).await;
        }
        "killed" => {
            let _ = handle.exit_signal_request(id, Sig::KILL, false, String::new(), String::new()).await;
        }
        "vanish" => {}
        // Says one word and then nothing more.
        "hang" => {
            let _ = handle.data(id, b"hello".as_slice()).await;
            while channel.wait().await.is_some() {}
            return;
        }
        other => panic!("unknown command {other}"),
    }
    let _ = handle.eof(id).await;
    let _ = handle.close(id).await;
}

/// The byte that `flood` sends at a place.
pub fn pattern_byte(at: usize) -> u8 {
    (at % 251) as u8
}
