//! What connections cost in memory. One test in a process of its own: tests beside it would be measured too.

#![expect(clippy::print_stderr, reason = "tests report measurements")]

#[path = "../ssh/server.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod server;
#[path = "../ssh/sshd.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod sshd;
#[path = "../ssh/tools.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod tools;

use std::time::Duration;

use cm_transport::{Connector, ConnectorOptions, ExitStatus};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::server::{Behaviour, TestServer};
use crate::sshd::Sshd;

const SOON: Duration = Duration::from_secs(60);
const MIB: usize = 1024 * 1024;

/// Memory that this process holds, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn grown_since(before: usize) -> usize {
    resident().saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_whatever_hosts_do() {
    open_connections_cost_little().await;
    output_that_nobody_reads_goes_to_disk().await;
    input_that_nobody_takes_is_not_collected().await;
}

async fn open_connections_cost_little() {
    const HOSTS: usize = 30;
    let sshd = Sshd::start("MaxStartups 100");
    let endpoint = sshd.endpoint();
    let connector = Connector::new(ConnectorOptions::default());
    let mut held = Vec::new();
    let block = vec![0; MIB];
    let mut before = 0;
    for number in 0..HOSTS {
        let mut connection = connector.connect(&endpoint).await.unwrap();
        let mut session = connection.exec("echo ready; exec cat >/dev/null").await.unwrap();
        session.stdout.read_u8().await.unwrap();
        held.push((connection, session));
        if number == 4 {
            before = resident();
        }
    }
    let idle = grown_since(before) / (HOSTS - 5);
    let before = resident();
    for (_, session) in &mut held {
        session.stdin.write_all(&block).await.unwrap();
    }
    let used = grown_since(before) / HOSTS;
    eprintln!("an open connection costs {} KiB, and {} KiB more after 1 MiB", idle / 1024, used / 1024);
    assert!(idle < MIB / 2 && used < 2 * MIB, "{idle} {used}");
}

async fn output_that_nobody_reads_goes_to_disk() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection =
        Connector::new(ConnectorOptions::default()).connect(&server.endpoint(folder.path())).await.unwrap();
    let before = resident();
    let session = connection.exec(&format!("flood {}", 48 * MIB)).await.unwrap();
    let unread = session.stdout;
    assert_eq!(timeout(SOON, session.exit).await.unwrap(), Ok(ExitStatus::Code(0)));
    let grown = grown_since(before);
    eprintln!("48 MiB waiting for a reader cost {} KiB", grown / 1024);
    assert!(grown < 24 * MIB, "{grown}");
    drop(unread);
}

async fn input_that_nobody_takes_is_not_collected() {
    let folder = tempdir().unwrap();
    let server = TestServer::start(Behaviour::default()).await;
    let mut connection =
        Connector::new(ConnectorOptions::default()).connect(&server.endpoint(folder.path())).await.unwrap();
    let mut session = connection.exec("deaf").await.unwrap();
    let block = vec![0; MIB / 16];
    let before = resident();
    let mut taken = 0;
    while let Ok(count) = timeout(Duration::from_millis(500), session.stdin.write(&block)).await {
        taken += count.unwrap();
    }
    let grown = grown_since(before);
    eprintln!("{} KiB were taken for a host that takes nothing, in {} KiB", taken / 1024, grown / 1024);
    assert!(taken <= 4 * MIB && grown < 24 * MIB, "{taken} {grown}");
}
