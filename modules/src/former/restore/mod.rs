//! Resources that bring a former state back. They run as any other: looked at, planned on the image of the
//! node, changed, looked at again.

mod account;
mod package;
mod path;
mod setting;
mod unit;

use super::{Former, Item};
use crate::{Resource, node::SettingKind};

/// How something is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Somebody else has changed the file since: what is there is kept beside it, with `.cm-kept` added to
    /// its name.
    pub keep_beside: bool,
    /// It is only brought back where it is still there: a service whose package goes needs no restart.
    pub if_there: bool,
}

/// When something is brought back: what rests on a thing goes before it, and comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// What modules of the repository manage: their programs find all that they may need.
    Modules,
    /// Services that did not run stop; mounts and swap areas that were not in use are released.
    Release,
    /// Groups that went come back.
    Groups,
    /// Users and packages' sources that went come back.
    Owners,
    /// Packages that went, or have another version, come back.
    Packages,
    /// Files, directories and links.
    Paths,
    /// Packages that came go.
    NoPackages,
    /// Users that came go.
    NoUsers,
    /// Groups that came go.
    NoGroups,
    /// Kernel values, mounts and the like come back.
    Settings,
    /// Services run again, as they did.
    Services,
}

/// When an item's former state is brought back.
#[must_use]
pub fn phase(item: &Item, former: &Former) -> Phase {
    let absent = *former == Former::Absent;
    match (item, former) {
        (Item::Path(bytes), _) if is_package_source(bytes) && !absent => Phase::Owners,
        (Item::Path(_), _) => Phase::Paths,
        (Item::User(_), _) if absent => Phase::NoUsers,
        (Item::Group(_), _) if absent => Phase::NoGroups,
        (Item::Group(_), _) => Phase::Groups,
        (Item::User(_), _) => Phase::Owners,
        (Item::Package(_), Former::Absent | Former::Configuration) => Phase::NoPackages,
        (Item::Package(_), _) => Phase::Packages,
        (Item::Unit(_), Former::Unit { active, .. }) if unit::runs(active) => Phase::Services,
        (Item::Unit(_), _) => Phase::Release,
        (Item::Setting(SettingKind::Custom, _), _) => Phase::Modules,
        (Item::Setting(..), _) if absent => Phase::Release,
        (Item::Setting(..), _) => Phase::Settings,
    }
}

/// What a package manager reads to know where packages come from.
fn is_package_source(path: &[u8]) -> bool {
    [&b"/etc/apt/"[..], b"/etc/yum.repos.d/", b"/etc/zypp/repos.d/"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// A resource that brings an item's former state back; none where nothing is known of it.
#[must_use]
pub fn restore(item: &Item, former: &Former, manner: Manner) -> Option<Box<dyn Resource>> {
    Some(match (item, former) {
        (_, Former::Unknown | Former::Special) => return None,
        (Item::Path(_), _) => Box::new(path::PathWas { path: item.path()?, former: former.clone(), manner }),
        (Item::Package(name), _) => Box::new(package::PackageWas::new(name, former)),
        (Item::User(name), _) => Box::new(account::UserWas { name: name.clone(), former: former.clone() }),
        (Item::Group(name), _) => Box::new(account::GroupWas { name: name.clone(), former: former.clone() }),
        (Item::Unit(name), Former::Unit { active, file, load }) => {
            Box::new(unit::UnitWas::new(name, active, file, load, manner))
        }
        (Item::Unit(_), _) => return None,
        (Item::Setting(kind, key), former) => {
            let value = match former {
                Former::Setting(value) => Some(value.clone()),
                _ => None,
            };
            Box::new(setting::SettingWas { kind: *kind, key: key.clone(), value })
        }
    })
}
