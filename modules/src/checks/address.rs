//! Addresses to connect to, by number or name.
//!
//! Names are looked up in /etc/hosts and by `getent`: getaddrinfo(3) cannot be used by a static binary.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use cm_wire::Value;

use crate::{Context, Kind, Param, node::Command};

/// Longest /etc/hosts that is read, in bytes.
const HOSTS_LIMIT: u64 = 16 * 1024 * 1024;

/// A host and a port; without a host, this machine by either protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address without brackets; none: this machine.
    pub host: Option<String>,
    /// The TCP port.
    pub port: u16,
}

impl Param for Address {
    const KIND: Kind = Kind::Any;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(number) => match u16::try_from(*number) {
                Ok(port) if port > 0 => Ok(Self { host: None, port }),
                _ => Err(format!("wants a port from 1 to 65535, not {number}")),
            },
            Value::Text(text) => Self::parse(text),
            other => Err(format!("wants a port or `host:port`, not {}", other.kind())),
        }
    }
}

impl Address {
    /// Reads `80`, `host:80`, `10.0.0.1:80`, `[::1]:80`.
    ///
    /// # Errors
    /// A fragment that says what is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || format!("wants a port or `host:port`, not {text:?}");
        let (host, port) = match text.rsplit_once(':') {
            None => (None, text),
            Some((host, port)) => (Some(host), port),
        };
        let port = port.parse().ok().filter(|&port| port > 0).ok_or_else(wanted)?;
        let host = match host {
            None => None,
            Some(host) => {
                let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                if inner.is_none() && host.contains(':') {
                    return Err(format!("{}; an IPv6 address stands in brackets: `[::1]:80`", wanted()));
                }
                let host = inner.unwrap_or(host);
                if host.is_empty() || host.contains(char::is_whitespace) {
                    return Err(wanted());
                }
                Some(host.to_owned())
            }
        };
        Ok(Self { host, port })
    }

    /// For messages: `port 80`, `db1:5432`.
    pub fn show(&self) -> String {
        match &self.host {
            None => format!("port {}", self.port),
            Some(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Some(host) => format!("{host}:{}", self.port),
        }
    }

    /// All addresses to try; empty where the name is not known.
    pub fn resolve(&self, context: &Context<'_>, limit: Duration) -> Vec<SocketAddr> {
        let addresses = match self.host.as_deref() {
            None | Some("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Some(host) => match host.parse::<IpAddr>() {
                Ok(address) => vec![address],
                Err(_) => resolve_name(host, context, limit),
            },
        };
        addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect()
    }
}

fn resolve_name(name: &str, context: &Context<'_>, limit: Duration) -> Vec<IpAddr> {
    let hosts = context.node.read(Path::new("/etc/hosts"), HOSTS_LIMIT).unwrap_or_default();
    let known = in_hosts(&String::from_utf8_lossy(&hosts), name);
    if !known.is_empty() || name.starts_with('-') {
        return known;
    }
    let command = Command { deadline: Instant::now() + limit, ..Command::query(&["getent", "ahosts", name]) };
    let Ok(finished) = context.node.run(&command) else { return Vec::new() };
    let mut found = Vec::new();
    // One line for each address and kind of socket: `10.0.0.1  STREAM db1`.
    for line in finished.output.stdout.lines() {
        if let Some(Ok(address)) = line.split_whitespace().next().map(str::parse)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The addresses of a name in hosts(5).
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        let here = |port| Address { host: None, port };
        let at = |host: &str, port| Address { host: Some(host.into()), port };
        assert_eq!(Address::read(&Value::Int(80)), Ok(here(80)));
        assert_eq!(Address::parse("80"), Ok(here(80)));
        assert_eq!(Address::parse("127.0.0.1:80"), Ok(at("127.0.0.1", 80)));
        assert_eq!(Address::parse("db-1.example.org:5432"), Ok(at("db-1.example.org", 5432)));
        assert_eq!(Address::parse("[::1]:80"), Ok(at("::1", 80)));
        assert_eq!(Address::parse("[::1]:80").unwrap().show(), "[::1]:80");
        assert!(Address::parse("::1:80").unwrap_err().contains("brackets"));
        for bad in ["", "0", "65536", "host", "host:", ":80", "a b:80", "http://x:80x"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        assert!(Address::read(&Value::Int(0)).is_err());
    }

    #[test]
    fn names_of_the_hosts_file_are_found() {
        let text = "127.0.0.1 localhost\n10.0.0.7 db1.example.org db1 # the first\n::7 db1\n";
        assert_eq!(in_hosts(text, "DB1").len(), 2);
        assert!(in_hosts(text, "first").is_empty());
    }
}
