//! Names of kernel parameters, as sysctl(8) and sysctl.d(5) write them.

use cm_wire::Value;

use crate::{Kind, Param};

/// Parameters that come with a kernel module of another name.
const MODULES: [(&str, &str); 2] =
    [("net.bridge.", "br_netfilter"), ("net.netfilter.nf_conntrack_", "nf_conntrack")];

/// The name of a parameter in its one spelling: dots part it, and a slash stands for a dot within a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `net.ipv4.conf.eth0/100.forwarding`.
    pub dotted: String,
}

impl Param for Key {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        let wrong = || format!("{text:?} is no name of a kernel parameter such as net.ipv4.ip_forward");
        let dotted = dotted(&text);
        let good = |part: &str| {
            !part.is_empty()
                // A slash alone would be the folder itself, two the one above.
                && part.bytes().any(|byte| byte != b'/')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/:@+~".contains(&byte))
        };
        if !dotted.contains('.') || dotted.starts_with('-') || !dotted.split('.').all(good) {
            return Err(wrong());
        }
        Ok(Self { dotted })
    }
}

/// The first of dot and slash in a name says what parts it (sysctl.d(5)).
fn dotted(text: &str) -> String {
    match text.find(['.', '/']) {
        Some(first) if text[first..].starts_with('/') => text
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => text.to_owned(),
    }
}

impl Key {
    /// As a part of a file's name, another one for each key.
    pub fn file_part(&self) -> String {
        // No key holds this.
        self.dotted.replace('/', "%")
    }

    /// The kernel module that brings it, where that is known.
    pub fn module(&self) -> Option<&'static str> {
        MODULES.iter().find(|(start, _)| self.dotted.starts_with(start)).map(|(_, module)| *module)
    }

    /// The value that a line of sysctl.conf(5) gives it.
    pub fn set_by(&self, line: &str) -> Option<String> {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let same = dotted(key.strip_prefix('-').unwrap_or(key)) == self.dotted;
        same.then(|| value.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Key, String> {
        Key::read(&text.into())
    }

    #[test]
    fn both_spellings_are_one_key() {
        let vlan = key("net/ipv4/conf/eth0.100/forwarding").unwrap();
        assert_eq!(vlan.dotted, "net.ipv4.conf.eth0/100.forwarding");
        assert_eq!(key(&vlan.dotted).unwrap(), vlan);
        assert_eq!(vlan.file_part(), "net.ipv4.conf.eth0%100.forwarding");
        assert_eq!(key("vm.swappiness").unwrap().file_part(), "vm.swappiness");
        assert_eq!(key("net.bridge.bridge-nf-call-iptables").unwrap().module(), Some("br_netfilter"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "", "vm", "vm.", ".vm.x", "vm..x", "vm x.y", "vm.x=1", "-vm.x", "net.*.x", "a.//.b", "a././b",
            "../x", "a\n.b",
        ] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_of_files_are_read() {
        let key = key("net.ipv4.ip_forward").unwrap();
        assert_eq!(key.set_by(" net/ipv4/ip_forward =\t0 ").as_deref(), Some("0"));
        assert_eq!(key.set_by("-net.ipv4.ip_forward=1").as_deref(), Some("1"));
        assert_eq!(key.set_by("#net.ipv4.ip_forward=1"), None);
        assert_eq!(key.set_by("net.ipv4.ip_forward_x=1"), None);
    }
}
