//! A host of a run: how it is reached and with whose rights.

use std::{path::PathBuf, sync::Arc};

use cm_transport::{AgentUse, Endpoint, ResolveError, Resolver, Wanted};
use cm_wire::Secret;

use crate::bootstrap::Become;

/// A host of a run.
#[derive(Clone, Debug)]
pub struct HostTarget {
    /// Its name in the inventory.
    pub name: Arc<str>,
    /// How it is reached.
    pub reach: Reach,
    /// Whose rights the agent runs with there.
    pub rights: Become,
    /// The password for sudo.
    pub become_password: Option<Secret>,
    /// Where its address is set: `inventory.yaml:22:3`.
    pub place: Option<String>,
}

/// How a host is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// It is this machine.
    Local,
    /// By SSH.
    Ssh(Box<SshReach>),
}

/// A host behind SSH.
#[derive(Clone, Debug)]
pub struct SshReach {
    /// What the inventory says.
    pub wanted: Wanted,
    /// Key files tried after the first.
    pub more_keys: Vec<PathBuf>,
    /// Certificate files that go with the keys.
    pub certificates: Vec<PathBuf>,
    /// Further known_hosts files.
    pub more_known_hosts: Vec<PathBuf>,
    /// No key of a running ssh-agent is offered.
    pub without_agent: bool,
    /// Reads the ssh_config that holds for this host.
    pub resolver: Arc<Resolver>,
}

impl SshReach {
    /// All that is needed to connect.
    ///
    /// # Errors
    /// When ssh_config cannot be used.
    pub async fn endpoint(&self) -> Result<Endpoint, ResolveError> {
        let mut endpoint = self.resolver.resolve(&self.wanted).await?;
        let after = usize::from(self.wanted.key.is_some()).min(endpoint.identities.len());
        endpoint.identities.splice(after..after, self.more_keys.iter().cloned());
        endpoint.certificates.splice(0..0, self.certificates.iter().cloned());
        endpoint.known_hosts.extend(self.more_known_hosts.iter().cloned());
        if self.without_agent {
            endpoint.agent = AgentUse::None;
        }
        Ok(endpoint)
    }
}

impl HostTarget {
    pub(crate) fn place_hint(&self) -> Vec<String> {
        self.place.iter().map(|place| format!("its address is set at `{place}`")).collect()
    }
}
