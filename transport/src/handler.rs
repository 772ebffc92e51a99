//! The side of a connection that russh calls: it puts down what arrives and never waits for a reader of one host at
//! the cost of another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use russh::client::{self, DisconnectReason};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelId, ChannelOpenFailure, Sig};
use tokio::sync::oneshot;

use crate::error::{ConnectCause, SessionError};
use crate::host_key::{AcceptedKey, HostKeyCheck};
use crate::pipe::{Pipe, PipeLimits, PipeReader, Room, pipe};
use crate::session::ExitStatus;
use crate::stderr::StderrSink;

/// What the connection's owner and its event loop share.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: Mutex<WireState>,
}

#[derive(Debug, Default)]
struct WireState {
    channels: HashMap<ChannelId, ChannelEntry>,
    open_refusal: Option<String>,
    lost: Option<String>,
    said: Option<String>,
    banner: Option<String>,
    accepted_key: Option<AcceptedKey>,
    refused_key: Option<ConnectCause>,
}

#[derive(Debug)]
struct ChannelEntry {
    output: Pipe,
    /// Taken by whoever opened the channel.
    reader: Option<PipeReader>,
    /// Closed before it was taken.
    closed: bool,
    input: Arc<InputGate>,
    kind: ChannelKind,
}

#[derive(Debug)]
enum ChannelKind {
    /// Bytes of another SSH connection: full means that this one breaks, the others go on.
    Stream,
    /// A command: full means that the host waits.
    Command {
        stderr: StderrSink,
        exit: Option<oneshot::Sender<Result<ExitStatus, SessionError>>>,
        status: Option<ExitStatus>,
    },
}

/// Tells a writer that its channel is closed; russh alone would leave it waiting for window for ever.
#[derive(Debug, Default)]
pub(crate) struct InputGate {
    state: Mutex<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    closed: Option<String>,
    waker: Option<Waker>,
}

impl InputGate {
    /// Returns why the channel is closed, or remembers whom to wake when it is.
    pub fn poll_closed(&self, context: &Context<'_>) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed.is_none()
            && !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()))
        {
            state.waker = Some(context.waker().clone());
        }
        state.closed.clone()
    }

    fn close(&self, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed.is_none() {
            state.closed = Some(reason.to_owned());
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The ends of a channel that its opener holds.
pub(crate) struct ChannelEnds {
    pub reader: PipeReader,
    pub input: Arc<InputGate>,
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the ends of a stream channel that the server has confirmed.
    pub fn take_stream(&self, id: ChannelId) -> Option<ChannelEnds> {
        let mut state = self.lock();
        state.register(id);
        let ends = state.channels.get_mut(&id)?.take_ends();
        state.forget_if_closed(id);
        ends
    }

    /// Takes the ends of a session channel and says where standard error and exit status go.
    pub fn take_command(
        &self,
        id: ChannelId,
        stderr: StderrSink,
        exit: oneshot::Sender<Result<ExitStatus, SessionError>>,
    ) -> Option<ChannelEnds> {
        let mut state = self.lock();
        state.register(id);
        let entry = state.channels.get_mut(&id)?;
        entry.kind = ChannelKind::Command { stderr, exit: Some(exit), status: None };
        entry.take_ends()
    }

    /// Returns why the connection is gone, if it is.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Returns what the server said when it refused a channel.
    pub fn take_open_refusal(&self) -> Option<String> {
        self.lock().open_refusal.take()
    }

    /// Returns what the server said in its disconnect message and its banner.
    pub fn said(&self) -> Option<String> {
        let state = self.lock();
        // PAM (`nologin`, expired accounts) speaks through the banner before sshd hangs up.
        match (&state.said, &state.banner) {
            (Some(said), Some(banner)) => Some(format!("{said} ({banner})")),
            (said, banner) => said.clone().or_else(|| banner.clone()),
        }
    }

    /// Returns the host key that was accepted.
    pub fn accepted_key(&self) -> Option<AcceptedKey> {
        self.lock().accepted_key.clone()
    }

    /// Returns why the host key was refused.
    pub fn take_refused_key(&self) -> Option<ConnectCause> {
        self.lock().refused_key.take()
    }

    fn lose(&self, reason: &str) {
        let mut state = self.lock();
        let reason = state.lost.get_or_insert_with(|| reason.to_owned()).clone();
        let channels = std::mem::take(&mut state.channels);
        drop(state);
        for (_, mut entry) in channels {
            entry.lose(&reason);
        }
    }
}

impl WireState {
    fn register(&mut self, id: ChannelId) {
        if self.lost.is_some() {
            return;
        }
        self.channels.entry(id).or_insert_with(|| {
            let (output, reader) = pipe(PipeLimits::default());
            ChannelEntry {
                output,
                reader: Some(reader),
                closed: false,
                input: Arc::default(),
                kind: ChannelKind::Stream,
            }
        });
    }
}

impl WireState {
    fn forget_if_closed(&mut self, id: ChannelId) {
        if self.channels.get(&id).is_some_and(|entry| entry.closed) {
            self.channels.remove(&id);
        }
    }
}

impl ChannelEntry {
    fn take_ends(&mut self) -> Option<ChannelEnds> {
        Some(ChannelEnds { reader: self.reader.take()?, input: Arc::clone(&self.input) })
    }

    fn lose(&mut self, reason: &str) {
        self.output.fail(reason);
        self.input.close(reason);
        if let ChannelKind::Command { stderr, exit, .. } = &mut self.kind {
            stderr.finish();
            if let Some(exit) = exit.take() {
                let _ = exit.send(Err(SessionError::Lost { reason: reason.to_owned() }));
            }
        }
    }

    fn close(&mut self) {
        self.output.finish();
        self.input.close("the host closed the channel");
        if let ChannelKind::Command { stderr, exit, status } = &mut self.kind {
            stderr.finish();
            if let Some(exit) = exit.take() {
                let _ = exit.send(status.take().ok_or_else(|| SessionError::Lost {
                    reason: "the host closed the session without an exit status".to_owned(),
                }));
            }
        }
    }
}

/// The handler itself; lives in russh's event loop. Its drop marks the connection as lost, whatever ended the loop.
pub(crate) struct ClientHandler {
    wire: Arc<Wire>,
    check: HostKeyCheck,
    silence: Duration,
}

impl ClientHandler {
    /// Makes a handler; `silence` is how long a peer may be silent, for the message.
    pub fn new(wire: Arc<Wire>, check: HostKeyCheck, silence: Duration) -> Self {
        Self { wire, check, silence }
    }

    fn output(&self, channel: ChannelId) -> Option<(Pipe, bool)> {
        let state = self.wire.lock();
        let entry = state.channels.get(&channel)?;
        Some((entry.output.clone(), matches!(entry.kind, ChannelKind::Stream)))
    }
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        self.wire.lose("the host closed the connection");
    }
}

impl client::Handler for ClientHandler {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let verdict = self.check.check(key).await;
        let mut state = self.wire.lock();
        match verdict {
            Ok(accepted) => {
                state.accepted_key = Some(accepted);
                Ok(true)
            }
            Err(cause) => {
                state.refused_key = Some(cause);
                Ok(false)
            }
        }
    }

    async fn auth_banner(&mut self, banner: &str, _session: &mut client::Session) -> Result<(), Self::Error> {
        let text: Vec<&str> = banner.split_whitespace().collect();
        let text: String = text.join(" ").chars().filter(|one| !one.is_control()).take(300).collect();
        self.wire.lock().banner = Some(text).filter(|text| !text.is_empty());
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _max_packet_size: u32,
        _window_size: u32,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        // Data may follow at once, before the opener has looked.
        self.wire.lock().register(id);
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _channel: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _language: &str,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let said = if description.is_empty() { format!("{reason:?}") } else { description.to_owned() };
        self.wire.lock().open_refusal = Some(said);
        Ok(())
    }

    async fn channel_failure(
        &mut self,
        channel: ChannelId,
        session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let entry = self.wire.lock().channels.remove(&channel);
        if let Some(mut entry) = entry {
            if let ChannelKind::Command { exit, .. } = &mut entry.kind
                && let Some(exit) = exit.take()
            {
                let _ = exit.send(Err(SessionError::CommandRefused));
            }
            entry.lose(&SessionError::CommandRefused.to_string());
            session.close(channel)?;
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let mut state = self.wire.lock();
        if let Some(entry) = state.channels.get_mut(&channel) {
            entry.close();
            // Whoever opened it may not have looked yet, and must find what came.
            entry.closed = true;
            if entry.reader.is_none() {
                state.channels.remove(&channel);
            }
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let state = self.wire.lock();
        if let Some(entry) = state.channels.get(&channel) {
            entry.output.finish();
            if let ChannelKind::Command { stderr, .. } = &entry.kind {
                stderr.finish();
            }
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let Some((output, is_stream)) = self.output(channel) else { return Ok(()) };
        if output.push(data) == Room::Left {
            return Ok(());
        }
        if is_stream {
            let entry = self.wire.lock().channels.remove(&channel);
            if let Some(mut entry) = entry {
                entry.lose("its output was not read for too long; the jump host has others to serve");
            }
            session.close(channel)?;
        } else {
            output.room().await;
        }
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        code: u32,
        data: &[u8],
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let state = self.wire.lock();
        if code == 1
            && let Some(ChannelEntry { kind: ChannelKind::Command { stderr, .. }, .. }) =
                state.channels.get(&channel)
        {
            stderr.push(data);
        }
        Ok(())
    }

    async fn exit_status(
        &mut self,
        channel: ChannelId,
        exit_status: u32,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        self.set_status(channel, ExitStatus::Code(exit_status));
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        channel: ChannelId,
        signal_name: Sig,
        _core_dumped: bool,
        _error_message: &str,
        _lang_tag: &str,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let name = match signal_name {
            Sig::Custom(name) => name,
            known => format!("{known:?}"),
        };
        self.set_status(channel, ExitStatus::Signal(name));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let said = info.message.trim().to_owned();
                self.wire.lock().said = Some(said.clone());
                self.wire.lose(&format!("the host closed the connection: {said}"));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                self.wire.lose(&describe(&error, self.silence));
                Err(error)
            }
        }
    }
}

impl ClientHandler {
    fn set_status(&self, channel: ChannelId, new: ExitStatus) {
        let mut state = self.wire.lock();
        if let Some(ChannelEntry { kind: ChannelKind::Command { status, .. }, .. }) =
            state.channels.get_mut(&channel)
        {
            *status = Some(new);
        }
    }
}

/// Says in words what ended a connection.
pub(crate) fn describe(error: &russh::Error, silence: Duration) -> String {
    match error {
        russh::Error::KeepaliveTimeout => {
            format!("the host did not answer for {} s", silence.as_secs_f64())
        }
        russh::Error::IO(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the host closed the connection".to_owned(),
            std::io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
            _ => error.to_string(),
        },
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError | russh::Error::RecvError => {
            "the host closed the connection".to_owned()
        }
        other => other.to_string(),
    }
}
