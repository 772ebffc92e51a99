//! Hosts, groups and variables as Ansible puts them together, whatever file, script or service they come from.
//!
//! The rules are those of ansible-core's `inventory/data.py` and `inventory/group.py`: whoever comes later wins, groups
//! that nobody holds are held by `all`, hosts without a group are in `ungrouped`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cm_syntax::{Diagnostic, Diagnostics, Node, Span, Yaml};

use crate::range::MOST_HOSTS;

/// Group of hosts that are in no other group.
pub(crate) const UNGROUPED: &str = "ungrouped";
/// The variable that sets a group's priority; Ansible does not keep it as a variable.
const PRIORITY: &str = "ansible_group_priority";

/// A variable and where its name stands.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub span: Span,
    pub node: Node,
}

pub(crate) type Variables = BTreeMap<String, Set>;

/// All that Ansible's sources say together.
#[derive(Debug)]
pub(crate) struct World {
    pub groups: Vec<Group>,
    pub hosts: Vec<Host>,
    pub group_names: HashMap<String, usize>,
    pub host_names: HashMap<String, usize>,
    /// Told already that there are too many hosts.
    full: bool,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub name: String,
    /// Where it was first named; none for `all` and `ungrouped` nobody wrote.
    pub span: Option<Span>,
    pub variables: Variables,
    pub children: Vec<usize>,
    pub hosts: Vec<usize>,
    members: BTreeSet<usize>,
    parents: Vec<usize>,
    pub priority: i64,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub name: String,
    pub span: Span,
    pub variables: Variables,
    /// Groups that name it.
    pub groups: Vec<usize>,
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            groups: Vec::new(),
            hosts: Vec::new(),
            group_names: HashMap::new(),
            host_names: HashMap::new(),
            full: false,
        };
        for name in [crate::native::ALL, UNGROUPED] {
            world.group_names.insert(name.to_owned(), world.groups.len());
            world.groups.push(Group::new(name, None));
        }
        world.link(0, 1);
        world
    }
}

impl Group {
    fn new(name: &str, span: Option<Span>) -> Self {
        Self {
            name: name.to_owned(),
            span,
            variables: Variables::new(),
            children: Vec::new(),
            hosts: Vec::new(),
            members: BTreeSet::new(),
            parents: Vec::new(),
            priority: 1,
        }
    }
}

impl World {
    /// Whether nothing was read into it.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
            && self.groups.len() <= 2
            && self.groups.iter().all(|group| group.variables.is_empty())
    }

    /// The group of a name, made where it is not there.
    pub(crate) fn group(&mut self, name: &str, span: Span) -> usize {
        if let Some(&group) = self.group_names.get(name) {
            self.groups[group].span.get_or_insert(span);
            return group;
        }
        self.group_names.insert(name.to_owned(), self.groups.len());
        self.groups.push(Group::new(name, Some(span)));
        self.groups.len() - 1
    }

    /// The host of a name, made where it is not there, as a member of a group. None when there are too many.
    pub(crate) fn host(
        &mut self,
        name: &str,
        span: Span,
        group: Option<usize>,
        diagnostics: &mut Diagnostics,
    ) -> Option<usize> {
        let host = match self.host_names.get(name) {
            Some(&host) => host,
            None if self.hosts.len() >= MOST_HOSTS => {
                if !std::mem::replace(&mut self.full, true) {
                    diagnostics.push(
                        Diagnostic::error(format!("the inventory holds more than {MOST_HOSTS} hosts"))
                            .at(span, "too many up to here"),
                    );
                }
                return None;
            }
            None => {
                self.host_names.insert(name.to_owned(), self.hosts.len());
                let variables = Variables::new();
                self.hosts.push(Host { name: name.to_owned(), span, variables, groups: Vec::new() });
                self.hosts.len() - 1
            }
        };
        if let Some(group) = group
            && self.groups[group].members.insert(host)
        {
            self.groups[group].hosts.push(host);
            self.hosts[host].groups.push(group);
        }
        Some(host)
    }

    /// The same, with the port of a pattern, which counts only where the host is met first.
    pub(crate) fn host_at(
        &mut self,
        name: &str,
        port: Option<(u32, Span)>,
        span: Span,
        group: Option<usize>,
        diagnostics: &mut Diagnostics,
    ) -> Option<usize> {
        let before = self.hosts.len();
        let host = self.host(name, span, group, diagnostics)?;
        if let Some((port, span)) = port.filter(|(port, _)| *port > 0)
            && self.hosts.len() > before
        {
            let set = Set { span, node: Node::new(span, Yaml::Int(port.into())) };
            self.hosts[host].variables.insert("ansible_port".to_owned(), set);
        }
        Some(host)
    }

    /// Makes a group part of another one, unless that closes a circle.
    pub(crate) fn child(&mut self, group: usize, child: usize, span: Span, diagnostics: &mut Diagnostics) {
        let (outer, inner) = (&self.groups[group].name, &self.groups[child].name);
        if group == child {
            diagnostics
                .push(Diagnostic::error(format!("group `{outer}` cannot be part of itself")).at(span, ""));
        } else if self.ancestors(group).contains(&child) {
            diagnostics.push(
                Diagnostic::error(format!("groups `{outer}` and `{inner}` hold each other in a circle"))
                    .at(span, format!("`{inner}` becomes part of `{outer}` here"))
                    .hint("take one of them out of the other's children"),
            );
        } else {
            self.link(group, child);
        }
    }

    fn link(&mut self, group: usize, child: usize) {
        if !self.groups[group].children.contains(&child) {
            self.groups[group].children.push(child);
            self.groups[child].parents.push(group);
        }
    }

    /// All groups that hold a group.
    fn ancestors(&self, group: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = self.groups[group].parents.clone();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(&self.groups[next].parents);
            }
        }
        found
    }

    /// Sets a variable of a group.
    pub(crate) fn set_for_group(
        &mut self,
        group: usize,
        name: &str,
        set: Set,
        diagnostics: &mut Diagnostics,
    ) {
        if name != PRIORITY {
            self.groups[group].variables.insert(name.to_owned(), set);
            return;
        }
        let priority = match &set.node.value {
            Yaml::Int(value) => Some(*value),
            // Whole numbers are taken from what is one, as Python's `int` does.
            Yaml::Float(value) => Some(*value as i64),
            Yaml::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match priority {
            Some(priority) => self.groups[group].priority = priority,
            None => diagnostics.push(
                Diagnostic::error(format!(
                    "`{PRIORITY}` of group `{}` is not a whole number",
                    self.groups[group].name
                ))
                .at(set.node.span, ""),
            ),
        }
    }

    /// Sets a variable of a host. As in Ansible, a group of the same name takes it.
    pub(crate) fn set_for_host(&mut self, host: usize, name: &str, set: Set, diagnostics: &mut Diagnostics) {
        if let Some(&group) = self.group_names.get(&self.hosts[host].name) {
            self.set_for_group(group, name, set, diagnostics);
        } else {
            self.hosts[host].variables.insert(name.to_owned(), set);
        }
    }

    /// Puts right what can only be said when all is read.
    pub(crate) fn finish(&mut self) {
        for group in 1..self.groups.len() {
            if self.groups[group].parents.is_empty() {
                self.link(0, group);
            }
        }
        for host in 0..self.hosts.len() {
            let groups = &self.hosts[host].groups;
            let elsewhere = groups.iter().any(|group| *group > 1);
            match (groups.contains(&1), elsewhere) {
                (true, true) => {
                    self.hosts[host].groups.retain(|group| *group != 1);
                    self.groups[1].members.remove(&host);
                }
                (false, false) => {
                    self.hosts[host].groups.push(1);
                    self.groups[1].members.insert(host);
                    self.groups[1].hosts.push(host);
                }
                _ => {}
            }
        }
        let ungrouped = &mut self.groups[1];
        let members = std::mem::take(&mut ungrouped.members);
        ungrouped.hosts.retain(|host| members.contains(host));
        ungrouped.members = members;
    }

    /// Depth of each group: those in the longest chain of groups that hold it.
    pub(crate) fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0; self.groups.len()];
        let mut missing: Vec<usize> = self.groups.iter().map(|group| group.parents.len()).collect();
        let mut ready: Vec<usize> =
            missing.iter().enumerate().filter(|(_, left)| **left == 0).map(|(group, _)| group).collect();
        while let Some(group) = ready.pop() {
            for &child in &self.groups[group].children {
                depths[child] = depths[child].max(depths[group] + 1);
                missing[child] -= 1;
                if missing[child] == 0 {
                    ready.push(child);
                }
            }
        }
        depths
    }

    /// All groups a host belongs to, the weakest first: by depth, then priority, then name.
    pub(crate) fn groups_of(&self, host: usize, depths: &[u32]) -> Vec<usize> {
        let mut found: BTreeSet<usize> = BTreeSet::from([0]);
        for &group in &self.hosts[host].groups {
            found.insert(group);
            found.extend(self.ancestors(group));
        }
        let mut sorted: Vec<usize> = found.into_iter().collect();
        sorted.sort_by_key(|&group| {
            let known = &self.groups[group];
            // `all` comes before everything, whatever its priority.
            (group != 0, depths[group], known.priority, known.name.clone())
        });
        sorted
    }
}
