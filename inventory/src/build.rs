//! From a [`Draft`] to an [`Inventory`]: names are looked up, groups merged and linked, everything that takes the whole
//! picture is checked.

use std::collections::{BTreeMap, HashMap};

use cm_syntax::{Diagnostic, Diagnostics, Node, Sources, Span, Spanned, nearest};

use crate::draft::{Draft, DraftGroup, DraftHost, Key, Value};
use crate::host_set::HostSet;
use crate::layer::{Conflict, Layer};
use crate::native::ALL;
use crate::order::{self, Constraint, Step};
use crate::range::{MOST_HOSTS, Pattern};
use crate::target::glob_fits;
use crate::{Group, GroupId, Host, HostId, Inventory};

mod cycles;

/// Near names are looked for this often in one inventory: each time takes a walk through all names.
const SUGGESTIONS: usize = 100;

/// Makes the inventory and tells all that is wrong with it.
pub(crate) fn build(draft: Draft, sources: &Sources, diagnostics: &mut Diagnostics) -> Inventory {
    let kept = draft.groups.iter().any(|group| group.rule.is_some()).then(|| Box::new(draft.clone()));
    rules_once(&draft, diagnostics);
    let (hosts, host_names) = hosts(draft.hosts, diagnostics);
    let (mut drafts, group_names) = merge_groups(draft.groups);
    let defaults = without_repeats(draft.defaults, "`defaults`", diagnostics);

    let mut names =
        Names { hosts: &hosts, host_names: &host_names, group_names: &group_names, left: SUGGESTIONS };
    let own: Vec<HostSet> = drafts.iter().map(|group| names.members(group, diagnostics)).collect();
    let mut children: Vec<Vec<(GroupId, Span)>> =
        drafts.iter().map(|group| names.children(group, diagnostics)).collect();
    cycles::cut(&drafts, &mut children, diagnostics);
    let (levels, inner_first) = cycles::levels(&children);

    // A group holds what the groups in it hold; those are complete when their turn comes before.
    let mut sets = own.clone();
    for &group in &inner_first {
        let mut set = std::mem::take(&mut sets[group]);
        for (child, _) in &children[group] {
            set.add(&sets[child.index()]);
        }
        sets[group] = set;
    }
    sets[0] = HostSet::all(hosts.len());

    let constraints = constraints(&mut names, &drafts, &children, &sets, diagnostics);
    let groups: Vec<Group> = drafts
        .drain(..)
        .zip(sets)
        .zip(children)
        .zip(levels)
        .zip(own)
        .map(|((((draft, hosts), children), level), own)| {
            let what = format!("group `{}`", draft.name);
            Group {
                span: draft.span,
                level,
                children: children.into_iter().map(|(child, _)| child).collect(),
                hosts,
                own,
                rule: draft.rule,
                priority: draft.priority,
                foreign: draft.foreign,
                roles: draft.roles,
                values: without_repeats(draft.values, &what, diagnostics),
                name: draft.name,
            }
        })
        .collect();
    for (name, host) in &host_names {
        same_name(name, &hosts[host.index()], &groups, &group_names, *host, diagnostics);
    }

    let mut inventory = Inventory {
        hosts,
        groups,
        host_names,
        group_names,
        defaults,
        layers: Vec::new(),
        constraints,
        draft: kept,
    };
    make_layers(&mut inventory);
    conflicts(&inventory, sources, diagnostics);
    order::check(&inventory, diagnostics);
    inventory
}

fn hosts(drafts: Vec<DraftHost>, diagnostics: &mut Diagnostics) -> (Vec<Host>, HashMap<String, HostId>) {
    let mut hosts: Vec<Host> = Vec::with_capacity(drafts.len());
    let mut names: HashMap<String, HostId> = HashMap::with_capacity(drafts.len());
    // Ranges that overlap are one mistake, not one a host.
    let mut twice: BTreeMap<(Span, Span), Vec<String>> = BTreeMap::new();
    for draft in drafts {
        if hosts.len() == MOST_HOSTS {
            diagnostics.push(
                Diagnostic::error(format!("the inventory holds more than {MOST_HOSTS} hosts"))
                    .at(draft.span, "too many up to here"),
            );
            break;
        }
        if let Some(first) = names.get(&draft.name) {
            let first = hosts[first.index()].span;
            twice.entry((draft.span, first)).or_default().push(draft.name);
            continue;
        }
        names.insert(draft.name.clone(), HostId::from_index(hosts.len()));
        hosts.push(Host {
            name: draft.name,
            span: draft.span,
            address: draft.address,
            values: draft.values,
            layer: 0,
            foreign: draft.foreign,
        });
    }
    for ((again, first), names) in twice {
        let more = match names.len() - 1 {
            0 => String::new(),
            1 => " and 1 more".to_owned(),
            more => format!(" and {more} more"),
        };
        diagnostics.push(
            Diagnostic::error(format!("host `{}`{more} stands twice in the inventory", names[0]))
                .at(again, "again here")
                .also(first, "first here"),
        );
    }
    (hosts, names)
}

/// A group as all files together describe it.
pub(crate) struct Merged {
    pub name: String,
    /// None for an `all` nobody wrote.
    pub span: Option<Span>,
    hosts: Vec<Spanned<String>>,
    groups: Vec<Spanned<String>>,
    order: Vec<Vec<Spanned<String>>>,
    roles: Vec<Spanned<String>>,
    values: Vec<Value>,
    rule: Option<Node>,
    priority: i64,
    foreign: bool,
}

/// Several files may add to one group. The first group is always `all`.
fn merge_groups(drafts: Vec<DraftGroup>) -> (Vec<Merged>, HashMap<String, GroupId>) {
    let written = drafts.iter().find(|group| group.name.value == ALL).map(|group| group.name.span);
    let mut merged = vec![Merged::new(ALL, written)];
    let mut names = HashMap::from([(ALL.to_owned(), GroupId::from_index(0))]);
    for draft in drafts {
        let next = GroupId::from_index(merged.len());
        let id = *names.entry(draft.name.value.clone()).or_insert(next);
        if id == next {
            merged.push(Merged::new(&draft.name.value, Some(draft.name.span)));
        }
        merged[id.index()].add(draft);
    }
    (merged, names)
}

impl Merged {
    fn new(name: &str, span: Option<Span>) -> Self {
        Self {
            name: name.to_owned(),
            span,
            hosts: Vec::new(),
            groups: Vec::new(),
            order: Vec::new(),
            roles: Vec::new(),
            values: Vec::new(),
            rule: None,
            priority: 0,
            foreign: false,
        }
    }

    fn add(&mut self, more: DraftGroup) {
        self.hosts.extend(more.hosts);
        self.groups.extend(more.groups);
        self.order.extend(more.order);
        for role in more.roles {
            if !self.roles.iter().any(|known| known.value == role.value) {
                self.roles.push(role);
            }
        }
        self.values.extend(more.values);
        self.rule = self.rule.take().or(more.rule);
        if more.foreign {
            (self.foreign, self.priority) = (true, more.priority);
        }
    }
}

/// A thing that two files set for one group (or in `defaults`) must be the same in both.
fn without_repeats(values: Vec<Value>, what: &str, diagnostics: &mut Diagnostics) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::with_capacity(values.len());
    let mut index = HashMap::new();
    for value in values {
        match index.get(&(value.key.clone(), value.rank)) {
            None => {
                index.insert((value.key.clone(), value.rank), kept.len());
                kept.push(value);
            }
            Some(&at) => {
                let first: &Value = &kept[at];
                if !first.node.same_value(&value.node) {
                    diagnostics.push(
                        Diagnostic::error(format!("{what} sets {} twice", value.key.described()))
                            .at(value.span, "again here, to something else")
                            .also(first.span, "first here"),
                    );
                }
            }
        }
    }
    kept
}

/// A target could not tell a host from a group of the same name, unless both mean the same.
fn same_name(
    name: &str,
    host: &Host,
    groups: &[Group],
    names: &HashMap<String, GroupId>,
    id: HostId,
    diagnostics: &mut Diagnostics,
) {
    let Some(group) = names.get(name).map(|group| &groups[group.index()]) else { return };
    if group.hosts.len() == 1 && group.hosts.contains(id) {
        return;
    }
    let message = format!("`{name}` is both a host and a group");
    let diagnostic = if host.foreign || group.foreign {
        Diagnostic::warning(message).hint("a target of this name means the group")
    } else {
        Diagnostic::error(message)
            .hint("a target could not tell them apart; rename one, or make the host the group's only one")
    };
    diagnostics.push(match group.span {
        Some(span) => diagnostic.at(span, "a group here").also(host.span, "a host here"),
        None => diagnostic.at(host.span, "every inventory has a group of this name"),
    });
}

/// Looks names up and offers near ones.
struct Names<'n> {
    hosts: &'n [Host],
    host_names: &'n HashMap<String, HostId>,
    group_names: &'n HashMap<String, GroupId>,
    /// Suggestions still to be made.
    left: usize,
}

impl Names<'_> {
    /// The hosts a group names itself.
    fn members(&mut self, group: &Merged, diagnostics: &mut Diagnostics) -> HostSet {
        let mut members = HostSet::default();
        for name in &group.hosts {
            self.add_hosts(name, &group.name, &mut members, diagnostics);
        }
        members
    }

    fn add_hosts(
        &mut self,
        written: &Spanned<String>,
        group: &str,
        members: &mut HostSet,
        diagnostics: &mut Diagnostics,
    ) {
        let text = &written.value;
        if let Some(host) = self.host_names.get(text) {
            members.insert(*host);
            return;
        }
        if text.contains(['*', '?']) {
            let fitting = self.hosts.iter().enumerate().filter(|(_, host)| glob_fits(text, &host.name));
            let before = members.len();
            let mut any = false;
            for (index, _) in fitting {
                members.insert(HostId::from_index(index));
                any = true;
            }
            if !any && members.len() == before {
                let message = format!("no host fits `{text}` in group `{group}`");
                diagnostics.push(Diagnostic::error(message).at(written.span, "not under `hosts:`"));
            }
            return;
        }
        let unknown: Vec<String> = match Pattern::parse(text) {
            Ok(None) => vec![text.clone()],
            Ok(Some(pattern)) => {
                let mut unknown = Vec::new();
                for name in pattern.names() {
                    match self.host_names.get(&name) {
                        Some(host) => members.insert(*host),
                        None => unknown.push(name),
                    }
                }
                unknown
            }
            Err(error) => {
                diagnostics.push(
                    Diagnostic::error(format!("`{text}` in group `{group}` cannot be read"))
                        .at(written.span, error.to_string())
                        .hint("ranges look like \"web[01:16]\""),
                );
                return;
            }
        };
        let Some(first) = unknown.first() else { return };
        let more = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
        let diagnostic = Diagnostic::error(format!("unknown host `{first}`{more} in group `{group}`"))
            .at(written.span, "not under `hosts:`");
        let diagnostic = if self.group_names.contains_key(text) {
            diagnostic.hint(format!("`{text}` is a group; groups in a group stand under `groups:`"))
        } else {
            diagnostic.did_you_mean(self.near(first, &mut self.host_names.keys()))
        };
        self.left = self.left.saturating_sub(1);
        diagnostics.push(diagnostic);
    }

    /// The groups a group names, with the place that names them.
    fn children(&mut self, group: &Merged, diagnostics: &mut Diagnostics) -> Vec<(GroupId, Span)> {
        let mut children: Vec<(GroupId, Span)> = Vec::new();
        for name in &group.groups {
            match self.group_names.get(&name.value) {
                Some(id) if id.index() == 0 => diagnostics.push(
                    Diagnostic::error(format!("`{ALL}` cannot be part of group `{}`", group.name))
                        .at(name.span, "every group is part of it already"),
                ),
                Some(id) if children.iter().any(|(child, _)| child == id) => {}
                Some(id) => children.push((*id, name.span)),
                None => {
                    let message = format!("unknown group `{}` in group `{}`", name.value, group.name);
                    let diagnostic = Diagnostic::error(message).at(name.span, "not under `groups:`");
                    let diagnostic = if self.host_names.contains_key(&name.value) {
                        diagnostic.hint(format!(
                            "`{}` is a host; hosts of a group stand under `hosts:`",
                            name.value
                        ))
                    } else {
                        diagnostic.did_you_mean(self.near(&name.value, &mut self.group_names.keys()))
                    };
                    self.left = self.left.saturating_sub(1);
                    diagnostics.push(diagnostic);
                }
            }
        }
        children
    }

    fn near<'k>(&self, name: &str, known: &mut dyn Iterator<Item = &'k String>) -> Option<&'k str> {
        if self.left == 0 { None } else { nearest(name, known.map(String::as_str)) }
    }
}

/// Looks up what `order` names; each has to be part of the group that orders it.
fn constraints(
    names: &mut Names<'_>,
    groups: &[Merged],
    children: &[Vec<(GroupId, Span)>],
    sets: &[HostSet],
    diagnostics: &mut Diagnostics,
) -> Vec<Constraint> {
    let mut constraints = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let inside = |id: GroupId| index == 0 || cycles::holds(children, index, id.index());
        for written in &group.order {
            let mut steps: Vec<Step> = Vec::new();
            for name in written {
                let text = name.value.as_str();
                let hosts = match (names.group_names.get(text), names.host_names.get(text)) {
                    (Some(id), _) if inside(*id) && id.index() != index => Some(sets[id.index()].clone()),
                    (_, Some(host)) if sets[index].contains(*host) => Some(HostSet::from_iter([*host])),
                    (None, None) => {
                        let known = names.group_names.keys().chain(names.host_names.keys());
                        let near = names.near(text, &mut { known });
                        names.left = names.left.saturating_sub(1);
                        diagnostics.push(
                            Diagnostic::error(format!(
                                "unknown group or host `{text}` in `order` of group `{}`",
                                group.name
                            ))
                            .at(name.span, "not in the inventory")
                            .did_you_mean(near),
                        );
                        None
                    }
                    _ => {
                        diagnostics.push(
                            Diagnostic::error(format!(
                                "`{text}` is ordered by group `{}` but is not part of it",
                                group.name
                            ))
                            .at(name.span, "a group orders what stands under its `groups:` and `hosts:`"),
                        );
                        None
                    }
                };
                if let Some(first) = steps.iter().find(|step| step.name.value == *text) {
                    diagnostics.push(
                        Diagnostic::error(format!("`{text}` stands twice in one `order`"))
                            .at(name.span, "again here")
                            .also(first.name.span, "first here"),
                    );
                } else if let Some(hosts) = hosts {
                    steps.push(Step { name: name.clone(), hosts });
                }
            }
            if written.len() == 1 {
                diagnostics.push(
                    Diagnostic::warning(format!("the `order` of group `{}` orders nothing", group.name))
                        .at(written[0].span, "a second name belongs after this"),
                );
            }
            constraints.push(Constraint { group: GroupId::from_index(index), steps });
        }
    }
    constraints
}

/// Several files may give a group rules; only one of them can be meant.
fn rules_once(draft: &Draft, diagnostics: &mut Diagnostics) {
    let mut known: HashMap<&str, &Node> = HashMap::new();
    for group in &draft.groups {
        let Some(rule) = &group.rule else { continue };
        if let Some(first) = known.insert(&group.name.value, rule) {
            diagnostics.push(
                Diagnostic::error(format!("group `{}` has two rules", group.name.value))
                    .at(rule.span, "again here")
                    .also(first.span, "first here")
                    .hint("join them with `or`"),
            );
        }
    }
}

/// Gives every host the layer of its set of groups.
fn make_layers(inventory: &mut Inventory) {
    // Outer before inner, then as written.
    let mut order: Vec<usize> = (0..inventory.groups.len()).collect();
    order.sort_by_key(|group| inventory.groups[*group].level);
    let mut memberships: Vec<Vec<GroupId>> = vec![Vec::new(); inventory.hosts.len()];
    for group in order {
        for host in inventory.groups[group].hosts.iter() {
            memberships[host.index()].push(GroupId::from_index(group));
        }
    }
    let mut known: HashMap<Vec<GroupId>, u32> = HashMap::new();
    for (host, groups) in inventory.hosts.iter_mut().zip(memberships) {
        let layers = &mut inventory.layers;
        host.layer = *known.entry(groups).or_insert_with_key(|groups| {
            layers.push(Layer::new(groups, &inventory.groups));
            // Lossless: there are not more layers than hosts.
            layers.len() as u32 - 1
        });
    }
}

/// Tells where two groups of one level disagree for a host that nothing stronger decides for.
fn conflicts(inventory: &Inventory, sources: &Sources, diagnostics: &mut Diagnostics) {
    if inventory.layers.iter().all(|layer| layer.conflicts.is_empty()) {
        return;
    }
    let mut struck: BTreeMap<&Conflict, Vec<&str>> = BTreeMap::new();
    for host in &inventory.hosts {
        for conflict in &inventory.layers[host.layer as usize].conflicts {
            if !host.values.iter().any(|value| value.key == conflict.key) {
                struck.entry(conflict).or_default().push(&host.name);
            }
        }
    }
    for (conflict, hosts) in struck {
        let [first, second] = [conflict.first, conflict.second].map(|place| {
            let group = &inventory.group(place.group).name;
            let value = place.value(inventory);
            let shown = sources.slice(value.node.span);
            let shown = if shown.len() > 40 || shown.contains('\n') { "…".to_owned() } else { shown };
            (group, value.span, format!("`{group}` says {shown}"))
        });
        let hosts = match hosts.as_slice() {
            [one] => format!("`{one}`"),
            [one, two] => format!("`{one}` and `{two}`"),
            [one, rest @ ..] => format!("`{one}` and {} more hosts", rest.len()),
            [] => continue,
        };
        let hint = match conflict.key {
            Key::With { .. } => "both are on one level; say the same in both, or say it in one alone",
            _ => "both are on one level; set it on the host, or in a group inside of one of them",
        };
        diagnostics.push(
            Diagnostic::error(format!(
                "groups `{}` and `{}` disagree on {} for {hosts}",
                first.0,
                second.0,
                conflict.key.described()
            ))
            .at(second.1, second.2)
            .also(first.1, first.2)
            .hint(hint),
        );
    }
}

#[cfg(test)]
mod tests;
