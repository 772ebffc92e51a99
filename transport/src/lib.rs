//! How `cm` reaches a host: SSH (russh) or this machine, behind one [`Connection`].
//!
//! The road: [`Wanted`] (what the inventory says) → resolver (ssh_config) → [`Endpoint`] → connector
//! → [`Connection`] → [`Session`] (one command: stdin, stdout, stderr, exit status).
//!
//! ```text
//! Resolver::new(ResolverOptions) -> Resolver;   resolver.resolve(&Wanted).await -> Result<Endpoint, ResolveError>
//! Connector::new(ConnectorOptions) -> Connector; connector.connect(&Endpoint).await -> Result<Connection, ConnectError>
//! connector.connect_over(&Endpoint, stream).await   the same over any AsyncRead + AsyncWrite
//! connector.trust(&Endpoint, "SHA256:..").await -> Result<Trusted, TrustError>   for `cm node trust`
//! connector.offered_key(&Endpoint).await     the key a host shows, without logging in
//! local::connect() -> Connection
//! connection.exec("command").await -> Result<Session, SessionError>
//! ```
//!
//! This crate knows nothing of roles, catalogs or agents, and never prints.

mod algorithms;
mod authenticate;
mod channel_io;
mod connection;
mod connector;
mod dial;
mod endpoint;
mod error;
#[cfg(test)]
mod fuzz;
mod handler;
mod host_key;
mod jump_list;
mod keys;
mod known_hosts;
mod known_hosts_edit;
pub mod local;
mod pattern;
mod pipe;
mod proxy_command;
mod resolver;
mod session;
mod ssh;
mod ssh_config;
mod stderr;
mod stream;
mod trust;

pub use connection::{CloseFuture, Connection, ExecFuture, Transport};
pub use connector::{Connector, ConnectorOptions};
pub use endpoint::{
    AgentUse, DEFAULT_ATTEMPTS, DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEPALIVE, DEFAULT_KEEPALIVE_MAX,
    DEFAULT_PORT, Endpoint, HostKeyPolicy, Wanted,
};
pub use error::{ConnectCause, ConnectError, KnownKey, Phase, Place, SessionError, TriedKey};
pub use keys::{AskPassphrase, Passphrase};
pub use resolver::{ConfigSource, ResolveError, Resolver, ResolverOptions};
pub use session::{Exit, ExitStatus, Session, Stdin, Stdout};
pub use stderr::{STDERR_KEPT, Stderr, StderrSink};
pub use trust::{OfferedKey, TrustError, Trusted};
