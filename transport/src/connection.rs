//! An open connection to one host, whatever lies under it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::error::SessionError;
use crate::session::Session;

/// What can start a command on a host. Implemented for SSH and for this machine; tests may bring their own.
pub trait Transport: Send {
    /// Starts a command; the string is for a POSIX shell.
    fn exec<'a>(&'a mut self, command: &'a str) -> ExecFuture<'a>;

    /// Takes the connection down in an orderly way.
    fn close(self: Box<Self>) -> CloseFuture;

    /// Returns the fingerprint (`SHA256:…`) of the host key that was accepted.
    fn host_key_fingerprint(&self) -> Option<&str>;
}

/// What [`Transport::exec`] returns.
pub type ExecFuture<'a> = Pin<Box<dyn Future<Output = Result<Session, SessionError>> + Send + 'a>>;

/// What [`Transport::close`] returns.
pub type CloseFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An open, authenticated connection to one host. Dropping it cuts the connection.
pub struct Connection {
    transport: Box<dyn Transport>,
}

impl Connection {
    /// Wraps a transport.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Self { transport: Box::new(transport) }
    }

    /// Starts a command on the host; the string is for a POSIX shell.
    ///
    /// Over SSH each call opens a channel of its own, so a run makes one call for its whole length.
    ///
    /// # Errors
    /// The host opens no channel, refuses the command, or the connection is gone.
    pub async fn exec(&mut self, command: &str) -> Result<Session, SessionError> {
        self.transport.exec(command).await
    }

    /// Takes the connection down in an orderly way.
    pub async fn close(self) {
        self.transport.close().await;
    }

    /// Returns the fingerprint (`SHA256:…`) of the accepted host key; none for this machine.
    #[must_use]
    pub fn host_key_fingerprint(&self) -> Option<&str> {
        self.transport.host_key_fingerprint()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("host_key", &self.host_key_fingerprint()).finish_non_exhaustive()
    }
}
