//! What SSH alone costs: the connections of a run, made by the same library, with `true` in place of the agent.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cm_transport::{AgentUse, Connector, ConnectorOptions, Endpoint};
use tokio::{io::AsyncReadExt as _, sync::Semaphore, task::JoinSet};

use crate::address::{PORT, address, name};

/// Connections to simulated nodes.
#[derive(Debug, clap::Args)]
pub struct Handshakes {
    /// How many nodes, from the first.
    #[arg(long)]
    pub count: u32,
    /// Connections at once.
    #[arg(long)]
    pub at_once: usize,
    /// The private key to log in with.
    #[arg(long)]
    pub key: PathBuf,
    /// The known_hosts file that the nodes are in.
    #[arg(long)]
    pub known_hosts: PathBuf,
}

/// Connects to each node, logs in, runs `true`, and closes.
///
/// # Errors
/// The first connection that failed.
pub fn handshakes(arguments: &Handshakes) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let connector = Connector::new(ConnectorOptions::default());
        let free = Arc::new(Semaphore::new(arguments.at_once));
        let mut hosts = JoinSet::new();
        for node in 0..arguments.count {
            let permit = Arc::clone(&free).acquire_owned().await?;
            let mut endpoint = Endpoint::new(name(node), address(node).to_string(), "root");
            endpoint.port = PORT;
            endpoint.identities = vec![arguments.key.clone()];
            endpoint.known_hosts = vec![arguments.known_hosts.clone()];
            endpoint.agent = AgentUse::None;
            endpoint.connect_timeout = Duration::from_secs(60);
            let connector = connector.clone();
            hosts.spawn(async move {
                let mut connection = connector.connect(&endpoint).await?;
                let mut session = connection.exec("true").await?;
                session.stdout.read_to_end(&mut Vec::new()).await?;
                session.exit.await?;
                connection.close().await;
                drop(permit);
                anyhow::Ok(())
            });
        }
        while let Some(done) = hosts.join_next().await {
            done??;
        }
        Ok(())
    })
}
