//! One line of hosts(5): an address, names, and a comment.

use std::net::IpAddr;

use cm_wire::Value;

use crate::{Kind, Param};

/// An address as it is written, compared by what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As written.
    pub text: String,
    address: IpAddr,
    /// The zone behind `%`, of an address that is valid on one link only.
    zone: Option<String>,
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) if !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic()) => {
                (address, Some(zone.to_owned()))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        (address.is_ipv6() || zone.is_none()).then(|| Self { text: text.to_owned(), address, zone })
    }

    /// Whether both are one address, however they are written.
    pub fn same(&self, other: &Self) -> bool {
        (self.address, &self.zone) == (other.address, &other.zone)
    }

    /// Whether both are IPv4 or both IPv6.
    pub fn same_family(&self, other: &Self) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
    }
}

impl Param for Address {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no IPv4 or IPv6 address"))
    }
}

/// A line with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostLine {
    pub address: Address,
    pub names: Vec<String>,
    /// The address with the blanks around it.
    head: Vec<u8>,
    /// What stands behind the last name: blanks and a comment.
    tail: Vec<u8>,
}

impl HostLine {
    /// None for a comment, a blank line, and one that nobody can make sense of (which stays as it is).
    pub fn read(line: &[u8]) -> Option<Self> {
        let comment = line.iter().position(|&byte| byte == b'#').unwrap_or(line.len());
        let text = std::str::from_utf8(&line[..comment]).ok()?;
        let entry = text.trim_end_matches([' ', '\t', '\r']);
        let start = entry.len() - entry.trim_start_matches([' ', '\t']).len();
        let end = entry[start..].find([' ', '\t']).map_or(entry.len(), |end| start + end);
        let address = Address::parse(&entry[start..end])?;
        let names_at = entry.len() - entry[end..].trim_start_matches([' ', '\t']).len();
        let names = entry[names_at..].split([' ', '\t']).filter(|name| !name.is_empty()).map(str::to_owned);
        Some(Self {
            address,
            names: names.collect(),
            head: line[..names_at].to_vec(),
            tail: line[entry.len()..].to_vec(),
        })
    }

    /// The names that its line is to have: the wanted ones in their order, where the first of them is, and
    /// the others as they are.
    pub fn with(&self, wanted: &[String], exclusive: bool) -> Vec<String> {
        let is_wanted = |name: &&String| super::is_among(name, wanted);
        let there: Vec<&String> = self.names.iter().filter(is_wanted).collect();
        let same = |(one, other): (&&String, &String)| one.eq_ignore_ascii_case(other);
        let in_order = there.len() == wanted.len() && there.iter().zip(wanted).all(same);
        if in_order && (!exclusive || there.len() == self.names.len()) {
            return self.names.clone();
        }
        if exclusive {
            return wanted.to_vec();
        }
        let first = self.names.iter().position(|name| is_wanted(&name)).unwrap_or(self.names.len());
        let others =
            |names: &[String]| names.iter().filter(|name| !is_wanted(name)).cloned().collect::<Vec<_>>();
        [others(&self.names[..first]), wanted.to_vec(), others(&self.names[first..])].concat()
    }

    /// The line with other names.
    pub fn show(&self, names: &[String]) -> Vec<u8> {
        let gap: &[u8] = if self.head.ends_with(b" ") || self.head.ends_with(b"\t") { b"" } else { b"\t" };
        [&self.head, gap, names.join(" ").as_bytes(), &self.tail].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_by_what_they_mean() {
        let address = |text: &str| Address::parse(text).unwrap();
        assert!(address("::1").same(&address("0:0::0:1")));
        assert!(!address("fe80::1%eth0").same(&address("fe80::1%eth1")));
        assert!(!address("::1").same_family(&address("127.0.0.1")));
        for bad in
            ["", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1%eth0", "fe80::1%", "host", "10.0.0.1 a"]
        {
            assert_eq!(Address::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_line_is_read_and_shown() {
        let text = b" 10.0.0.1 \ta.b  a \t# why \xff";
        let line = HostLine::read(text).unwrap();
        assert_eq!(line.names, ["a.b", "a"]);
        assert_eq!(line.show(&["x".into()]), b" 10.0.0.1 \tx \t# why \xff");
        assert_eq!(HostLine::read(b"10.0.0.1").unwrap().show(&["x".into()]), b"10.0.0.1\tx");
        for other in [&b"# 10.0.0.1 a"[..], b"", b"nonsense a", b"10.0.0.1\xff a"] {
            assert_eq!(HostLine::read(other), None);
        }
    }
}
