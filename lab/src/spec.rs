//! What a lab should be: its name, its hosts, where its files go.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::LabError;

/// The most hosts one lab can have: addresses `.11` to `.250` of its subnet.
pub(crate) const MOST_HOSTS: usize = 240;

/// A release of Debian that hosts can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Release {
    /// Debian 11, bullseye.
    #[serde(rename = "debian-11")]
    Debian11,
    /// Debian 12, bookworm.
    #[serde(rename = "debian-12")]
    Debian12,
    /// Debian 13, trixie.
    #[serde(rename = "debian-13")]
    Debian13,
}

impl Release {
    /// All releases, oldest first.
    pub const ALL: [Self; 3] = [Self::Debian11, Self::Debian12, Self::Debian13];

    /// The name as users write it: `debian-12`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian11 => "debian-11",
            Self::Debian12 => "debian-12",
            Self::Debian13 => "debian-13",
        }
    }

    /// Debian's code name, which names the suites of its archive.
    #[must_use]
    pub fn codename(self) -> &'static str {
        match self {
            Self::Debian11 => "bullseye",
            Self::Debian12 => "bookworm",
            Self::Debian13 => "trixie",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Release {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        Self::ALL
            .into_iter()
            .find(|release| {
                text == release.name() || text == release.codename() || Some(text) == release.name().get(7..)
            })
            .ok_or_else(|| LabError::InvalidHosts {
                why: format!("`{text}` is not a release; there are debian-11, debian-12 and debian-13"),
            })
    }
}

/// Where what hosts write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// To a tmpfs of the lab: fast, gone with the lab, at most half of the machine's memory.
    #[default]
    Memory,
    /// To `/var/lib/cm-lab`: for hosts that hold gigabytes.
    Disk,
}

/// Which package sources hosts have beside the lab's own small one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageSource {
    /// The Debian archive as this machine reaches it.
    #[default]
    Machine,
    /// Nothing else: no host ever asks the network for packages.
    LocalOnly,
}

/// One host of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// Its name in the inventory and its host name.
    pub name: String,
    /// What it runs.
    pub release: Release,
}

/// A lab to be.
#[derive(Debug, Clone)]
pub struct LabSpec {
    /// The lab's name: lower-case letters, digits and `-`, at most 32.
    pub name: String,
    /// Its hosts, in the order of their addresses.
    pub hosts: Vec<HostSpec>,
    /// The folder that `inventory.yaml`, `known_hosts`, `lab_key` and `lab_key.pub` are written to.
    pub dir: PathBuf,
    /// Where what hosts write goes.
    pub storage: Storage,
    /// Which package sources hosts have.
    pub packages: PackageSource,
    /// How long one host may take from its start until sshd answers.
    pub boot_limit: Duration,
    /// How many hosts boot at the same time; 0 for a number that fits the machine.
    pub boot_together: usize,
}

impl LabSpec {
    /// A lab of these hosts, with the usual settings.
    pub fn new(name: impl Into<String>, hosts: Vec<HostSpec>, dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            hosts,
            dir: dir.into(),
            storage: Storage::default(),
            packages: PackageSource::default(),
            boot_limit: Duration::from_secs(90),
            boot_together: 0,
        }
    }

    /// A lab of `count` hosts of one release: `web1`, `web2`, … and, from two hosts on, `db1` as the last.
    pub fn numbered(name: impl Into<String>, count: u16, release: Release, dir: impl Into<PathBuf>) -> Self {
        let webs = if count > 1 { count - 1 } else { count };
        let mut hosts: Vec<HostSpec> =
            (1..=webs).map(|n| HostSpec { name: format!("web{n}"), release }).collect();
        if count > 1 {
            hosts.push(HostSpec { name: "db1".into(), release });
        }
        Self::new(name, hosts, dir)
    }

    /// Checks names and numbers; nothing has been touched when this refuses.
    pub(crate) fn check(&self) -> Result<(), LabError> {
        check_lab_name(&self.name)?;
        if self.hosts.is_empty() {
            return Err(LabError::InvalidHosts { why: "there are none; a lab has at least one".into() });
        }
        if self.hosts.len() > MOST_HOSTS {
            let count = self.hosts.len();
            return Err(LabError::InvalidHosts { why: format!("{count} are more than {MOST_HOSTS}") });
        }
        let mut seen = BTreeSet::new();
        for host in &self.hosts {
            if let Some(why) = wrong_name(&host.name, 63) {
                return Err(LabError::InvalidHosts {
                    why: format!("`{}` cannot name one: {why}", host.name),
                });
            }
            if !seen.insert(&host.name) {
                return Err(LabError::InvalidHosts { why: format!("`{}` is there twice", host.name) });
            }
        }
        Ok(())
    }
}

/// Refuses names that could lead a path out of the labs' folders.
pub(crate) fn check_lab_name(name: &str) -> Result<(), LabError> {
    match wrong_name(name, 32) {
        Some(why) => Err(LabError::InvalidName { name: name.into(), why }),
        None => Ok(()),
    }
}

fn wrong_name(name: &str, longest: usize) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > longest {
        Some("it is too long")
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Some("it does not begin with a lower-case letter")
    } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        Some("it holds something else than lower-case letters, digits and `-`")
    } else if name.ends_with('-') {
        Some("it ends with `-`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u16) -> Vec<String> {
        let spec = LabSpec::numbered("x", count, Release::Debian12, "/tmp");
        spec.hosts.into_iter().map(|host| host.name).collect()
    }

    #[test]
    fn the_last_of_several_hosts_is_the_database() {
        assert_eq!(names(1), ["web1"]);
        assert_eq!(names(2), ["web1", "db1"]);
        assert_eq!(names(3), ["web1", "web2", "db1"]);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "a/b", "A", "1a", "a-", &"a".repeat(33)] {
            assert!(check_lab_name(name).is_err(), "{name:?} was taken");
        }
        assert!(check_lab_name("demo-2").is_ok());
    }

    #[test]
    fn a_host_named_twice_is_refused() {
        let mut spec = LabSpec::numbered("x", 2, Release::Debian12, "/tmp");
        spec.hosts[1].name = "web1".into();
        assert!(spec.check().unwrap_err().to_string().contains("`web1` is there twice"));
    }

    #[test]
    fn a_release_is_known_by_name_number_and_code_name() {
        for text in ["debian-13", "13", "trixie"] {
            assert_eq!(text.parse::<Release>().unwrap(), Release::Debian13);
        }
        assert!("debian-9".parse::<Release>().is_err());
    }
}
