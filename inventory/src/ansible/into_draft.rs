//! Hands Ansible's world on as a [`Draft`], with its order of who wins written into the ranks of values.

use std::collections::{BTreeSet, HashMap};

use cm_syntax::{Diagnostic, Diagnostics, Node, Sources, Spanned, Yaml};

use super::connection::{Connection, Told};
use super::vars_files::VarsFiles;
use super::world::{Set, UNGROUPED, Variables, World};
use crate::draft::{Draft, DraftGroup, DraftHost, Key, Value};
use crate::fill;
use crate::native::RESERVED;

/// What Ansible tells templates about the host they are for, where a template of the inventory asks for it.
pub(crate) const MAGIC: [&str; 3] = ["inventory_hostname", "inventory_hostname_short", "group_names"];

/// Rank of what inventories themselves say.
const OF_INVENTORY: u32 = 0;
/// Rank of `group_vars/all`; that of other groups follows, one for each folder.
const OF_ALL: u32 = 1;

/// All values of groups: of the inventory, and of `group_vars/` by rank.
struct Groups<'w> {
    /// For each group, its values with their ranks, the weakest first.
    values: Vec<Vec<(u32, &'w Variables)>>,
}

impl<'w> Groups<'w> {
    fn new(world: &'w World, folders: &'w [VarsFiles]) -> Self {
        let mut values: Vec<Vec<(u32, &Variables)>> =
            world.groups.iter().map(|group| vec![(OF_INVENTORY, &group.variables)]).collect();
        for (at, folder) in folders.iter().enumerate() {
            for (group, variables) in &folder.groups {
                // Lossless: nobody names that many folders.
                let rank = if *group == 0 { OF_ALL } else { OF_ALL + 1 + at as u32 };
                values[*group].push((rank, variables));
            }
        }
        Self { values }
    }

    /// What groups, given the weakest first, say together.
    fn together(&self, groups: &[usize]) -> HashMap<&'w str, &'w Set> {
        let mut all: Vec<(u32, usize, &'w Variables)> = Vec::new();
        for (order, &group) in groups.iter().enumerate() {
            all.extend(self.values[group].iter().map(|(rank, variables)| (*rank, order, *variables)));
        }
        all.sort_by_key(|(rank, order, _)| (*rank, *order));
        let sets = all.into_iter().flat_map(|(_, _, variables)| variables.iter());
        sets.map(|(name, set)| (name.as_str(), set)).collect()
    }

    /// The values of one group, each rank's name once: of several folders of `all`, the last counts.
    fn of(&self, group: usize) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        let mut known: HashMap<(u32, &str), usize> = HashMap::new();
        for (rank, variables) in &self.values[group] {
            for (name, set) in variables.iter() {
                let value = variable(name, set, *rank);
                match known.get(&(*rank, name.as_str())) {
                    Some(&at) => found[at] = value,
                    None => {
                        known.insert((*rank, name), found.len());
                        found.push(value);
                    }
                }
            }
        }
        found
    }
}

/// The groups of some hosts, the weakest first, and what those say together.
type Shared<'w> = (Vec<usize>, HashMap<&'w str, &'w Set>);

fn variable(name: &str, set: &Set, rank: u32) -> Value {
    Value { key: Key::Variable(name.to_owned()), span: set.span, node: set.node.clone(), rank: Some(rank) }
}

/// Adds all of the world to `draft`. `folders` are those of `group_vars/`, the weakest first.
pub(crate) fn add(
    world: &mut World,
    folders: &[VarsFiles],
    sources: &Sources,
    draft: &mut Draft,
    diagnostics: &mut Diagnostics,
) {
    world.finish();
    let world = &*world;
    let depths = world.depths();
    let groups = Groups::new(world, folders);
    let environment = fill::environment();
    let magic = asked_for(world, folders);
    hidden(world, folders, diagnostics);

    let mut told = Told::default();
    let mut left_out: BTreeSet<usize> = BTreeSet::new();
    // Hosts that are in the same groups share what those say.
    let mut known: HashMap<&[usize], Shared<'_>> = HashMap::new();
    for (index, host) in world.hosts.iter().enumerate() {
        let (members, inherited) = &*known.entry(&host.groups).or_insert_with(|| {
            let members = world.groups_of(index, &depths);
            let inherited = groups.together(&members);
            (members, inherited)
        });
        let look_up = |name: &str| host.variables.get(name).or_else(|| inherited.get(name).copied());
        let connection = Connection {
            host: &host.name,
            look_up: &look_up,
            environment: &environment,
            sources,
            told: &mut told,
            diagnostics,
        };
        let reach = connection.read();
        if let Some(refused) = reach.refused {
            diagnostics.push(refused);
            left_out.insert(index);
            continue;
        }
        let mut values = reach.settings;
        values.extend(host.variables.iter().map(|(name, set)| variable(name, set, OF_INVENTORY)));
        for &name in magic.iter().filter(|name| !host.variables.contains_key(**name)) {
            let yaml = match name {
                "group_names" => {
                    let mut names: Vec<&str> = members
                        .iter()
                        .filter(|group| **group != 0)
                        .map(|group| world.groups[*group].name.as_str())
                        .collect();
                    names.sort_unstable();
                    let nodes =
                        names.into_iter().map(|name| Node::new(host.span, Yaml::Text(name.to_owned())));
                    Yaml::List(nodes.collect())
                }
                "inventory_hostname_short" => {
                    Yaml::Text(host.name.split('.').next().unwrap_or_default().to_owned())
                }
                _ => Yaml::Text(host.name.clone()),
            };
            let set = Set { span: host.span, node: Node::new(host.span, yaml) };
            values.push(variable(name, &set, OF_INVENTORY));
        }
        draft.hosts.push(DraftHost {
            name: host.name.clone(),
            span: host.span,
            address: reach.address,
            values,
            foreign: true,
        });
    }
    for (index, group) in world.groups.iter().enumerate() {
        let members: Vec<usize> =
            group.hosts.iter().copied().filter(|host| !left_out.contains(host)).collect();
        let values = groups.of(index);
        let span = group.span.or_else(|| values.first().map(|value| value.span));
        let span = span.or_else(|| members.first().map(|host| world.hosts[*host].span));
        let nobody = index == 0 || group.name == UNGROUPED;
        if nobody && values.is_empty() && (index == 0 || members.is_empty()) {
            continue;
        }
        let Some(span) = span else { continue };
        let hosts = if index == 0 { Vec::new() } else { members };
        let children = if index == 0 { &[] } else { group.children.as_slice() };
        draft.groups.push(DraftGroup {
            name: Spanned::new(group.name.clone(), span),
            hosts: hosts
                .into_iter()
                .map(|host| Spanned::new(world.hosts[host].name.clone(), world.hosts[host].span))
                .collect(),
            groups: children
                .iter()
                .map(|child| Spanned::new(world.groups[*child].name.clone(), span))
                .collect(),
            values,
            priority: group.priority,
            foreign: true,
            ..DraftGroup::new(Spanned::new(group.name.clone(), span))
        });
    }
}

fn all_variables<'w>(
    world: &'w World,
    folders: &'w [VarsFiles],
) -> impl Iterator<Item = (&'w String, &'w Set)> {
    let groups = world.groups.iter().map(|group| &group.variables);
    let hosts = world.hosts.iter().map(|host| &host.variables);
    let files = folders.iter().flat_map(|folder| folder.groups.iter().map(|(_, variables)| variables));
    groups.chain(hosts).chain(files).flatten()
}

/// The magic variables that some template names.
fn asked_for(world: &World, folders: &[VarsFiles]) -> Vec<&'static str> {
    fn names(node: &Node, name: &str) -> bool {
        match &node.value {
            Yaml::Text(text) => crate::settings::is_template(text) && text.contains(name),
            Yaml::List(items) => items.iter().any(|item| names(item, name)),
            Yaml::Map(entries) => entries.iter().any(|entry| names(&entry.value, name)),
            _ => false,
        }
    }
    let asked = |name: &&str| all_variables(world, folders).any(|(_, set)| names(&set.node, name));
    MAGIC.into_iter().filter(asked).collect()
}

/// Warns of variables that templates cannot reach.
fn hidden(world: &World, folders: &[VarsFiles], diagnostics: &mut Diagnostics) {
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (name, set) in all_variables(world, folders) {
        if RESERVED.contains(&name.as_str()) && told.insert(name) {
            diagnostics.push(
                Diagnostic::warning(format!("the variable `{name}` cannot be used in templates"))
                    .at(set.span, "templates use this name for something else"),
            );
        }
    }
}
