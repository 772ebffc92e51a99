//! A process of simulated nodes: listens on the address of each and serves until its input ends.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use russh::keys::{PrivateKey, PublicKey};
use tokio::net::TcpListener;

use crate::{
    address::{PORT, address},
    node_root::NodeRoots,
    server::{Behaviour, Nodes},
};

/// Nodes of one process.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Number of the first node.
    #[arg(long)]
    pub first: u32,
    /// How many nodes.
    #[arg(long)]
    pub count: u32,
    /// A tree below the roots of the nodes, topmost first.
    #[arg(long, required = true)]
    pub lower: Vec<PathBuf>,
    /// Where what the nodes write is kept.
    #[arg(long)]
    pub nodes: PathBuf,
    /// The private host key.
    #[arg(long)]
    pub host_key: PathBuf,
    /// The public key that may log in.
    #[arg(long)]
    pub authorized: PathBuf,
    /// Agents that may run at once.
    #[arg(long)]
    pub agents: usize,
    /// A node that accepts connections and never says a word.
    #[arg(long)]
    pub mute: Vec<u32>,
    /// A node whose agent says hello and is silent from then on.
    #[arg(long)]
    pub silent: Vec<u32>,
}

/// Serves until standard input ends, which it does with whoever started it. Says `ready` when all addresses answer.
///
/// # Errors
/// When a key cannot be read or an address cannot be listened on.
pub fn serve(arguments: Serve) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(listen(arguments))
}

async fn listen(arguments: Serve) -> anyhow::Result<()> {
    let host_key = PrivateKey::read_openssh_file(&arguments.host_key).context("the host key")?;
    let authorized = PublicKey::read_openssh_file(&arguments.authorized).context("the authorized key")?;
    let roots = NodeRoots::new(arguments.lower, arguments.nodes).context("the folder of the nodes")?;
    let nodes = Arc::new(Nodes::new(host_key, authorized, roots, arguments.agents));
    for node in arguments.first..arguments.first + arguments.count {
        let listener = TcpListener::bind((address(node), PORT))
            .await
            .with_context(|| format!("{}:{PORT}", address(node)))?;
        let behaviour = match node {
            node if arguments.mute.contains(&node) => Behaviour::Mute,
            node if arguments.silent.contains(&node) => Behaviour::Silent,
            _ => Behaviour::Sound,
        };
        let nodes = Arc::clone(&nodes);
        tokio::spawn(async move {
            loop {
                // Out of file numbers: the one who connects is told by its own limit.
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                };
                tokio::spawn(Arc::clone(&nodes).serve(node, behaviour, stream));
            }
        });
    }
    let mut out = std::io::stdout();
    out.write_all(b"ready\n")?;
    out.flush()?;
    let ended = || while std::io::stdin().read(&mut [0; 64]).is_ok_and(|count| count > 0) {};
    Ok(tokio::task::spawn_blocking(ended).await?)
}
