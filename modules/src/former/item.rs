//! Things by a name that can be stored.

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{Thing, node::SettingKind};

/// A thing that has a state of its own. Stored in journals: new kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Item {
    /// A path, as bytes.
    Path(Vec<u8>),
    /// A user account.
    User(String),
    /// A group of users.
    Group(String),
    /// A package.
    Package(String),
    /// A systemd unit with its suffix.
    Unit(String),
    /// A named value of the running node.
    Setting(SettingKind, String),
}

impl Item {
    /// The item that stands for a thing; none for a thing whose state is that of others (a repository is
    /// its files).
    #[must_use]
    pub fn of(thing: &Thing) -> Option<Self> {
        Some(match thing {
            Thing::Path(path) => Self::Path(path.as_os_str().as_bytes().to_vec()),
            Thing::User(name) => Self::User(name.clone()),
            Thing::Group(name) => Self::Group(name.clone()),
            Thing::Package(name) => Self::Package(name.clone()),
            Thing::Unit(name) | Thing::Service(name) => Self::Unit(name.clone()),
            Thing::Setting(kind, key) => Self::Setting(*kind, key.clone()),
            Thing::Repository(_) | Thing::Mount(_) | Thing::Other(_) => return None,
        })
    }

    /// The path, where it is one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Path(bytes) => Some(PathBuf::from(OsString::from_vec(bytes.clone()))),
            _ => None,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(bytes) => match std::str::from_utf8(bytes) {
                Ok(path) => write!(f, "path:{path}"),
                Err(_) => write!(f, "path:{:?}", std::ffi::OsStr::from_bytes(bytes)),
            },
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Package(name) => write!(f, "package:{name}"),
            Self::Unit(name) => write!(f, "unit:{name}"),
            Self::Setting(SettingKind::Custom, key) => f.write_str(key),
            Self::Setting(kind, key) => write!(f, "{}:{key}", kind.word()),
        }
    }
}
