//! The inventory as it is asked: hosts, groups and who belongs where.

use std::collections::HashMap;

use cm_syntax::{Node, Span, Spanned, nearest};

use crate::draft::{Draft, Key, Value};
use crate::host_set::HostSet;
use crate::layer::Layer;
use crate::order::Constraint;
use crate::settings::Settings;

/// Names a host of one [`Inventory`]; ordered as the inventory is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(u32);

/// Names a group of one [`Inventory`]; ordered as the inventory is, `all` first.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(u32);

/// All hosts and groups of a repository, checked and linked. Immutable once made.
#[derive(Debug)]
pub struct Inventory {
    pub(crate) hosts: Vec<Host>,
    pub(crate) groups: Vec<Group>,
    pub(crate) host_names: HashMap<String, HostId>,
    pub(crate) group_names: HashMap<String, GroupId>,
    pub(crate) defaults: Vec<Value>,
    /// What groups say together, once for each set of groups that some host belongs to.
    pub(crate) layers: Vec<Layer>,
    pub(crate) constraints: Vec<Constraint>,
    /// What all of this was made of, where groups have rules: their hosts are put in later.
    pub(crate) draft: Option<Box<Draft>>,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) address: Option<Spanned<String>>,
    pub(crate) values: Vec<Value>,
    pub(crate) layer: u32,
    pub(crate) foreign: bool,
}

/// One group; `all` is one too, whether it is written or not.
#[derive(Debug)]
pub struct Group {
    pub(crate) name: String,
    pub(crate) span: Option<Span>,
    pub(crate) level: u32,
    pub(crate) children: Vec<GroupId>,
    pub(crate) hosts: HostSet,
    /// Those it names itself, in inventory order.
    pub(crate) own: HostSet,
    pub(crate) rule: Option<Node>,
    pub(crate) priority: i64,
    pub(crate) foreign: bool,
    pub(crate) roles: Vec<Spanned<String>>,
    pub(crate) values: Vec<Value>,
}

/// A role that belongs on a host because a group of it says so.
#[derive(Clone, Debug)]
pub struct AssignedRole<'i> {
    /// The role's name, at the first place that assigns it (the outermost group's).
    pub name: &'i Spanned<String>,
    /// The group that place belongs to.
    pub group: GroupId,
    /// The arguments of `with`, by name; of several groups the innermost that gives one counts.
    pub with: Vec<RoleArgument<'i>>,
}

/// One argument given to a role by `with`.
#[derive(Clone, Debug)]
pub struct RoleArgument<'i> {
    /// The parameter's name.
    pub name: &'i str,
    /// Where the name stands.
    pub span: Span,
    /// The value.
    pub value: &'i Node,
    /// The group that gives it.
    pub group: GroupId,
}

impl HostId {
    /// Position in the inventory, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Lossless: an inventory is limited to far fewer hosts.
    pub(crate) fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

impl GroupId {
    /// Position in the inventory, from 0, which is `all`.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

impl Host {
    /// The host's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its entry stands; for hosts of a range, where the range stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The address to connect to: what `address` says, else the name. May be an alias of `~/.ssh/config`.
    pub fn address(&self) -> &str {
        self.address.as_ref().map_or(&self.name, |address| &address.value)
    }

    /// Where the address is set; where the host's entry stands if the name is the address.
    pub fn address_span(&self) -> Span {
        self.address.as_ref().map_or(self.span, |address| address.span)
    }
}

impl Group {
    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was first written; None for an `all` nobody wrote.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// Groups in the longest chain of enclosing ones: 0 for `all`, 1 for a group nobody else holds. Higher is inner.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Groups named under `groups:`.
    pub fn children(&self) -> &[GroupId] {
        &self.children
    }

    /// The hosts it names itself, or that fit its rule, in inventory order; those of groups in it are not among them.
    pub fn own_hosts(&self) -> impl Iterator<Item = HostId> + '_ {
        self.own.iter()
    }

    /// `where`: the text of an expression.
    pub fn rule(&self) -> Option<&Node> {
        self.rule.as_ref()
    }

    /// The roles the group itself assigns, as written.
    pub fn roles(&self) -> &[Spanned<String>] {
        &self.roles
    }
}

impl Inventory {
    /// All hosts in inventory order: files by name, then as written.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = (HostId, &Host)> {
        self.hosts.iter().enumerate().map(|(index, host)| (HostId::from_index(index), host))
    }

    /// All groups, `all` first, then as written.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (GroupId, &Group)> {
        self.groups.iter().enumerate().map(|(index, group)| (GroupId::from_index(index), group))
    }

    /// One host.
    ///
    /// # Panics
    /// When the id is another inventory's.
    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.index()]
    }

    /// One group.
    ///
    /// # Panics
    /// When the id is another inventory's.
    pub fn group(&self, group: GroupId) -> &Group {
        &self.groups[group.index()]
    }

    /// Names of the variables of groups with rules, which hosts may come to have.
    pub fn variables_of_rules(&self) -> impl Iterator<Item = &str> {
        let values = self.groups.iter().filter(|group| group.rule.is_some()).flat_map(|group| &group.values);
        values.filter_map(|value| match &value.key {
            Key::Variable(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Looks up a host by its name.
    pub fn host_id(&self, name: &str) -> Option<HostId> {
        self.host_names.get(name).copied()
    }

    /// Looks up a group by its name.
    pub fn group_id(&self, name: &str) -> Option<GroupId> {
        self.group_names.get(name).copied()
    }

    /// The host name nearest to a mistyped one.
    pub fn nearest_host(&self, name: &str) -> Option<&str> {
        nearest(name, self.hosts.iter().map(|host| host.name.as_str()))
    }

    /// The group name nearest to a mistyped one.
    pub fn nearest_group(&self, name: &str) -> Option<&str> {
        nearest(name, self.groups.iter().map(|group| group.name.as_str()))
    }

    /// All hosts of a group and of the groups in it, in inventory order.
    pub fn hosts_of(&self, group: GroupId) -> impl Iterator<Item = HostId> + '_ {
        self.group(group).hosts.iter()
    }

    /// All groups a host belongs to, directly or not: `all` first, outer before inner, then as written.
    pub fn groups_of(&self, host: HostId) -> &[GroupId] {
        &self.layer(host).groups
    }

    /// The roles that belong on a host: those of all its groups, outermost group first, then as written, each once.
    pub fn roles_of(&self, host: HostId) -> Vec<AssignedRole<'_>> {
        let layer = self.layer(host);
        let mut roles: Vec<AssignedRole<'_>> = Vec::new();
        for &group in &layer.groups {
            for name in &self.group(group).roles {
                if !roles.iter().any(|role| role.name.value == name.value) {
                    roles.push(AssignedRole { name, group, with: self.arguments(layer, &name.value) });
                }
            }
        }
        roles
    }

    /// The arguments that the groups of a layer give to a role.
    fn arguments<'i>(&'i self, layer: &'i Layer, role: &str) -> Vec<RoleArgument<'i>> {
        let given = layer.values.iter().filter_map(|(key, slot)| match key {
            Key::With { role: of, name } if of == role => {
                let value = slot.winner.value(self);
                Some(RoleArgument { name, span: value.span, value: &value.node, group: slot.winner.group })
            }
            _ => None,
        });
        given.collect()
    }

    /// How a host is reached: its own settings, else those of its innermost group that has them, else `defaults`; each
    /// setting for itself.
    pub fn settings(&self, host: HostId) -> Settings {
        let layer = self.layer(host);
        let own = &self.host(host).values;
        Settings::resolve(|setting| {
            let key = Key::Setting(setting);
            let find = |values: &'_ [Value]| values.iter().position(|value| value.key == key);
            if let Some(at) = find(own) {
                return Some(&own[at].node);
            }
            if let Some(slot) = layer.values.get(&key) {
                return Some(&slot.winner.value(self).node);
            }
            find(&self.defaults).map(|at| &self.defaults[at].node)
        })
    }

    pub(crate) fn layer(&self, host: HostId) -> &Layer {
        &self.layers[self.host(host).layer as usize]
    }
}
