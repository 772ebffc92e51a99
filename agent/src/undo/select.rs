//! Which things go back to which state.

use std::collections::{BTreeMap, BTreeSet};

use cm_modules::{
    Node, Prefetch,
    former::{Former, Item, Manner, capture},
    node::SettingKind,
};
use cm_wire::Task;

use super::Taken;
use crate::journal::{Ledger, Memory, Owes, Owner};

/// What is taken back, and what a person should know of the rest.
#[derive(Debug, Default)]
pub struct Selected {
    /// The things.
    pub taken: Vec<Taken>,
    /// What stays, and why.
    pub notes: Vec<String>,
    /// What stays since other roles want it, too: those that are taken off want it no more.
    pub shared: Vec<Item>,
}

impl Memory {
    /// Whoever wants it, one of them; a thing nobody wants any more has no name.
    fn any_owner(&self) -> Owner {
        self.owners
            .keys()
            .next()
            .cloned()
            .unwrap_or_else(|| Owner { role: String::new(), task: String::new() })
    }

    fn owes(&self) -> Vec<(String, Owes)> {
        let mut owes: Vec<(String, Owes)> = Vec::new();
        for entry in self.owners.values().flat_map(|claim| &claim.owes) {
            if !owes.contains(entry) {
                owes.push(entry.clone());
            }
        }
        owes
    }

    fn taken(&self, item: &Item, former: Former, release: bool) -> Taken {
        Taken {
            item: item.clone(),
            former,
            manner: Manner::default(),
            owner: self.any_owner(),
            owes: self.owes(),
            sensitive: self.owners.values().any(|claim| claim.sensitive),
            release,
        }
    }
}

/// Asks for all units in one go.
fn prefetch(ledger: &Ledger, node: &dyn Node) {
    let unit = |item: &Item| match item {
        Item::Unit(name) => Some(name.clone()),
        _ => None,
    };
    let units = ledger.items.keys().filter_map(unit).collect();
    node.prefetch(&Prefetch { units, ..Prefetch::default() });
}

/// What a run changed, as it was before. With `later`, all that later runs changed as well.
///
/// # Errors
/// The reasons why it cannot be, or not safely: somebody else changed a thing since (which `force` passes
/// over), or its content was not kept.
pub fn of_run(
    ledger: &Ledger,
    node: &dyn Node,
    run: &str,
    later: bool,
    force: bool,
) -> Result<Selected, Vec<String>> {
    let mut selected = Selected::default();
    let Some(place) = ledger.runs.iter().position(|known| known.id == run) else {
        selected.notes.push(format!("this node's journal knows of no change by run {run}"));
        return Ok(selected);
    };
    let later_runs: BTreeSet<&str> = ledger.runs[place + 1..].iter().map(|known| known.id.as_str()).collect();
    prefetch(ledger, node);
    let (mut reasons, mut along) = (Vec::new(), BTreeSet::new());
    for (item, memory) in &ledger.items {
        let meant = |of: &str| of == run || (later && later_runs.contains(of));
        let Some(first) = memory.versions.iter().position(|version| meant(&version.run)) else { continue };
        let former = &memory.versions[first].former;
        along.extend(
            memory.versions[first + 1..]
                .iter()
                .map(|version| version.run.as_str())
                .filter(|other| *other != run && !later),
        );
        let now = match capture(node, item, None) {
            Ok(now) => now,
            Err(problem) => {
                reasons.push(format!("{item}: {}", problem.message));
                continue;
            }
        };
        // Whether these run, were asked for or have the same members is for their own look to say.
        let more_than_same = matches!(item, Item::Unit(_) | Item::Package(_) | Item::Group(_));
        // What a module leaves that cannot take it back is said.
        let left = is_module(item) && *former == Former::Unknown;
        if now.same(former) && !more_than_same && !left {
            continue;
        }
        if matches!(former, Former::Unknown | Former::Special) {
            selected.notes.push(stays(item));
            continue;
        }
        let changed_since = memory.left().is_some_and(|left| !left.same(&now));
        if changed_since && !force {
            let last = memory.versions.last().map_or(run, |version| version.run.as_str());
            reasons.push(format!("{item} was changed by somebody else since run {last}"));
            continue;
        }
        if let Some(bytes) = lost(former, &now) {
            let reason =
                format!("the former content of {item} ({bytes} bytes) was not kept, for want of room");
            if force {
                selected.notes.push(format!("{item} stays as it is: {reason}"));
            } else {
                reasons.push(reason);
            }
            continue;
        }
        let mut taken = memory.taken(item, former.clone(), memory.versions[first].fresh);
        taken.manner.keep_beside = changed_since;
        selected.taken.push(taken);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    if !along.is_empty() {
        let runs: Vec<&str> = along.into_iter().collect();
        selected.notes.push(format!(
            "later runs changed some of the same things; those are taken back as well: {}",
            runs.join(", ")
        ));
    }
    Ok(selected)
}

/// What some tasks of a run changed, as it was before: what a guard takes back, whatever has become of it.
pub fn of_tasks(ledger: &Ledger, run: &str, tasks: &[Owner]) -> Vec<Taken> {
    let mut taken: Vec<Taken> = Vec::new();
    for (item, memory) in &ledger.items {
        let Some(place) = memory.versions.iter().position(|version| version.run == run) else { continue };
        if memory.owners.keys().any(|owner| tasks.contains(owner)) {
            taken.push(memory.taken(
                item,
                memory.versions[place].former.clone(),
                memory.versions[place].fresh,
            ));
        }
    }
    // Services that they restarted become again what they were.
    let owed: BTreeSet<String> =
        taken.iter().flat_map(|taken| taken.owes.iter().map(|(unit, _)| unit.clone())).collect();
    for unit in owed {
        let item = Item::Unit(unit);
        let version = ledger
            .items
            .get(&item)
            .and_then(|memory| Some((memory, memory.versions.iter().find(|version| version.run == run)?)));
        if let Some((memory, version)) = version
            && !taken.iter().any(|known| known.item == item)
        {
            taken.push(memory.taken(&item, version.former.clone(), false));
        }
    }
    taken
}

/// What roles put there, as it was before `cm`; no roles: all of them. What others want too stays.
pub fn of_roles(ledger: &Ledger, node: &dyn Node, roles: &[String]) -> Selected {
    prefetch(ledger, node);
    let mut selected = Selected::default();
    let meant = |role: &str| roles.is_empty() || roles.iter().any(|known| known == role);
    let mut shared: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (item, memory) in &ledger.items {
        if !memory.owners.keys().any(|owner| meant(&owner.role)) {
            continue;
        }
        if let Some(other) = memory.owners.keys().find(|owner| !meant(&owner.role)) {
            shared.entry(&other.role).or_default().push(item.to_string());
            selected.shared.push(item.clone());
            continue;
        }
        selected.original(node, item, memory);
    }
    for (role, items) in shared {
        selected.notes.push(format!("stays, since role {role} wants it too: {}", items.join(", ")));
    }
    selected
}

/// Things that roles of a run put there once and that none of its tasks wants any more.
pub fn dropped<'a>(
    ledger: &'a Ledger,
    whole_roles: &[String],
    tasks: &[&Task],
    makes: &BTreeSet<Item>,
) -> Vec<(&'a Item, &'a Memory)> {
    let ids: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    let is_whole = |role: &str| whole_roles.iter().any(|known| known == role);
    let mut dropped = Vec::new();
    for (item, memory) in &ledger.items {
        let all_gone = !memory.owners.is_empty()
            && memory.owners.keys().all(|owner| is_whole(&owner.role) && !ids.contains(owner.task.as_str()));
        // What a role took away is not put there again by forgetting about it.
        let taken_away = matches!(memory.left(), Some(Former::Absent));
        // A module without `undo` leaves what it leaves: nothing can be done about it.
        let for_good = is_module(item) && memory.original() == Some(&Former::Unknown);
        if all_gone && !taken_away && !for_good && !makes.contains(item) && !holds(item, makes) {
            dropped.push((item, memory));
        }
    }
    dropped
}

/// Whether it is what a module of the repository manages.
fn is_module(item: &Item) -> bool {
    matches!(item, Item::Setting(SettingKind::Custom, _))
}

/// Why a thing is not taken back of which no former state is known.
fn stays(item: &Item) -> String {
    if is_module(item) {
        format!("{item} stays as it is: its module has no `undo`")
    } else {
        format!("{item} stays as it is: what it was before is not known")
    }
}

/// Whether something that is made lies under a path.
fn holds(item: &Item, makes: &BTreeSet<Item>) -> bool {
    let Item::Path(path) = item else { return false };
    let mut under = path.clone();
    under.push(b'/');
    let start = Item::Path(under.clone());
    makes
        .range(start..)
        .next()
        .is_some_and(|next| matches!(next, Item::Path(next) if next.starts_with(&under)))
}

/// The length of a former content that is neither kept nor still there; none where there is no such loss.
fn lost(former: &Former, now: &Former) -> Option<u64> {
    let Former::File(file) = former else { return None };
    let still_there = matches!(now, Former::File(now) if now.content == file.content);
    (!file.kept && !still_there).then_some(file.size)
}

impl Selected {
    /// Takes a thing back to what it was before `cm`.
    pub fn original(&mut self, node: &dyn Node, item: &Item, memory: &Memory) {
        let Some(former) = memory.original() else { return };
        if matches!(former, Former::Unknown | Former::Special) {
            self.notes.push(stays(item));
            return;
        }
        let Ok(now) = capture(node, item, None) else {
            self.notes.push(format!("{item} stays as it is: it cannot be read"));
            return;
        };
        if let Some(bytes) = lost(former, &now) {
            self.notes.push(format!(
                "{item} stays as it is: its former content ({bytes} bytes) was not kept, for want of room"
            ));
            return;
        }
        let mut taken = memory.taken(item, former.clone(), true);
        // A service whose package somebody has taken away since cannot run again.
        taken.manner.if_there = true;
        taken.manner.keep_beside =
            matches!(now, Former::File(_)) && memory.left().is_some_and(|left| !left.same(&now));
        self.taken.push(taken);
    }
}
