//! What is needed to reach one host: resolved values only, no decisions left to take.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that is needed to reach one host, resolved from inventory, ssh_config and defaults.
///
/// The defaults of [`Endpoint::new`] are those of `ssh` on a machine without configuration files, with the limits
/// that a run over many hosts needs (connect timeout, attempts, keepalive).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name of the host in the inventory; only for messages.
    pub host: String,
    /// Name or IP address to connect to (ssh_config's `HostName`), as seen from the last jump host.
    pub address: String,
    /// TCP port, 22 by default.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// Private key files that the user named, tried in this order before anything else.
    pub identities: Vec<PathBuf>,
    /// Key files tried last because nobody named any (`~/.ssh/id_ed25519`, …); missing ones are passed over.
    pub default_identities: Vec<PathBuf>,
    /// Certificate files beside those found as `KEY-cert.pub` (ssh_config's `CertificateFile`).
    pub certificates: Vec<PathBuf>,
    /// Which ssh-agent to ask.
    pub agent: AgentUse,
    /// Whether agent keys that belong to no file of `identities` stay unused (`IdentitiesOnly`).
    pub identities_only: bool,
    /// known_hosts files, the one that new keys are written to first.
    pub known_hosts: Vec<PathBuf>,
    /// Whether new lines in known_hosts hide the host's name (`HashKnownHosts`).
    pub hash_known_hosts: bool,
    /// Name under which the host's key is looked up instead of its address (`HostKeyAlias`).
    pub host_key_alias: Option<String>,
    /// What happens when the host's key is not known yet.
    pub host_keys: HostKeyPolicy,
    /// Hosts to go through, outermost first.
    pub jump: Vec<Endpoint>,
    /// Command whose input and output are the stream to the host, in place of TCP; not used together with `jump`.
    pub proxy_command: Option<String>,
    /// Limit for each step of one attempt: name look-up and TCP; key exchange; each answer while logging in (time
    /// that a person takes for a passphrase is not counted).
    pub connect_timeout: Duration,
    /// How often a connection is tried when the fault may pass (refused, reset, timed out); at least 1.
    pub attempts: u32,
    /// A keepalive is sent after this much silence of the peer; zero means never.
    pub keepalive: Duration,
    /// The connection counts as dead after this many unanswered keepalives.
    pub keepalive_max: u32,
}

impl Endpoint {
    /// Makes an endpoint with default values for all but host name, address and user.
    #[must_use]
    pub fn new(host: impl Into<String>, address: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            address: address.into(),
            port: DEFAULT_PORT,
            user: user.into(),
            identities: Vec::new(),
            default_identities: Vec::new(),
            certificates: Vec::new(),
            agent: AgentUse::Environment,
            identities_only: false,
            known_hosts: Vec::new(),
            hash_known_hosts: false,
            host_key_alias: None,
            host_keys: HostKeyPolicy::Strict,
            jump: Vec::new(),
            proxy_command: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            attempts: DEFAULT_ATTEMPTS,
            keepalive: DEFAULT_KEEPALIVE,
            keepalive_max: DEFAULT_KEEPALIVE_MAX,
        }
    }

    /// Returns `address:port` as messages show it, IPv6 addresses in brackets.
    #[must_use]
    pub fn socket_name(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }
}

/// Port of ssh where nothing else is said.
pub const DEFAULT_PORT: u16 = 22;
/// Limit for one attempt to connect where nothing else is said.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts to connect where nothing else is said.
pub const DEFAULT_ATTEMPTS: u32 = 3;
/// Silence before a keepalive where nothing else is said.
pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(15);
/// Unanswered keepalives that end a connection where nothing else is said.
pub const DEFAULT_KEEPALIVE_MAX: u32 = 3;

/// Which ssh-agent is asked for keys (ssh_config's `IdentityAgent`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum AgentUse {
    /// The one that `SSH_AUTH_SOCK` names, none if it is unset.
    #[default]
    Environment,
    /// The one that listens on this socket.
    Path(PathBuf),
    /// None.
    None,
}

/// What to do with a host whose key is not known yet. A *changed* key is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HostKeyPolicy {
    /// Refuse.
    #[default]
    Strict,
    /// Write the key to known_hosts and go on.
    AcceptNew,
}

/// What the inventory says about reaching a host; what it leaves open comes from ssh_config, then from defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Wanted {
    /// Name of the host in the inventory; looked up in ssh_config (`Host` patterns) too.
    pub host: String,
    /// Name or IP address to connect to.
    pub address: Option<String>,
    /// User to log in as.
    pub user: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Private key file, tried before those of ssh_config; `~` stands for the home directory.
    pub key: Option<PathBuf>,
    /// Jump hosts as in `ssh -J` (`[user@]host[:port]`, comma separated, outermost first); `none` means direct.
    pub jump: Option<String>,
    /// known_hosts file in place of the user's.
    pub known_hosts: Option<PathBuf>,
    /// What to do with an unknown host key.
    pub host_keys: Option<HostKeyPolicy>,
    /// Limit for one attempt to connect.
    pub connect_timeout: Option<Duration>,
    /// How often to try when the fault may pass.
    pub attempts: Option<u32>,
    /// Silence before a keepalive.
    pub keepalive: Option<Duration>,
    /// Unanswered keepalives that end the connection.
    pub keepalive_max: Option<u32>,
}

impl Wanted {
    /// Makes a request that leaves everything but the name open.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), ..Self::default() }
    }
}
