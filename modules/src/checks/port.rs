//! `port`: whether something accepts TCP connections.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{Check, Miss, Probe, Seeing, address::Address};
use crate::{Context, Module, ParamError, Params, Problem, Resource, choice, params};

/// How long to wait for the answer of one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

choice! {
    /// What is wanted of a port.
    pub enum PortState {
        /// Connections are accepted.
        Open = "open",
        /// They are not.
        Closed = "closed",
    }
}

params! {
    /// A TCP port of this or another host accepts connections, or does not.
    pub struct PortCheck = "port" {
        /// The port, of this machine (`80`) or of a host (`127.0.0.1:80`, `[::1]:80`, `db1:5432`).
        subject port: Address,
        /// `open` or `closed`.
        state: PortState = PortState::Open,
        /// How long to go on looking until it holds. Ten seconds after changes, else a single look.
        within: Option<Duration>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &PortCheck::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let PortCheck { port, state, within } = PortCheck::from_params(params)?;
    Ok(Box::new(Check { probe: PortProbe { address: port, state }, within }))
}

/// Connects and hangs up.
#[derive(Clone, Debug)]
pub struct PortProbe {
    /// Where.
    pub address: Address,
    /// What is wanted.
    pub state: PortState,
}

impl Probe for PortProbe {
    fn subject(&self) -> String {
        self.address.show()
    }

    fn look(&self, context: &Context<'_>, limit: Duration) -> Result<Seeing, Problem> {
        let seen = match connect(&self.address, context, limit) {
            Ok(_) => Ok(()),
            Err(reason) => Err(reason),
        };
        Ok(match (self.state, seen) {
            (PortState::Open, Ok(())) | (PortState::Closed, Err(_)) => Ok(()),
            (PortState::Open, Err(reason)) => Err(Miss::new("state", "open", format!("closed ({reason})"))),
            (PortState::Closed, Ok(())) => Err(Miss::new("state", "closed", "open")),
        })
    }
}

/// A connection to the first address that accepts one, or why there is none, a fragment.
pub fn connect(address: &Address, context: &Context<'_>, limit: Duration) -> Result<TcpStream, String> {
    let end = Instant::now() + limit;
    let mut reasons = Vec::new();
    for candidate in address.resolve(context, limit) {
        let left = end.saturating_duration_since(Instant::now()).min(CONNECT_LIMIT);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&candidate, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => reasons.push(match error.kind() {
                std::io::ErrorKind::ConnectionRefused => format!("{candidate} refuses connections"),
                std::io::ErrorKind::TimedOut => format!("{candidate} does not answer"),
                std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                    format!("there is no way to {candidate}")
                }
                _ => format!("{candidate}: {error}"),
            }),
        }
    }
    match (reasons.into_iter().next(), &address.host) {
        // The first is the one a person thinks of: IPv4 of this machine.
        (Some(reason), _) => Err(reason),
        (None, Some(host)) => Err(format!("the name `{host}` is not known on the node")),
        (None, None) => Err("no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use cm_wire::Mode;

    use super::*;
    use crate::{
        Empty, Overlay,
        bench::{closed_port, context},
    };

    #[test]
    fn open_and_closed_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let node = Overlay::new(&Empty);
        let context = context(&node, Mode::Verify);
        let look = |address: &str, state| {
            let probe = PortProbe { address: Address::parse(address).unwrap(), state };
            probe.look(&context, Duration::from_secs(5)).unwrap()
        };
        assert_eq!(look(&port.to_string(), PortState::Open), Ok(()));
        let miss = look(&format!("127.0.0.1:{port}"), PortState::Closed).unwrap_err();
        assert_eq!(miss, Miss::new("state", "closed", "open"));
        let (_held, port) = closed_port();
        let miss = look(&format!("localhost:{port}"), PortState::Open).unwrap_err();
        assert_eq!(miss.seen, format!("closed (127.0.0.1:{port} refuses connections)"));
        assert_eq!(look(&port.to_string(), PortState::Closed), Ok(()));
        let miss = look(&format!("no-such-host:{port}"), PortState::Open).unwrap_err();
        assert_eq!(miss.seen, "closed (the name `no-such-host` is not known on the node)");
    }
}
