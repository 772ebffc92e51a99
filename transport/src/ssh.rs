//! One authenticated SSH connection: sessions for commands, streams for hosts behind it.

use std::sync::Arc;
use std::time::Duration;

use russh::Disconnect;
use russh::client::{self, Handle};

use crate::algorithms::{client_config, write_limit};
use crate::authenticate::Login;
use crate::channel_io::{AtDrop, ChannelWriter, JumpStream};
use crate::connection::{CloseFuture, ExecFuture, Transport};
use crate::endpoint::Endpoint;
use crate::error::{ConnectCause, Phase, SessionError};
use crate::handler::{ClientHandler, Wire, describe};
use crate::host_key::{AcceptedKey, HostKeyCheck};
use crate::keys::KeyFiles;
use crate::session::{Exit, Session, Stdin, Stdout};
use crate::stderr::Stderr;
use crate::stream::{ByteStream, Cutter, FirstWords, Guarded};

/// How long an orderly farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// An SSH connection. Dropping it cuts the line under it.
pub(crate) struct SshConnection {
    handle: Handle<ClientHandler>,
    wire: Arc<Wire>,
    fingerprint: String,
    /// What this connection runs through; kept alive as long as it lives.
    _under: Option<Arc<SshConnection>>,
    _cutter: Cutter,
}

/// A connection after key exchange, before log-in.
pub(crate) struct Greeted {
    handle: Handle<ClientHandler>,
    wire: Arc<Wire>,
    key: AcceptedKey,
    cutter: Cutter,
}

impl Greeted {
    /// Exchanges keys over a stream and checks the host's.
    ///
    /// The caller limits the time; giving up cuts the line.
    ///
    /// # Errors
    /// The host key is refused, the peer does not speak SSH, or it hangs up.
    pub async fn greet(
        endpoint: &Endpoint,
        stream: impl ByteStream + 'static,
        check: HostKeyCheck,
    ) -> Result<Self, ConnectCause> {
        let config = Arc::new(client_config(endpoint, check.order()));
        let (stream, cutter) = Guarded::new(stream, write_limit(endpoint));
        let first_words = stream.first_words();
        let wire = Arc::new(Wire::default());
        let silence = endpoint.keepalive * (endpoint.keepalive_max + 1);
        let handler = ClientHandler::new(Arc::clone(&wire), check, silence);
        match client::connect_stream(config, stream, handler).await {
            Ok(handle) => match wire.accepted_key() {
                Some(key) => Ok(Self { handle, wire, key, cutter }),
                None => Err(protocol(endpoint, "it showed no host key")),
            },
            Err(error) => Err(wire
                .take_refused_key()
                .unwrap_or_else(|| greeting_error(endpoint, &wire, &first_words, &error))),
        }
    }

    /// Returns the host's key.
    pub fn key(&self) -> &AcceptedKey {
        &self.key
    }

    /// Logs in.
    ///
    /// # Errors
    /// As [`Login::run`].
    pub async fn log_in(
        mut self,
        endpoint: &Endpoint,
        keys: &KeyFiles,
        under: Option<Arc<SshConnection>>,
    ) -> Result<SshConnection, ConnectCause> {
        let login = Login { endpoint, keys, limit: endpoint.connect_timeout };
        login.run(&mut self.handle).await.map_err(|cause| self.with_last_words(cause))?;
        let fingerprint = self.key.fingerprint();
        Ok(SshConnection {
            handle: self.handle,
            wire: self.wire,
            fingerprint,
            _under: under,
            _cutter: self.cutter,
        })
    }

    /// Adds what the server said when it hung up.
    fn with_last_words(&self, cause: ConnectCause) -> ConnectCause {
        let Some(words) = self.wire.said().or_else(|| self.wire.lost()) else { return cause };
        match cause {
            ConnectCause::Closed { address, phase, attempts, .. } => {
                ConnectCause::Closed { address, phase, reason: words, attempts }
            }
            other => other,
        }
    }
}

fn protocol(endpoint: &Endpoint, reason: &str) -> ConnectCause {
    ConnectCause::Protocol { address: endpoint.socket_name(), reason: reason.to_owned() }
}

/// What sshd says before it hangs up on somebody whom it would serve later: too many strangers at a time
/// (`MaxStartups`), or too many faults of late (`PerSourcePenalties`).
const LATER: &[&str] = &["Exceeded MaxStartups", "Not allowed at this time"];

fn greeting_error(
    endpoint: &Endpoint,
    wire: &Wire,
    first_words: &FirstWords,
    error: &russh::Error,
) -> ConnectCause {
    use russh::Error as E;
    let said = match first_words.before_version() {
        Some(words) if LATER.iter().any(|later| words.contains(later)) => Some(words),
        Some(words) => return protocol(endpoint, &format!("it says `{words}`")),
        None => wire.said(),
    };
    match error {
        E::NoCommonAlgo { kind, theirs, .. } => {
            protocol(endpoint, &format!("no common {kind:?} algorithm; it offers {}", theirs.join(", ")))
        }
        E::Version
        | E::KexInit
        | E::UnknownAlgo
        | E::Kex
        | E::PacketAuth
        | E::WrongServerSig
        | E::PacketSize(_)
        | E::Inconsistent
        | E::StrictKeyExchangeViolation { .. }
        | E::SshEncoding(_)
        | E::SshKey(_)
        | E::DecryptionError => protocol(endpoint, &error.to_string()),
        _ => ConnectCause::Closed {
            address: endpoint.socket_name(),
            phase: Phase::Handshake,
            reason: said.unwrap_or_else(|| describe(error, Duration::ZERO)),
            attempts: 1,
        },
    }
}

impl SshConnection {
    /// Says whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.wire.lost().is_some()
    }

    /// Opens a TCP stream from the host to an address.
    ///
    /// # Errors
    /// The words with which the host refused, or why the connection is gone.
    pub async fn open_stream(&self, address: &str, port: u16) -> Result<JumpStream, String> {
        let channel = self
            .handle
            .channel_open_direct_tcpip(address, u32::from(port), "127.0.0.1", 0)
            .await
            .map_err(|error| self.refusal(&error))?;
        let (_unused, half) = channel.split();
        let ends = self.wire.take_stream(half.id()).ok_or_else(|| self.lost())?;
        Ok(JumpStream::new(half, ends))
    }

    /// Starts a command without waiting for the host's answer to it: what follows is one round trip earlier.
    async fn start(&self, command: &str) -> Result<Session, SessionError> {
        if let Some(reason) = self.wire.lost() {
            return Err(SessionError::Lost { reason });
        }
        let channel = self.handle.channel_open_session().await.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => SessionError::NotOpened { reason: self.refusal(&error) },
            _ => SessionError::Lost { reason: self.lost() },
        })?;
        let (_unused, half) = channel.split();
        let (sink, stderr) = Stderr::capture();
        let (ended, exit) = Exit::channel();
        let lost = || SessionError::Lost { reason: self.lost() };
        let ends = self.wire.take_command(half.id(), sink, ended).ok_or_else(lost)?;
        half.exec(true, command).await.map_err(|_| lost())?;
        Ok(Session {
            stdin: Stdin::new(ChannelWriter::new(half, ends.input, AtDrop::Eof)),
            stdout: Stdout::new(ends.reader),
            stderr,
            exit,
        })
    }

    fn refusal(&self, error: &russh::Error) -> String {
        match error {
            russh::Error::ChannelOpenFailure(reason) => {
                self.wire.take_open_refusal().unwrap_or_else(|| format!("{reason:?}"))
            }
            _ => self.lost(),
        }
    }

    fn lost(&self) -> String {
        self.wire.lost().unwrap_or_else(|| "the host closed the connection".to_owned())
    }

    /// Says goodbye and waits a little for the line to go down.
    pub async fn close(self) {
        let Self { handle, _cutter, _under, .. } = self;
        let farewell = async {
            if handle.disconnect(Disconnect::ByApplication, "", "").await.is_ok() {
                let _ = handle.await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

impl Transport for SshConnection {
    fn exec<'a>(&'a mut self, command: &'a str) -> ExecFuture<'a> {
        Box::pin(self.start(command))
    }

    fn close(self: Box<Self>) -> CloseFuture {
        Box::pin((*self).close())
    }

    fn host_key_fingerprint(&self) -> Option<&str> {
        Some(&self.fingerprint)
    }
}
