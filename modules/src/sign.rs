//! What on a node tells that a resource may have changed, so that it can be watched instead of looked at again
//! and again. Only names: who watches is the agent.

use std::path::{Path, PathBuf};

use crate::{Class, Thing, Touches, node::SettingKind};

/// Something whose events say that a look at a resource may answer differently now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// A path: what is there, its content and its attributes. A link is itself, never what it points to.
    Path(PathBuf),
    /// The same, and the entries of the directory there, one level deep.
    Entries(PathBuf),
    /// The same, and everything below it, without following links.
    Below(PathBuf),
    /// A systemd unit with its suffix: its state, and whether it is enabled or masked.
    Unit(String),
    /// The table of mounted file systems.
    Mounts,
    /// The table of swap areas.
    Swaps,
    /// The name of the running kernel.
    Hostname,
    /// Nothing tells; the word says what it is about. Only a look at everything sees it.
    Nothing(&'static str),
}

/// Accounts are kept in these (passwd(5), group(5), shadow(5)).
const ACCOUNTS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];
/// dpkg's and apk's databases are files; those of rpm and pacman folders.
const PACKAGE_FILES: [&str; 2] = ["/var/lib/dpkg/status", "/lib/apk/db/installed"];
const PACKAGE_FOLDERS: [&str; 3] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/var/lib/pacman/local"];

impl Sign {
    /// What tells of a thing.
    #[must_use]
    pub fn of(thing: &Thing) -> Vec<Self> {
        match thing {
            Thing::Path(path) => vec![Self::Path(path.clone())],
            Thing::User(_) | Thing::Group(_) => paths(&ACCOUNTS).collect(),
            Thing::Package(_) => packages(),
            Thing::Unit(name) | Thing::Service(name) => vec![Self::Unit(name.clone())],
            Thing::Mount(_) => vec![Self::Mounts],
            Thing::Setting(kind, key) => of_setting(*kind, key),
            // Their files tell.
            Thing::Repository(_) => Vec::new(),
            Thing::Other(_) => vec![Self::Nothing("what only its module knows")],
        }
    }

    /// What tells of everything that is made; and of the users and groups by whose names it is owned.
    #[must_use]
    pub fn of_touches(touches: &Touches) -> Vec<Self> {
        let mut signs: Vec<Self> = touches.makes.iter().flat_map(Self::of).collect();
        if touches.needs.iter().any(|thing| matches!(thing, Thing::User(_) | Thing::Group(_))) {
            signs.extend(paths(&ACCOUNTS));
        }
        match touches.class {
            Class::Opaque => signs.push(Self::Nothing("commands")),
            Class::Check => signs.push(Self::Nothing("checks")),
            _ => {}
        }
        crate::in_order::sort(&mut signs);
        signs.dedup();
        signs
    }

    /// The signs of touches, where what is at `path` is more than the path itself: all below it.
    #[must_use]
    pub fn with_all_below(touches: &Touches, path: &Path) -> Vec<Self> {
        let mut signs = Self::of_touches(touches);
        signs.push(Self::Below(path.to_owned()));
        signs
    }
}

fn paths(list: &'static [&'static str]) -> impl Iterator<Item = Sign> {
    list.iter().map(|path| Sign::Path(PathBuf::from(path)))
}

fn packages() -> Vec<Sign> {
    paths(&PACKAGE_FILES)
        .chain(PACKAGE_FOLDERS.iter().map(|path| Sign::Entries(PathBuf::from(path))))
        .collect()
}

fn of_setting(kind: SettingKind, key: &str) -> Vec<Sign> {
    let path = |path: &str| Sign::Path(PathBuf::from(path));
    match kind {
        SettingKind::Sysctl => vec![Sign::Nothing("running kernel parameters")],
        SettingKind::KernelModule => vec![Sign::Nothing("loaded kernel modules")],
        SettingKind::Mounted => vec![Sign::Mounts],
        SettingKind::Swap => vec![Sign::Swaps],
        SettingKind::Hostname => vec![Sign::Hostname],
        SettingKind::Alternative => vec![
            Sign::Path(Path::new("/var/lib/dpkg/alternatives").join(key)),
            Sign::Path(Path::new("/var/lib/alternatives").join(key)),
            Sign::Path(Path::new("/etc/alternatives").join(key)),
        ],
        SettingKind::Debconf => {
            vec![path("/var/cache/debconf/config.dat"), path("/var/cache/debconf/passwords.dat")]
        }
        SettingKind::GitCheckout => vec![Sign::Below(PathBuf::from(key))],
        SettingKind::Custom => vec![Sign::Nothing("what modules of the repository manage")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owned_by_name_follows_the_accounts() {
        let touches = Touches::new(Class::File).makes(Thing::Path("/srv/a".into())).owned(Some("www"), None);
        let signs = Sign::of_touches(&touches);
        assert!(
            signs.contains(&Sign::Path("/srv/a".into())) && signs.contains(&Sign::Path("/etc/passwd".into()))
        );
    }

    #[test]
    fn what_nothing_tells_of_is_said() {
        let touches = Touches::new(Class::Opaque);
        assert_eq!(Sign::of_touches(&touches), [Sign::Nothing("commands")]);
        let setting = Thing::Setting(SettingKind::Sysctl, "vm.swappiness".into());
        assert!(matches!(Sign::of(&setting)[..], [Sign::Nothing(_)]));
    }
}
