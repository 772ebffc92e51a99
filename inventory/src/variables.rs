//! Variables of a host, each with the place it comes from and the places it hides.
//!
//! A value replaces another as a whole: lists and maps of an outer group are not mixed with those of an inner one.

use std::collections::BTreeMap;

use cm_syntax::{Node, Span};

use crate::draft::Key;
use crate::layer::Place;
use crate::{HostId, Inventory};

/// A variable of one host.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The value; templates that do not name a range are not rendered.
    pub value: Node,
    /// Where the value comes from.
    pub origin: Origin,
    /// What the value hides, strongest first.
    pub overridden: Vec<Origin>,
    /// From an inventory of others: its templates may be of a kind that is not ours.
    pub foreign: bool,
}

/// Where a value was set.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// Who set it.
    pub kind: OriginKind,
    /// The name in the file, or in what was typed.
    pub span: Span,
}

/// Who set a value, weakest first; this crate gives `Group` and `Host`, the others are put on by who knows roles.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OriginKind {
    /// `default` of a role's parameter.
    RoleDefault {
        /// The role.
        role: String,
    },
    /// `vars` of a group.
    Group {
        /// The group's level: inner groups have higher ones.
        level: u32,
        /// The group.
        group: String,
    },
    /// `vars` of the host.
    Host {
        /// The host.
        host: String,
    },
    /// `with` of a role that is needed or assigned.
    With {
        /// The role that is given the value.
        role: String,
    },
    /// `--set` on the command line.
    Set,
}

impl std::fmt::Display for OriginKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RoleDefault { role } => write!(f, "default of role `{role}`"),
            Self::Group { group, .. } => write!(f, "group `{group}`"),
            Self::Host { host } => write!(f, "host `{host}`"),
            Self::With { role } => write!(f, "`with` of role `{role}`"),
            Self::Set => f.write_str("--set"),
        }
    }
}

impl Inventory {
    /// The variables of a host as its groups and the host itself set them, by name.
    pub fn variables(&self, host: HostId) -> BTreeMap<String, Variable> {
        let mut variables = BTreeMap::new();
        for (key, slot) in &self.layer(host).values {
            let Key::Variable(name) = key else { continue };
            let variable = Variable {
                foreign: slot.winner.value(self).rank.is_some(),
                value: slot.winner.value(self).node.clone(),
                origin: self.origin(slot.winner),
                overridden: slot.overridden.iter().map(|place| self.origin(*place)).collect(),
            };
            variables.insert(name.clone(), variable);
        }
        let host = self.host(host);
        for value in &host.values {
            let Key::Variable(name) = &value.key else { continue };
            let origin = Origin { kind: OriginKind::Host { host: host.name.clone() }, span: value.span };
            let hidden: Option<Variable> = variables.remove(name);
            let overridden = hidden.map_or_else(Vec::new, |hidden| {
                std::iter::once(hidden.origin).chain(hidden.overridden).collect()
            });
            let foreign = value.rank.is_some();
            variables
                .insert(name.clone(), Variable { value: value.node.clone(), origin, overridden, foreign });
        }
        variables
    }

    fn origin(&self, place: Place) -> Origin {
        let group = self.group(place.group);
        let kind = OriginKind::Group { level: group.level, group: group.name.clone() };
        Origin { kind, span: place.value(self).span }
    }
}
