//! One SSH connection to a simulated node: lets the one key in, and runs the one command of each session.

use std::{process::Stdio, sync::Arc, time::Duration};

use russh::{
    Channel, ChannelId, ChannelMsg,
    keys::{PrivateKey, PublicKey},
    server::{Auth, ChannelOpenHandle, Config, Handle, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    sync::Semaphore,
};

use crate::node_root::NodeRoots;

/// What all nodes of a process share.
pub struct Nodes {
    config: Arc<Config>,
    authorized: PublicKey,
    roots: NodeRoots,
    /// Agents that may run at once: two cores are no thousand machines.
    agents: Semaphore,
}

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Sound,
    /// Accepts connections and never says a word.
    Mute,
    /// Starts the agent, lets it say hello, and is silent from then on.
    Silent,
}

impl Nodes {
    /// Nodes with one host key, which let one key in.
    #[must_use]
    pub fn new(host_key: PrivateKey, authorized: PublicKey, roots: NodeRoots, agents: usize) -> Self {
        let config = Config {
            keys: vec![host_key],
            auth_rejection_time: Duration::ZERO,
            inactivity_timeout: None,
            nodelay: true,
            ..Config::default()
        };
        Self { config: Arc::new(config), authorized, roots, agents: Semaphore::new(agents) }
    }

    /// Serves one connection to its end.
    pub async fn serve(self: Arc<Self>, node: u32, behaviour: Behaviour, stream: TcpStream) {
        if behaviour == Behaviour::Mute {
            // Until the other side gives up.
            let mut stream = stream;
            while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
            return;
        }
        let _ = stream.set_nodelay(true);
        let config = Arc::clone(&self.config);
        let connection = Connection { nodes: self, node, behaviour, channel: None };
        if let Ok(session) = russh::server::run_stream(config, stream, connection).await {
            let _ = session.await;
        }
    }
}

struct Connection {
    nodes: Arc<Nodes>,
    node: u32,
    behaviour: Behaviour,
    channel: Option<Channel<Msg>>,
}

impl Connection {
    fn judge(&self, key: &PublicKey) -> Auth {
        if key.key_data() == self.nodes.authorized.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl russh::server::Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(offer.public_key))
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(channel) = self.channel.take() else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(command).into_owned();
        let run = Run {
            nodes: Arc::clone(&self.nodes),
            node: self.node,
            behaviour: self.behaviour,
            handle: session.handle(),
        };
        tokio::spawn(run.run(channel, command));
        Ok(())
    }
}

/// One command on a node.
struct Run {
    nodes: Arc<Nodes>,
    node: u32,
    behaviour: Behaviour,
    handle: Handle,
}

impl Run {
    async fn run(self, channel: Channel<Msg>, command: String) {
        let id = channel.id();
        // What a handshake costs is measured with this; it needs no process.
        let status = if command == "true" {
            0
        } else {
            match self.program(channel, &command).await {
                Ok(status) => status,
                Err(error) => {
                    let said = format!("{error}\n").into_bytes();
                    let _ = self.handle.extended_data(id, 1, said).await;
                    126
                }
            }
        };
        let _ = self.handle.exit_status_request(id, status).await;
        let _ = self.handle.eof(id).await;
        let _ = self.handle.close(id).await;
    }

    fn start(&self, command: &str) -> std::io::Result<Child> {
        let mut shell = std::process::Command::new("/bin/sh");
        shell.arg("-c").arg(command).env_clear();
        shell.envs([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
        ]);
        shell.envs([("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/sh")]);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.nodes.roots.enter(self.node, &mut shell)?;
        Command::from(shell).spawn()
    }

    /// Runs a program in the node's root; ends early when the connection does.
    async fn program(&self, channel: Channel<Msg>, command: &str) -> std::io::Result<u32> {
        let silent = self.behaviour == Behaviour::Silent;
        // One that hangs must not keep the others of this process waiting. Never closed.
        let _permit = if silent { None } else { self.nodes.agents.acquire().await.ok() };
        let mut child = self.start(command)?;
        let mut stdin = child.stdin.take();
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(std::io::Error::other("a pipe is missing"));
        };
        let (mut input, output) = channel.split();
        // Its end closes the agent's input, as sshd does when a connection is gone; nobody is killed.
        let feed = async move {
            while let Some(message) = input.wait().await {
                match message {
                    ChannelMsg::Data { data } if !silent => {
                        if let Some(pipe) = &mut stdin
                            && pipe.write_all(&data).await.is_err()
                        {
                            stdin = None;
                        }
                    }
                    ChannelMsg::Eof if !silent => stdin = None,
                    _ => {}
                }
            }
        };
        let speak = async {
            let mut piece = vec![0; 32 * 1024];
            loop {
                match stdout.read(&mut piece).await {
                    Ok(count) if count > 0 => {
                        if output.data_bytes(piece[..count].to_vec()).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
            }
        };
        let complain = async {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said).await;
            if !said.is_empty() {
                let _ = output.extended_data_bytes(1, said).await;
            }
        };
        let ended = async {
            tokio::join!(speak, complain);
            child.wait().await
        };
        tokio::pin!(ended);
        let status = tokio::select! {
            status = &mut ended => status,
            () = feed => ended.await,
        };
        Ok(status?.code().map_or(255, |code| code as u32))
    }
}
