//! Names of systemd units as a user writes them (systemd.unit(5)).

use std::fmt;

/// The suffixes that systemd knows.
pub const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];
/// systemd's own limit, in bytes.
const LONGEST: usize = 255;

/// The name of a unit with its suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// Reads a name; one without a suffix is a service's.
    ///
    /// # Errors
    /// A fragment that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let has_suffix = text.rsplit_once('.').is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix));
        let name = if has_suffix { text.to_owned() } else { format!("{text}.service") };
        let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if stem.is_empty() || stem.starts_with('@') || !stem.bytes().all(allowed) {
            return Err(format!("{text:?} is not a name that a systemd unit can have"));
        }
        if name.len() > LONGEST {
            return Err(format!("{text:?} is longer than the {LONGEST} bytes a unit's name can have"));
        }
        Ok(Self(name))
    }

    /// Whether it is a template (`getty@.service`), which cannot run itself.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.0.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with('@'))
    }

    /// An instance of this template.
    #[must_use]
    pub fn instance(&self, name: &str) -> String {
        match self.0.rsplit_once('.') {
            Some((stem, suffix)) => format!("{stem}{name}.{suffix}"),
            None => self.0.clone(),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_suffix_is_a_services() {
        assert_eq!(UnitName::parse("nginx").unwrap().as_str(), "nginx.service");
        assert_eq!(UnitName::parse("php8.2-fpm").unwrap().as_str(), "php8.2-fpm.service");
        assert_eq!(UnitName::parse("apt-daily.timer").unwrap().as_str(), "apt-daily.timer");
        assert_eq!(
            UnitName::parse(r"dev-disk-by\x2dlabel-a.swap").unwrap().as_str(),
            r"dev-disk-by\x2dlabel-a.swap"
        );
        for wrong in ["", ".service", "a b", "a/b", "@x", "*", "nginx\n"] {
            assert!(UnitName::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn templates_are_told_from_instances() {
        let template = UnitName::parse("getty@").unwrap();
        assert!(template.is_template());
        assert_eq!(template.instance("tty1"), "getty@tty1.service");
        assert!(!UnitName::parse("getty@tty1").unwrap().is_template());
    }
}
