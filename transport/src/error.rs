//! Why a host could not be reached, and why a session ended: causes as data, one variant each, hints beside them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// A host could not be reached, with what was tried.
///
/// `Display` is the headline (``could not reach `web3` ``); the [`cause`](Self::cause) is its `source()`;
/// [`details`](Self::details) are further lines for a person; [`hint`](Self::hint) says what to do.
#[derive(Debug, Error)]
pub struct ConnectError {
    /// Name of the host in the inventory.
    pub host: String,
    /// `address:port` that was tried.
    pub address: String,
    /// User that was to log in.
    pub user: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Time from the first attempt to the last failure.
    pub elapsed: Duration,
    /// What went wrong.
    #[source]
    pub cause: Box<ConnectCause>,
}

/// What went wrong when a host could not be reached.
#[derive(Debug, Error)]
pub enum ConnectCause {
    /// The name has no address.
    #[error("the name `{name}` could not be resolved ({reason})")]
    UnknownName {
        /// Name that was looked up.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// There is no way to the address.
    #[error("{address} is unreachable ({reason}){}", Attempts(*.attempts))]
    Unreachable {
        /// `address:port`.
        address: String,
        /// What the system said.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
    /// Nobody listens on the port.
    #[error("{address} refused the connection{}", Attempts(*.attempts))]
    Refused {
        /// `address:port`.
        address: String,
        /// Attempts made.
        attempts: u32,
    },
    /// No answer within the limit.
    #[error("{address} did not answer within {}{}{}", Seconds(*.limit), During(.phase), Attempts(*.attempts))]
    TimedOut {
        /// `address:port`.
        address: String,
        /// Limit of one attempt.
        limit: Duration,
        /// What was waited for.
        phase: Phase,
        /// Attempts made.
        attempts: u32,
    },
    /// The peer closed the connection before it was usable.
    #[error("{address} closed the connection during {phase}: {reason}{}", Attempts(*.attempts))]
    Closed {
        /// `address:port`.
        address: String,
        /// What was going on.
        phase: Phase,
        /// What the peer or the system said.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
    /// What answers there does not speak SSH as we need it.
    #[error("{address} does not speak SSH as needed: {reason}")]
    Protocol {
        /// `address:port`.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// The host's key is not in known_hosts.
    #[error("the host key of {address} is not known: received {key_type} {fingerprint}")]
    HostKeyUnknown {
        /// `address:port`.
        address: String,
        /// Name that was looked up in known_hosts.
        name: String,
        /// Such as `ssh-ed25519`.
        key_type: String,
        /// `SHA256:…` of the key received.
        fingerprint: String,
        /// Files that were searched.
        searched: Vec<PathBuf>,
    },
    /// The host's key is another one than known_hosts says.
    #[error("the host key of {address} has changed: received {key_type} {fingerprint}")]
    HostKeyChanged {
        /// `address:port`.
        address: String,
        /// Name that was looked up in known_hosts.
        name: String,
        /// Such as `ssh-ed25519`.
        key_type: String,
        /// `SHA256:…` of the key received.
        fingerprint: String,
        /// The keys that were expected, with their places.
        expected: Vec<KnownKey>,
    },
    /// The host's key (or the authority that signed it) is marked `@revoked`.
    #[error("the host key {key_type} {fingerprint} of {address} is revoked at {place}")]
    HostKeyRevoked {
        /// `address:port`.
        address: String,
        /// Such as `ssh-ed25519`.
        key_type: String,
        /// `SHA256:…` of the key received.
        fingerprint: String,
        /// Where it says so.
        place: Place,
    },
    /// The host showed a certificate that does not hold.
    #[error("the host certificate of {address} is not valid: {reason}")]
    HostCertificateInvalid {
        /// `address:port`.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The key could not be written to known_hosts although the policy says to accept it.
    #[error("the host key of {address} could not be written to {}", .file.display())]
    KnownHostsNotWritten {
        /// `address:port`.
        address: String,
        /// File that was to be written.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// known_hosts exists but cannot be read.
    #[error("{} could not be read", .file.display())]
    KnownHostsUnreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The host let none of our keys in.
    #[error("{address} refused to log in `{user}`{}", Methods(.methods))]
    AuthenticationRefused {
        /// `address:port`.
        address: String,
        /// User that was to log in.
        user: String,
        /// Every key that was tried or passed over, in order.
        tried: Vec<TriedKey>,
        /// Methods that the server would accept, such as `publickey`.
        methods: Vec<String>,
    },
    /// A key file is encrypted and the passphrase was wrong or not given, and no other key was accepted.
    #[error("the passphrase of {} is {}", .file.display(), if *.given { "wrong" } else { "not known" })]
    Passphrase {
        /// The key file.
        file: PathBuf,
        /// Whether one was given.
        given: bool,
        /// `address:port`.
        address: String,
        /// Every key that was tried or passed over, in order.
        tried: Vec<TriedKey>,
    },
    /// A key file that the user named cannot be used, and no other key was accepted.
    #[error("the key file {} cannot be used: {reason}", .file.display())]
    KeyFile {
        /// The key file.
        file: PathBuf,
        /// Why not.
        reason: String,
        /// Every key that was tried or passed over, in order.
        tried: Vec<TriedKey>,
    },
    /// A host on the way could not be reached.
    #[error("the way through jump host `{jump}` is closed")]
    Jump {
        /// Name of the jump host.
        jump: String,
        /// Why it could not be reached.
        #[source]
        source: Arc<ConnectError>,
    },
    /// The jump host was reached but it could not reach the host.
    #[error("jump host `{jump}` could not open a connection to {address}: {reason}{}", Attempts(*.attempts))]
    JumpRefused {
        /// Name of the jump host.
        jump: String,
        /// `address:port` as seen from the jump host.
        address: String,
        /// What the jump host said.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
}

/// A step on the way to a usable connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Name look-up.
    Lookup,
    /// TCP (or the channel through a jump host).
    Connect,
    /// SSH version and key exchange.
    Handshake,
    /// Log-in.
    Authentication,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "name look-up",
            Self::Connect => "connect",
            Self::Handshake => "the SSH handshake",
            Self::Authentication => "authentication",
        })
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The home directory as people write it.
        match std::env::home_dir().and_then(|home| self.file.strip_prefix(home).ok().map(Path::to_owned)) {
            Some(rest) => write!(f, "~/{}, line {}", rest.display(), self.line),
            None => write!(f, "{}, line {}", self.file.display(), self.line),
        }
    }
}

/// A key that known_hosts holds for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Such as `ssh-ed25519`.
    pub key_type: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Where it stands.
    pub place: Place,
}

/// A key that was tried, or passed over, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedKey {
    /// File, or `agent`, with the key's comment where it has one.
    pub origin: String,
    /// Such as `ssh-ed25519`; empty where the file could not be read.
    pub key_type: String,
    /// `SHA256:…`; empty where the file could not be read.
    pub fingerprint: String,
    /// What came of it.
    pub outcome: String,
}

impl fmt::Display for TriedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if !self.fingerprint.is_empty() {
            write!(f, " ({} {})", self.key_type, self.fingerprint)?;
        }
        write!(f, ": {}", self.outcome)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            ConnectCause::HostKeyChanged { address, .. } => {
                write!(f, "the host key of `{}` ({address}) has changed; nothing was sent", self.host)
            }
            ConnectCause::HostKeyUnknown { address, .. } => {
                write!(f, "the host key of `{}` ({address}) is not known; nothing was sent", self.host)
            }
            ConnectCause::HostKeyRevoked { address, .. } => {
                write!(f, "the host key of `{}` ({address}) is revoked; nothing was sent", self.host)
            }
            ConnectCause::AuthenticationRefused { user, .. } => {
                write!(f, "could not log in to `{}` as `{user}`", self.host)
            }
            ConnectCause::Passphrase { .. } | ConnectCause::KeyFile { .. } => {
                write!(f, "could not log in to `{}` as `{}`", self.host, self.user)
            }
            _ => write!(f, "could not reach `{}`", self.host),
        }
    }
}

impl ConnectError {
    /// Says whether the fault may pass by itself: a later attempt can succeed without anybody changing anything.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.cause.is_temporary()
    }

    /// Returns lines that belong below the cause: keys expected and received, keys tried.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        self.cause.details()
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &*self.cause {
            ConnectCause::Jump { source, .. } => source.hint(),
            cause => cause.hint(&self.host),
        }
    }
}

impl ConnectCause {
    /// Says whether the fault may pass by itself.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Closed { .. }
            | Self::JumpRefused { .. } => true,
            Self::UnknownName { .. }
            | Self::Protocol { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::HostKeyRevoked { .. }
            | Self::HostCertificateInvalid { .. }
            | Self::KnownHostsNotWritten { .. }
            | Self::KnownHostsUnreadable { .. }
            | Self::AuthenticationRefused { .. }
            | Self::Passphrase { .. }
            | Self::KeyFile { .. } => false,
            Self::Jump { source, .. } => source.is_temporary(),
        }
    }

    /// Returns the cause with the number of attempts that led to it.
    pub(crate) fn after(mut self, made: u32) -> Self {
        if let Self::Unreachable { attempts, .. }
        | Self::Refused { attempts, .. }
        | Self::TimedOut { attempts, .. }
        | Self::Closed { attempts, .. }
        | Self::JumpRefused { attempts, .. } = &mut self
        {
            *attempts = made;
        }
        self
    }

    /// Returns lines that belong below the cause.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::HostKeyChanged { key_type, fingerprint, expected, .. } => {
                let mut lines: Vec<String> = expected
                    .iter()
                    .map(|key| format!("expected  {} {}  ({})", key.key_type, key.fingerprint, key.place))
                    .collect();
                lines.push(format!("received  {key_type} {fingerprint}"));
                lines
            }
            Self::HostKeyUnknown { key_type, fingerprint, .. } => {
                vec![format!("received  {key_type} {fingerprint}")]
            }
            Self::AuthenticationRefused { tried, .. }
            | Self::Passphrase { tried, .. }
            | Self::KeyFile { tried, .. } => tried.iter().map(|key| format!("tried     {key}")).collect(),
            Self::Jump { source, .. } => source.details(),
            _ => Vec::new(),
        }
    }

    fn hint(&self, host: &str) -> Option<String> {
        Some(match self {
            Self::UnknownName { name, .. } => {
                format!("set `address:` of `{host}` in the inventory, or make `{name}` resolvable")
            }
            Self::Unreachable { .. } => {
                "check the address, this machine's route to it, and whether it needs a jump host".to_owned()
            }
            Self::Refused { address, .. } => {
                format!("check that sshd runs on `{host}` and listens at {address}")
            }
            Self::TimedOut { phase: Phase::Handshake | Phase::Authentication, .. } => format!(
                "the port answers but sshd does not: look at load, memory and name look-ups (`UseDNS`) of `{host}`"
            ),
            Self::TimedOut { address, .. } => {
                format!("check that `{host}` is up, that {address} is right, and that no firewall drops it")
            }
            Self::Closed { phase: Phase::Handshake, .. } => format!(
                "sshd drops connections when too many are waiting (`MaxStartups`) or when a rule blocks this machine; \
                 its log on `{host}` says which"
            ),
            Self::Closed { phase: Phase::Authentication, .. } => format!(
                "the log of sshd on `{host}` says why; too many keys in the agent is a common cause \
                 (`IdentitiesOnly yes`, or name the key)"
            ),
            Self::Closed { .. } | Self::Protocol { .. } => {
                "check that the port is the one of sshd".to_owned()
            }
            Self::HostKeyUnknown { fingerprint, .. } => format!(
                "compare the fingerprint on the console of `{host}` (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), \
                 then `cm node trust {host} --fingerprint {fingerprint}`; or set `host_keys: accept-new`"
            ),
            Self::HostKeyChanged { fingerprint, .. } => format!(
                "if `{host}` was reinstalled, compare the new fingerprint on its console, \
                 then `cm node trust {host} --fingerprint {fingerprint}`"
            ),
            Self::HostKeyRevoked { place, .. } => {
                format!("give `{host}` a new host key, or take the mark away at {place}")
            }
            Self::HostCertificateInvalid { .. } => {
                format!("sign the host key of `{host}` again with your host authority")
            }
            Self::KnownHostsNotWritten { file, .. } | Self::KnownHostsUnreadable { file, .. } => {
                format!("check owner and mode of {}", file.display())
            }
            Self::AuthenticationRefused { user, tried, methods, .. } => {
                if tried.is_empty() {
                    "no key was found: name one with `key:`, or load it with `ssh-add`".to_owned()
                } else if !methods.is_empty() && !methods.iter().any(|method| method == "publickey") {
                    format!("`{host}` does not allow public keys for `{user}`; `cm` logs in with keys only")
                } else {
                    format!(
                        "put one of these keys into `~{user}/.ssh/authorized_keys` on `{host}`, or name another \
                         with `user:` and `key:`"
                    )
                }
            }
            Self::Passphrase { file, .. } => {
                format!("load the key once with `ssh-add {}`", file.display())
            }
            Self::KeyFile { file, .. } => format!("check `key:` and the mode of {}", file.display()),
            Self::Jump { .. } => return None,
            Self::JumpRefused { jump, address, .. } => {
                format!(
                    "check from `{jump}` that {address} answers, and that sshd there allows TCP forwarding"
                )
            }
        })
    }
}

/// A session broke: it could not be started, or the connection under it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The peer opened no session channel.
    #[error("the host opened no session: {reason}")]
    NotOpened {
        /// What it said.
        reason: String,
    },
    /// The peer refused to run the command.
    #[error("the host refused to run the command")]
    CommandRefused,
    /// The command could not be started on this machine.
    #[error("the command could not be started: {reason}")]
    NotStarted {
        /// What the system said.
        reason: String,
    },
    /// The connection is gone.
    #[error("the connection was lost: {reason}")]
    Lost {
        /// What is known about it.
        reason: String,
    },
}

struct Attempts(u32);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 1 { write!(f, " ({} attempts)", self.0) } else { Ok(()) }
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{} s", self.0.as_secs())
        } else {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        }
    }
}

struct During<'a>(&'a Phase);

impl fmt::Display for During<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Phase::Lookup | Phase::Connect => Ok(()),
            phase => write!(f, " during {phase}"),
        }
    }
}

struct Methods<'a>(&'a [String]);

impl fmt::Display for Methods<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (it accepts: {})", self.0.join(", ")) }
    }
}
