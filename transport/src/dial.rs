//! TCP: looks a name up and connects, with causes told apart.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::error::{ConnectCause, Phase};
use crate::stream::QuickAck;

/// Connects to an endpoint's address within a limit.
///
/// # Errors
/// The name is unknown, or the last address tried did not take the connection.
pub(crate) async fn dial(endpoint: &Endpoint, limit: Duration) -> Result<QuickAck, ConnectCause> {
    let deadline = Instant::now() + limit;
    let addresses = look_up(endpoint, limit).await?;
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        // A dead IPv6 address must not use up the time of the IPv4 one behind it.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it every small message waits for the one before it to be acknowledged; failure costs
                // only speed.
                let _ = stream.set_nodelay(true);
                return Ok(QuickAck(stream));
            }
            Ok(Err(error)) => last = Some(cause(endpoint, limit, &error)),
            Err(_) => last = Some(timed_out(endpoint, limit, Phase::Connect)),
        }
    }
    Err(last.unwrap_or_else(|| ConnectCause::UnknownName {
        name: endpoint.address.clone(),
        reason: "it has no address".to_owned(),
    }))
}

async fn look_up(endpoint: &Endpoint, limit: Duration) -> Result<Vec<SocketAddr>, ConnectCause> {
    let name = endpoint.address.as_str();
    if let Ok(address) = name.parse() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    match tokio::time::timeout(limit, tokio::net::lookup_host((name, endpoint.port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => {
            let text = error.to_string();
            let reason =
                text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned();
            Err(ConnectCause::UnknownName { name: name.to_owned(), reason })
        }
        Err(_) => Err(timed_out(endpoint, limit, Phase::Lookup)),
    }
}

fn timed_out(endpoint: &Endpoint, limit: Duration, phase: Phase) -> ConnectCause {
    ConnectCause::TimedOut { address: endpoint.socket_name(), limit, phase, attempts: 1 }
}

fn cause(endpoint: &Endpoint, limit: Duration, error: &io::Error) -> ConnectCause {
    let address = endpoint.socket_name();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectCause::Refused { address, attempts: 1 },
        io::ErrorKind::TimedOut => timed_out(endpoint, limit, Phase::Connect),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ConnectCause::Closed {
            address,
            phase: Phase::Connect,
            reason: "the connection was reset".to_owned(),
            attempts: 1,
        },
        io::ErrorKind::HostUnreachable => {
            ConnectCause::Unreachable { address, reason: "no route to host".to_owned(), attempts: 1 }
        }
        io::ErrorKind::NetworkUnreachable => {
            ConnectCause::Unreachable { address, reason: "network is unreachable".to_owned(), attempts: 1 }
        }
        _ => ConnectCause::Unreachable { address, reason: error.to_string(), attempts: 1 },
    }
}
