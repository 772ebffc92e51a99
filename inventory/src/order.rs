//! `order: [db, web]`: the hosts of `db` are finished before those of `web` begin.
//!
//! Every `order` holds in every run, whatever the target: an order that only held for some targets would be no order.

use std::collections::VecDeque;

use cm_syntax::{Diagnostic, Diagnostics, Spanned};

use crate::host_set::HostSet;
use crate::{GroupId, HostId, Inventory};

/// One written `order`.
#[derive(Debug)]
pub(crate) struct Constraint {
    /// The group that says so.
    pub group: GroupId,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct Step {
    /// A group or a host.
    pub name: Spanned<String>,
    pub hosts: HostSet,
}

/// In which order the hosts of a run begin.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunOrder {
    /// All hosts of the run: a stage begins when the one before it is finished. Simple, and safe.
    pub stages: Vec<Vec<HostId>>,
    /// The same, exact: a host begins when all barriers that hold it back have lifted. Hosts that no `order` names wait
    /// for nobody.
    pub barriers: Vec<Barrier>,
}

/// Some hosts that are finished before others begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Barrier {
    /// The group whose `order` says so.
    pub group: GroupId,
    /// These are finished first, in inventory order.
    pub before: Vec<HostId>,
    /// These wait, in inventory order.
    pub after: Vec<HostId>,
}

impl Inventory {
    /// Says in which order the given hosts must run.
    pub fn run_order(&self, hosts: &[HostId]) -> RunOrder {
        let wanted: HostSet = hosts.iter().copied().collect();
        let links = links(&self.constraints, &wanted);
        let (depths, _) = depths(&links, &wanted);
        let mut stages: Vec<Vec<HostId>> = Vec::new();
        for host in wanted.iter() {
            // Every host of the run has a depth: cycles were refused when the inventory was read, and leaving hosts
            // out of a run adds none.
            let depth = depths.get(host.index()).copied().unwrap_or_default();
            if stages.len() <= depth {
                stages.resize(depth + 1, Vec::new());
            }
            stages[depth].push(host);
        }
        stages.retain(|stage| !stage.is_empty());
        let barriers = links.into_iter().map(|link| Barrier {
            group: link.group,
            before: link.before.iter().collect(),
            after: link.after.iter().collect(),
        });
        RunOrder { stages, barriers: barriers.collect() }
    }
}

/// Two steps of an `order` that follow each other in a run.
struct Link<'c> {
    group: GroupId,
    first: &'c Spanned<String>,
    then: &'c Spanned<String>,
    before: HostSet,
    after: HostSet,
}

/// What the constraints mean for some hosts. A step without hosts is passed over: of `[db, web, proxy]` without `web`,
/// `db` still comes before `proxy`.
fn links<'c>(constraints: &'c [Constraint], wanted: &HostSet) -> Vec<Link<'c>> {
    let mut links = Vec::new();
    for constraint in constraints {
        let steps = constraint.steps.iter().map(|step| {
            let mut hosts = step.hosts.clone();
            hosts.keep(wanted);
            (&step.name, hosts)
        });
        let steps: Vec<_> = steps.filter(|(_, hosts)| !hosts.is_empty()).collect();
        for pair in steps.windows(2) {
            let [(first, before), (then, after)] = pair else { continue };
            let (before, after) = (before.clone(), after.clone());
            links.push(Link { group: constraint.group, first, then, before, after });
        }
    }
    links
}

/// How many barriers must lift one after the other before each host begins (by host index), and the links that never
/// lift because they wait for themselves.
fn depths(links: &[Link<'_>], wanted: &HostSet) -> (Vec<usize>, Vec<usize>) {
    let size = wanted.iter().last().map_or(0, |host| host.index() + 1);
    let mut depth = vec![0; size];
    let mut waits = vec![0usize; size];
    let mut lifts: Vec<Vec<usize>> = vec![Vec::new(); size];
    let mut missing: Vec<usize> = links.iter().map(|link| link.before.len()).collect();
    for (index, link) in links.iter().enumerate() {
        link.before.iter().for_each(|host| lifts[host.index()].push(index));
        link.after.iter().for_each(|host| waits[host.index()] += 1);
    }
    let mut ready: VecDeque<HostId> = wanted.iter().filter(|host| waits[host.index()] == 0).collect();
    let mut link_depth = vec![0; links.len()];
    while let Some(host) = ready.pop_front() {
        for &index in &lifts[host.index()] {
            link_depth[index] = link_depth[index].max(depth[host.index()] + 1);
            missing[index] -= 1;
            if missing[index] > 0 {
                continue;
            }
            for after in links[index].after.iter() {
                depth[after.index()] = depth[after.index()].max(link_depth[index]);
                waits[after.index()] -= 1;
                if waits[after.index()] == 0 {
                    ready.push_back(after);
                }
            }
        }
    }
    let stuck = missing.iter().enumerate().filter(|(_, left)| **left > 0).map(|(index, _)| index).collect();
    (depth, stuck)
}

/// Complains about orders that can never be kept.
pub(crate) fn check(inventory: &Inventory, diagnostics: &mut Diagnostics) {
    let everyone = HostSet::all(inventory.hosts.len());
    let links = links(&inventory.constraints, &everyone);
    let (_, stuck) = depths(&links, &everyone);
    if stuck.is_empty() {
        return;
    }
    let mut overlaps = false;
    for &index in &stuck {
        let link = &links[index];
        let mut both = link.before.clone();
        both.keep(&link.after);
        let Some(host) = both.iter().next() else { continue };
        overlaps = true;
        let (name, first, then) = (&inventory.host(host).name, &link.first.value, &link.then.value);
        let message = if *name == *first && first == then {
            format!("host `{name}` cannot come before itself")
        } else {
            format!("host `{name}` is in both `{first}` and `{then}`, so it would have to wait for itself")
        };
        diagnostics.push(
            Diagnostic::error(message)
                .at(link.then.span, format!("after `{first}`"))
                .also(link.first.span, format!("before `{then}`")),
        );
    }
    if !overlaps && let Some(cycle) = find_cycle(&links, &stuck) {
        let name = |index: &usize| links[*index].first.value.as_str();
        let mut way: Vec<&str> = cycle.iter().map(name).collect();
        way.push(way[0]);
        let way = way.join(" -> ");
        let mut diagnostic = Diagnostic::error(format!("the order of hosts goes in a circle: {way}"));
        for (at, &index) in cycle.iter().enumerate() {
            let link = &links[index];
            let text = format!("`{}` after `{}`", link.then.value, link.first.value);
            diagnostic = if at == 0 {
                diagnostic.at(link.then.span, text)
            } else {
                diagnostic.also(link.then.span, text)
            };
        }
        diagnostics.push(diagnostic.hint("take one of them out of its `order`"));
    }
}

/// Finds links that each wait for the one before, in a circle.
fn find_cycle(links: &[Link<'_>], stuck: &[usize]) -> Option<Vec<usize>> {
    // Going backwards from a link that never lifts always leads to another one: whoever holds it back is held back.
    let waits_for = |index: usize| {
        stuck.iter().copied().find(|&other| {
            let mut both = links[other].after.clone();
            both.keep(&links[index].before);
            !both.is_empty()
        })
    };
    let mut way = vec![*stuck.first()?];
    loop {
        let next = waits_for(*way.last()?)?;
        if let Some(start) = way.iter().position(|index| *index == next) {
            let mut cycle = way.split_off(start);
            cycle.reverse();
            return Some(cycle);
        }
        way.push(next);
    }
}
