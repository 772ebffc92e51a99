//! The graph of what is taken back: services stop first, packages go last, what lies in a directory goes before
//! it.

use std::{collections::BTreeMap, path::PathBuf};

use cm_modules::{
    Node, Resource,
    former::{Former, Item, Manner, Phase, capture, phase, restore},
    node::SettingKind,
};
use cm_wire::{Notify, Task};

use super::Taken;
use crate::{journal::Owner, package_files};

/// A task that the node made itself.
pub struct Added {
    /// The task, numbered after those that were sent.
    pub task: Task,
    /// What it does.
    pub resource: Box<dyn Resource>,
    /// The thing.
    pub item: Item,
    /// Nobody wants the thing any more when it is done.
    pub release: bool,
}

/// Makes the tasks, numbered from `first` on, all of them after the tasks before that number.
pub fn order(mut taken: Vec<Taken>, node: &dyn Node, first: u32) -> Vec<Added> {
    add_debtors(&mut taken, node);
    let phase = |taken: &Taken| phase_on(node, taken);
    cm_modules::in_order::sort_by(&mut taken, |a, b| {
        let key = |taken: &Taken| (phase(taken), taken.item.clone());
        key(a).cmp(&key(b))
    });
    let mut added: Vec<(Phase, Added, Taken)> = Vec::with_capacity(taken.len());
    for taken in taken {
        let Some(resource) = restore(&taken.item, &taken.former, taken.manner) else { continue };
        let task = Task {
            role: taken.owner.role.clone(),
            sensitive: taken.sensitive,
            ..Task::new(&taken.item.to_string(), "restore")
        };
        let entry = Added { task, resource, item: taken.item.clone(), release: taken.release };
        added.push((phase(&taken), entry, taken));
    }
    let number = |place: usize| first + u32::try_from(place).unwrap_or(u32::MAX);
    let units: BTreeMap<String, u32> = added
        .iter()
        .enumerate()
        .filter_map(|(place, (phase, _, taken))| match &taken.item {
            Item::Unit(name) if *phase == Phase::Services => Some((name.clone(), number(place))),
            _ => None,
        })
        .collect();
    let nesting = nesting(&added, number);
    let mut start = 0;
    // What the first phase waits for: everything that was sent.
    let mut before: Vec<u32> = (0..first).collect();
    while start < added.len() {
        let end = start + added[start..].iter().take_while(|(phase, ..)| *phase == added[start].0).count();
        for (place, (_, entry, taken)) in added.iter_mut().enumerate().take(end).skip(start) {
            entry.task.after.clone_from(&before);
            entry.task.after.extend(nesting.get(&place).into_iter().flatten());
            entry.task.notify = taken
                .owes
                .iter()
                .filter_map(|(unit, owes)| {
                    units.get(unit).map(|task| Notify { task: *task, notice: (*owes).into() })
                })
                .filter(|notify| notify.task != number(place))
                .collect();
        }
        before = (start..end).map(number).collect();
        start = end;
    }
    added.into_iter().map(|(_, entry, _)| entry).collect()
}

/// When a thing is taken back. What a module of the repository took away comes back late, when all that it may
/// need is there again.
fn phase_on(node: &dyn Node, taken: &Taken) -> Phase {
    match &taken.item {
        Item::Setting(SettingKind::Custom, key) if node.known(key).is_some_and(|call| call.removes) => {
            Phase::Settings
        }
        item => phase(item, &taken.former),
    }
}

/// Services that must restart because of what is taken back, and are not taken back themselves: they stay as
/// they are but for that.
fn add_debtors(taken: &mut Vec<Taken>, node: &dyn Node) {
    let mut names: Vec<String> =
        taken.iter().flat_map(|taken| taken.owes.iter().map(|(unit, _)| unit.clone())).collect();
    cm_modules::in_order::sort(&mut names);
    names.dedup();
    for name in names {
        let item = Item::Unit(name);
        if taken.iter().any(|known| known.item == item) || goes_with_a_package(&item, taken, node) {
            continue;
        }
        if let Ok(Former::Unit { load, mut active, file }) = capture(node, &item, None)
            && load != "not-found"
        {
            // One that failed after the change that is taken back: it was meant to run.
            if active == "failed" {
                active = "active".into();
            }
            let now = Former::Unit { load, active, file };
            taken.push(Taken {
                item,
                former: now,
                manner: Manner { if_there: true, ..Manner::default() },
                owner: Owner { role: String::new(), task: String::new() },
                owes: Vec::new(),
                sensitive: false,
                release: false,
            });
        }
    }
}

/// Whether a unit's file belongs to a package that goes.
fn goes_with_a_package(unit: &Item, taken: &[Taken], node: &dyn Node) -> bool {
    let Item::Unit(name) = unit else { return false };
    let Some(file) = package_files::fragment(node, name) else { return false };
    taken.iter().any(|taken| match (&taken.item, &taken.former) {
        (Item::Package(package), Former::Absent | Former::Configuration) => {
            package_files::belongs(node, &file, package)
        }
        _ => false,
    })
}

/// Edges between paths: a directory that goes (or becomes a file or link again) waits for what is in it; what
/// comes back waits for its directory.
fn nesting(added: &[(Phase, Added, Taken)], number: impl Fn(usize) -> u32) -> BTreeMap<usize, Vec<u32>> {
    let paths: BTreeMap<PathBuf, usize> = added
        .iter()
        .enumerate()
        .filter(|(_, (phase, ..))| *phase == Phase::Paths)
        .filter_map(|(place, (_, _, taken))| Some((taken.item.path()?, place)))
        .collect();
    let mut edges: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (path, &place) in &paths {
        let holder = path.ancestors().skip(1).find_map(|ancestor| paths.get(ancestor));
        let Some(&holder) = holder else { continue };
        if !matches!(added[holder].2.former, Former::Directory { .. }) {
            edges.entry(holder).or_default().push(number(place));
        } else {
            edges.entry(place).or_default().push(number(holder));
        }
    }
    edges
}
