//! One running command and its streams.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::error::SessionError;
use crate::stderr::Stderr;

/// A command that runs on a host. Its parts can be moved to different tasks.
///
/// - Writes to `stdin` wait when the host does not read (the window of the SSH channel); nothing is queued beyond
///   about 400 KiB.
/// - `stdout` is held back for a slow reader in a bounded buffer (256 KiB of memory, then 64 MiB of an unlinked
///   temporary file); after that the host is made to wait. Writing never waits for reading, so one task may do both.
/// - A lost connection is an error of `stdout`, never an end of file.
#[derive(Debug)]
pub struct Session {
    /// Standard input of the command. `shutdown()` or drop sends end of file.
    pub stdin: Stdin,
    /// Standard output of the command.
    pub stdout: Stdout,
    /// The last 64 KiB of standard error.
    pub stderr: Stderr,
    /// How the command ended.
    pub exit: Exit,
}

/// Standard input of a command.
pub struct Stdin(Pin<Box<dyn AsyncWrite + Send>>);

/// Standard output of a command.
pub struct Stdout(Pin<Box<dyn AsyncRead + Send>>);

/// Resolves when the command has ended and all of its output has arrived.
#[derive(Debug)]
pub struct Exit(oneshot::Receiver<Result<ExitStatus, SessionError>>);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status.
    Code(u32),
    /// A signal ended it; the name is without `SIG`, such as `KILL`.
    Signal(String),
}

impl ExitStatus {
    /// Says whether the command exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(name) => write!(f, "was ended by signal {name}"),
        }
    }
}

impl Stdin {
    /// Wraps a writer.
    pub fn new(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(writer))
    }
}

impl Stdout {
    /// Wraps a reader.
    pub fn new(reader: impl AsyncRead + Send + 'static) -> Self {
        Self(Box::pin(reader))
    }
}

impl Exit {
    /// Makes the future and the sender that resolves it; a dropped sender counts as a lost connection.
    #[must_use]
    pub fn channel() -> (oneshot::Sender<Result<ExitStatus, SessionError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl Future for Exit {
    type Output = Result<ExitStatus, SessionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|result| {
            result.unwrap_or_else(|_| {
                Err(SessionError::Lost { reason: "the connection was closed by this side".to_owned() })
            })
        })
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}

impl AsyncRead for Stdout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buf)
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stdin")
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stdout")
    }
}
