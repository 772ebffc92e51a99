//! The operating system and its names, from texts of /etc and /proc.

use std::collections::HashMap;

use cm_wire::{Memory, Os};

/// Families by the words of `ID` and `ID_LIKE`.
const FAMILIES: &[(&str, &[&str])] = &[
    ("debian", &["debian", "ubuntu", "raspbian", "devuan", "linuxmint", "kali"]),
    ("redhat", &["rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"]),
    ("suse", &["suse", "sles", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sle_hpc"]),
    ("arch", &["arch", "archarm", "manjaro", "endeavouros"]),
    ("alpine", &["alpine", "postmarketos"]),
];

/// Reads os-release(5).
pub(super) fn parse_os(text: &str) -> Os {
    let values: HashMap<&str, String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), unquote(value.trim())))
        .collect();
    let value = |key: &str| values.get(key).cloned().unwrap_or_default();
    let name = if values.contains_key("ID") { value("ID") } else { "linux".to_owned() };
    let like = value("ID_LIKE");
    let family = std::iter::once(name.as_str())
        .chain(like.split_whitespace())
        .find_map(|word| FAMILIES.iter().find(|(_, words)| words.contains(&word)).map(|(family, _)| *family))
        .unwrap_or(&name)
        .to_owned();
    Os { family, version: value("VERSION_ID"), codename: value("VERSION_CODENAME"), name }
}

/// Takes the quotes of a shell word away.
fn unquote(value: &str) -> String {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)));
    match inner {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\$", "$").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

/// The package manager: that of the family if it is there, else the first that is.
pub(super) fn package_manager(family: &str, exists: &dyn Fn(&str) -> bool) -> &'static str {
    const MANAGERS: &[(&str, &str, &[&str])] = &[
        ("debian", "apt", &["/usr/bin/apt-get"]),
        ("redhat", "dnf", &["/usr/bin/dnf", "/usr/bin/dnf5", "/usr/bin/microdnf"]),
        ("suse", "zypper", &["/usr/bin/zypper"]),
        ("arch", "pacman", &["/usr/bin/pacman"]),
        ("alpine", "apk", &["/sbin/apk", "/usr/sbin/apk", "/usr/bin/apk"]),
    ];
    let there = |programs: &[&str]| programs.iter().any(|program| exists(program));
    let own = MANAGERS.iter().filter(|(of, ..)| *of == family);
    own.chain(MANAGERS).find(|(_, _, programs)| there(programs)).map_or("", |(_, manager, _)| manager)
}

/// `MemTotal` and `MemAvailable` of /proc/meminfo, in bytes.
pub(super) fn parse_memory(text: &str) -> Memory {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    };
    Memory { total: value("MemTotal"), available: value("MemAvailable") }
}

/// Counts a list of ranges such as `0-3,6`.
pub(super) fn count_cpus(ranges: &str) -> u32 {
    let count = |range: &str| match range.split_once('-') {
        Some((first, last)) => Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => range.parse::<u32>().ok().map(|_| 1),
    };
    ranges.trim().split(',').filter_map(count).sum()
}

/// The fully qualified name: the host name where it has dots, else the first name with dots that
/// /etc/hosts gives on a line of the host name (hostname(1)'s way), else the host name.
pub(super) fn fqdn(hostname: &str, hosts: &str) -> String {
    if hostname.contains('.') {
        return hostname.to_owned();
    }
    hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| names.contains(&hostname))
        .find_map(|names| names.into_iter().find(|name| name.contains('.') && name.starts_with(hostname)))
        .unwrap_or(hostname)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_come_from_the_id_and_what_it_is_like() {
        let debian = parse_os(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n",
        );
        assert_eq!(
            debian,
            Os {
                family: "debian".into(),
                name: "debian".into(),
                version: "12".into(),
                codename: "bookworm".into()
            }
        );
        for (text, family) in [
            ("ID=pop\nID_LIKE=\"ubuntu debian\"\n", "debian"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "redhat"),
            ("ID='opensuse-leap'\nID_LIKE='suse opensuse'\n", "suse"),
            ("ID=arch\n", "arch"),
            ("ID=alpine\n", "alpine"),
            ("ID=void\n", "void"),
            ("", "linux"),
        ] {
            assert_eq!(parse_os(text).family, family, "{text}");
        }
    }

    #[test]
    fn the_own_package_manager_comes_first() {
        let both = |path: &str| path == "/usr/bin/apt-get" || path == "/usr/bin/dnf";
        assert_eq!(package_manager("redhat", &both), "dnf");
        assert_eq!(package_manager("debian", &both), "apt");
        assert_eq!(package_manager("void", &both), "apt");
        assert_eq!(package_manager("debian", &|_| false), "");
    }

    #[test]
    fn numbers_are_read() {
        let memory = parse_memory("MemTotal:        2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n");
        assert_eq!(memory, Memory { total: 2_097_152, available: 1_048_576 });
        assert_eq!(count_cpus("0-3,6\n"), 5);
        assert_eq!(count_cpus(""), 0);
    }

    #[test]
    fn the_full_name_stands_in_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tweb1.example.org web1 # us\n10.0.0.1 web1.other.org\n";
        assert_eq!(fqdn("web1", hosts), "web1.example.org");
        assert_eq!(fqdn("web2", hosts), "web2");
        assert_eq!(fqdn("a.b", hosts), "a.b");
    }
}
