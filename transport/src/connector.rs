//! Opens connections: attempts, limits, jump hosts shared between the hosts behind them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::connection::Connection;
use crate::dial::dial;
use crate::endpoint::Endpoint;
use crate::error::{ConnectCause, ConnectError, Phase};
use crate::host_key::HostKeyCheck;
use crate::keys::{AskPassphrase, KeyFiles};
use crate::known_hosts::KnownHostsCache;
use crate::proxy_command;
use crate::ssh::{Greeted, SshConnection};
use crate::stream::ByteStream;

/// What a [`Connector`] can be told.
#[derive(Clone)]
pub struct ConnectorOptions {
    /// Asks a person for a passphrase; without it encrypted keys work only through an agent.
    pub passphrase: Option<AskPassphrase>,
    /// How many connections to one address may be unauthenticated at a time. sshd drops connections at random from
    /// ten on (`MaxStartups 10:30:100`).
    pub handshakes_per_address: usize,
    /// First pause between two attempts; it doubles each time, and up to as much again is added at random.
    pub retry_pause: Duration,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self { passphrase: None, handshakes_per_address: 8, retry_pause: Duration::from_millis(400) }
    }
}

impl fmt::Debug for ConnectorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorOptions")
            .field("asks_passphrase", &self.passphrase.is_some())
            .field("handshakes_per_address", &self.handshakes_per_address)
            .field("retry_pause", &self.retry_pause)
            .finish()
    }
}

/// How long a jump host that could not be reached is not tried again for other hosts.
const JUMP_FAILURE_KEPT: Duration = Duration::from_secs(10);

/// Opens connections to hosts. Clones share keys, known_hosts, limits and jump connections.
#[derive(Clone)]
pub struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    options: ConnectorOptions,
    keys: KeyFiles,
    known_hosts: KnownHostsCache,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    jumps: Mutex<HashMap<Endpoint, JumpState>>,
}

type JumpResult = Result<Arc<SshConnection>, Arc<ConnectError>>;

/// What is known about the connection to one jump host.
enum JumpState {
    /// Somebody is connecting; all others wait for the same result.
    Connecting(watch::Receiver<Option<JumpResult>>),
    Up(Arc<SshConnection>),
    Down(Arc<ConnectError>, Instant),
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Connector {
    /// Makes a connector.
    #[must_use]
    pub fn new(options: ConnectorOptions) -> Self {
        let keys = KeyFiles::new(options.passphrase.clone());
        Self {
            shared: Arc::new(Shared {
                options,
                keys,
                known_hosts: KnownHostsCache::default(),
                gates: Mutex::default(),
                jumps: Mutex::default(),
            }),
        }
    }

    /// Connects to a host and logs in, through its jump hosts if it has any.
    ///
    /// Refused, reset and unanswered connections are tried again as often as the endpoint says; refused keys never.
    ///
    /// # Errors
    /// The cause of the last attempt.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, ConnectError> {
        Ok(Connection::new(self.connect_ssh(endpoint).await?))
    }

    /// Does the same over a stream that is there already: no name look-up, no jump hosts, one attempt.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_over(
        &self,
        endpoint: &Endpoint,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Connection, ConnectError> {
        let started = Instant::now();
        let result = match self.greet_over(endpoint, stream, &Check::Normal).await {
            Ok(greeted) => greeted.log_in(endpoint, &self.shared.keys, None).await,
            Err(cause) => Err(cause),
        };
        result.map(Connection::new).map_err(|cause| error(endpoint, cause, 1, started))
    }

    /// Closes the connections to jump hosts; hosts behind them lose theirs.
    pub async fn close(&self) {
        let jumps = std::mem::take(&mut *self.lock_jumps());
        for (_, state) in jumps {
            if let JumpState::Up(connection) = state
                && let Ok(connection) = Arc::try_unwrap(connection).map_err(drop)
            {
                connection.close().await;
            }
        }
    }

    async fn connect_ssh(&self, endpoint: &Endpoint) -> Result<SshConnection, ConnectError> {
        self.with_retries(endpoint, || self.attempt(endpoint)).await
    }

    /// Connects up to the point where the host has shown its key, with attempts as for a connection.
    pub(crate) async fn greet_with_retries(
        &self,
        endpoint: &Endpoint,
        check: &Check,
    ) -> Result<Greeted, ConnectError> {
        self.with_retries(endpoint, || async { Ok(self.greet(endpoint, check).await?.0) }).await
    }

    async fn with_retries<T, F: Future<Output = Result<T, ConnectCause>>>(
        &self,
        endpoint: &Endpoint,
        attempt_once: impl Fn() -> F,
    ) -> Result<T, ConnectError> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            match attempt_once().await {
                Ok(result) => return Ok(result),
                Err(cause) if attempt < endpoint.attempts && may_pass(&cause) => {
                    tokio::time::sleep(self.pause(attempt)).await;
                    attempt += 1;
                }
                Err(cause) => return Err(error(endpoint, cause, attempt, started)),
            }
        }
    }

    /// Exponential with jitter: hosts that were dropped together must not come back together.
    fn pause(&self, attempt: u32) -> Duration {
        let base = self.shared.options.retry_pause * 2_u32.saturating_pow((attempt - 1).min(5));
        base + base.mul_f64(random_fraction())
    }

    async fn attempt(&self, endpoint: &Endpoint) -> Result<SshConnection, ConnectCause> {
        let (greeted, jump, _permit) = self.greet(endpoint, &Check::Normal).await?;
        greeted.log_in(endpoint, &self.shared.keys, jump).await
    }

    /// Connects up to the point where the host has shown its key.
    async fn greet(
        &self,
        endpoint: &Endpoint,
        check: &Check,
    ) -> Result<(Greeted, Option<Arc<SshConnection>>, OwnedSemaphorePermit), ConnectCause> {
        let Some((jump, before)) = endpoint.jump.split_last() else {
            if let Some(command) = &endpoint.proxy_command {
                let permit = self.permit(command.clone()).await;
                let stream = proxy_command::start(endpoint, command)?;
                let words = stream.words();
                return match self.greet_over(endpoint, stream, check).await {
                    Ok(greeted) => Ok((greeted, None, permit)),
                    Err(cause) => Err(proxy_command::explain(cause, words).await),
                };
            }
            let permit = self.permit(endpoint.socket_name()).await;
            let stream = dial(endpoint, endpoint.connect_timeout).await?;
            return Ok((self.greet_over(endpoint, stream, check).await?, None, permit));
        };
        let mut jump = jump.clone();
        jump.jump = before.to_vec();
        let via = self
            .jump(&jump)
            .await
            .map_err(|source| ConnectCause::Jump { jump: jump.host.clone(), source })?;
        // The same address may be another machine behind another jump host.
        let permit = self.permit(format!("{} > {}", jump.socket_name(), endpoint.socket_name())).await;
        // In a task of its own: if the answer comes too late, the stream is still closed and not forgotten.
        let opening = tokio::spawn({
            let (via, address, port) = (Arc::clone(&via), endpoint.address.clone(), endpoint.port);
            async move { via.open_stream(&address, port).await }
        });
        let opened = tokio::time::timeout(endpoint.connect_timeout, opening).await;
        let stream = match opened.map(|joined| joined.unwrap_or_else(|error| Err(error.to_string()))) {
            Ok(Ok(stream)) => stream,
            Ok(Err(reason)) => {
                return Err(ConnectCause::JumpRefused {
                    jump: jump.host.clone(),
                    address: endpoint.socket_name(),
                    reason,
                    attempts: 1,
                });
            }
            Err(_) => return Err(timed_out(endpoint, Phase::Connect)),
        };
        Ok((self.greet_over(endpoint, stream, check).await?, Some(via), permit))
    }

    async fn greet_over(
        &self,
        endpoint: &Endpoint,
        stream: impl ByteStream + 'static,
        kind: &Check,
    ) -> Result<Greeted, ConnectCause> {
        let mut check = HostKeyCheck::prepare(endpoint, &self.shared.known_hosts)?;
        if let Check::Show(only) = kind {
            check = check.only_show(only.clone());
        }
        let greeting = Greeted::greet(endpoint, stream, check);
        match tokio::time::timeout(endpoint.connect_timeout, greeting).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(endpoint, Phase::Handshake)),
        }
    }

    async fn permit(&self, address: String) -> OwnedSemaphorePermit {
        let gate = {
            let mut gates = self.shared.gates.lock().unwrap_or_else(PoisonError::into_inner);
            let size = self.shared.options.handshakes_per_address.max(1);
            Arc::clone(gates.entry(address).or_insert_with(|| Arc::new(Semaphore::new(size))))
        };
        match gate.acquire_owned().await {
            Ok(permit) => permit,
            Err(_) => unreachable!("the gates are never closed"),
        }
    }

    /// Returns the one connection to a jump host, opening it if need be.
    async fn jump(&self, endpoint: &Endpoint) -> JumpResult {
        let mut waiting = {
            let mut jumps = self.lock_jumps();
            match jumps.get(endpoint) {
                Some(JumpState::Up(connection)) if !connection.is_closed() => {
                    return Ok(Arc::clone(connection));
                }
                Some(JumpState::Down(error, since)) if since.elapsed() < JUMP_FAILURE_KEPT => {
                    return Err(Arc::clone(error));
                }
                Some(JumpState::Connecting(waiting)) => waiting.clone(),
                _ => {
                    let (sender, receiver) = watch::channel(None);
                    jumps.insert(endpoint.clone(), JumpState::Connecting(receiver.clone()));
                    self.open_jump(endpoint.clone(), sender);
                    receiver
                }
            }
        };
        if let Ok(result) = waiting.wait_for(Option::is_some).await
            && let Some(result) = &*result
        {
            return result.clone();
        }
        // The task that was connecting is gone without a word: it panicked.
        self.lock_jumps().remove(endpoint);
        let cause = ConnectCause::Closed {
            address: endpoint.socket_name(),
            phase: Phase::Connect,
            reason: "connecting ended without a result, which is a fault of cm".to_owned(),
            attempts: 1,
        };
        Err(Arc::new(error(endpoint, cause, 1, Instant::now())))
    }

    /// Connects to a jump host in a task of its own: the host that asked first may give up, the others still wait.
    fn open_jump(&self, endpoint: Endpoint, sender: watch::Sender<Option<JumpResult>>) {
        let connector = self.clone();
        tokio::spawn(async move {
            // Boxed, because a jump host may have a jump host.
            let opening: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(connector.connect_ssh(&endpoint));
            let result = opening.await.map(Arc::new).map_err(Arc::new);
            let state = match &result {
                Ok(connection) => JumpState::Up(Arc::clone(connection)),
                Err(error) => JumpState::Down(Arc::clone(error), Instant::now()),
            };
            connector.lock_jumps().insert(endpoint.clone(), state);
            let _ = sender.send(Some(result));
        });
    }

    fn lock_jumps(&self) -> std::sync::MutexGuard<'_, HashMap<Endpoint, JumpState>> {
        self.shared.jumps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is done with the host's key.
pub(crate) enum Check {
    /// Compared with known_hosts.
    Normal,
    /// Only looked at; of one kind if that is named.
    Show(Option<russh::keys::Algorithm>),
}

fn timed_out(endpoint: &Endpoint, phase: Phase) -> ConnectCause {
    ConnectCause::TimedOut {
        address: endpoint.socket_name(),
        limit: endpoint.connect_timeout,
        phase,
        attempts: 1,
    }
}

/// Says whether a second attempt makes sense. Not after refused keys, and not for a jump host: that was tried as
/// often as it says itself.
fn may_pass(cause: &ConnectCause) -> bool {
    match cause {
        ConnectCause::Refused { .. }
        | ConnectCause::Unreachable { .. }
        | ConnectCause::JumpRefused { .. } => true,
        ConnectCause::TimedOut { phase, .. } => *phase != Phase::Authentication,
        // Closed while logging in: sshd was restarted or its LoginGraceTime ran out. Refused keys are another cause.
        ConnectCause::Closed { .. } => true,
        _ => false,
    }
}

fn error(endpoint: &Endpoint, cause: ConnectCause, attempts: u32, started: Instant) -> ConnectError {
    ConnectError {
        host: endpoint.host.clone(),
        address: endpoint.socket_name(),
        user: endpoint.user.clone(),
        attempts,
        elapsed: started.elapsed(),
        cause: Box::new(cause.after(attempts)),
    }
}

/// A number from 0 up to 1. For jitter, hence not worth a dependency: each `RandomState` has fresh keys.
fn random_fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    // 53 bits fit a double exactly.
    bits as f64 / (1_u64 << 53) as f64
}
