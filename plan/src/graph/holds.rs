//! Edges of rule (2): what holds or makes a thing comes before what uses it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash},
    path::{Path, PathBuf},
};

use cm_modules::{Thing, node::SettingKind};

use super::{
    Edge, Reason, TaskView,
    paths::{self, PathKey, PathMap},
};
use crate::fast_hash::FastMap;

/// Who makes what.
#[derive(Default)]
struct Makers<'a> {
    /// Whatever is no path and no mount.
    others: FastMap<&'a Thing, Made<'a>>,
    paths: PathMap<'a, Made<'a>>,
    mounts: PathMap<'a, Made<'a>>,
    /// The first task that makes a directory along with what lies in it.
    along: PathMap<'a, usize>,
}

/// The tasks that make a thing; nearly always it is one.
struct Made<'a> {
    thing: &'a Thing,
    first: usize,
    more: Vec<usize>,
}

impl<'a> Made<'a> {
    fn new(thing: &'a Thing, task: usize) -> Self {
        Self { thing, first: task, more: Vec::new() }
    }

    fn tasks(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
}

/// Notes a maker of what this entry is of.
fn note<'a, K: Eq + Hash, S: BuildHasher>(
    map: &mut HashMap<K, Made<'a>, S>,
    key: K,
    thing: &'a Thing,
    task: usize,
) {
    match map.entry(key) {
        Entry::Occupied(mut known) => known.get_mut().more.push(task),
        Entry::Vacant(free) => drop(free.insert(Made::new(thing, task))),
    }
}

/// The path or mount point of each thing in its one spelling, where it is not spelled so already.
type Spellings = Vec<PathBuf>;

/// Directories of every system: nobody waits for a task that would make them if they were missing.
const EVERYWHERE: [&str; 24] = [
    "/etc/apt",
    "/etc/apt/sources.list.d",
    "/etc/cron.d",
    "/etc/default",
    "/etc/init.d",
    "/etc/profile.d",
    "/etc/security",
    "/etc/ssh",
    "/etc/ssl",
    "/etc/systemd",
    "/etc/systemd/system",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/sbin",
    "/usr/share",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
];

/// All edges of rule (2).
pub(super) fn edges(tasks: &[TaskView<'_>]) -> Vec<Edge> {
    // Paths of odd spelling are spelled out first, since the maps borrow what is in them.
    let odd = spellings(tasks);
    let mut odd_ones = odd.iter();
    let mut makers = Makers::default();
    // For each thing in turn, its path as a key, and the bytes the key is made of.
    let mut next_plain = |path| match paths::plain(path) {
        Cow::Borrowed(path) => path,
        // `spellings` found one for each of them, in this order.
        Cow::Owned(_) => odd_ones.next().map_or(path, PathBuf::as_path),
    };
    let mut plains: Vec<&Path> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        for thing in &task.touches.makes {
            let (Thing::Path(path) | Thing::Mount(path)) = thing else {
                note(&mut makers.others, thing, thing, index);
                continue;
            };
            let path = next_plain(path);
            plains.push(path);
            let map = if matches!(thing, Thing::Path(_)) { &mut makers.paths } else { &mut makers.mounts };
            paths::upwards(path, |key, _| {
                note(map, key, thing, index);
                true
            });
            if task.touches.parents && !task.touches.removes {
                makers.note_along(path, index);
            }
        }
        for thing in &task.touches.needs {
            if let Thing::Path(path) | Thing::Mount(path) = thing {
                plains.push(next_plain(path));
            }
        }
    }
    let mut edges = Vec::new();
    let mut plains = plains.into_iter();
    for (index, task) in tasks.iter().enumerate() {
        for thing in &task.touches.makes {
            let (Thing::Path(path) | Thing::Mount(path)) = thing else { continue };
            let plain = plains.next().unwrap_or(path);
            if matches!(thing, Thing::Path(_)) {
                makers.holders(tasks, index, path, plain, false, &mut edges);
            }
        }
        for thing in &task.touches.needs {
            match thing {
                Thing::Path(path) => {
                    let plain = plains.next().unwrap_or(path);
                    makers.holders(tasks, index, path, plain, true, &mut edges);
                }
                Thing::Mount(path) => {
                    let mut made = None;
                    paths::upwards(plains.next().unwrap_or(path), |key, _| {
                        made = makers.mounts.get(&key);
                        true
                    });
                    uses(tasks, index, thing, made, &mut edges);
                }
                Thing::Repository(_) => {}
                _ => uses(tasks, index, thing, makers.others.get(thing), &mut edges),
            }
        }
    }
    same_thing(tasks, &makers, &mut edges);
    repositories(tasks, &mut edges);
    leaving_groups(tasks, &mut edges);
    answers(tasks, &mut edges);
    edges
}

/// Every path that is not in its one spelling, in the order that tasks make and need them.
fn spellings(tasks: &[TaskView<'_>]) -> Spellings {
    let things = tasks.iter().flat_map(|task| task.touches.makes.iter().chain(&task.touches.needs));
    things
        .filter_map(|thing| match thing {
            Thing::Path(path) | Thing::Mount(path) => match paths::plain(path) {
                Cow::Borrowed(_) => None,
                Cow::Owned(plain) => Some(plain),
            },
            _ => None,
        })
        .collect()
}

impl<'a> Makers<'a> {
    /// Directories above a path that come along with it, but for those that are everywhere.
    fn note_along(&mut self, path: &'a Path, task: usize) {
        let mut own = true;
        paths::upwards(path, |key, above| {
            if std::mem::take(&mut own) {
                return false;
            }
            let deep = above.components().count() > 2;
            if deep && !EVERYWHERE.iter().any(|known| above == Path::new(known)) {
                self.along.entry(key).or_insert(task);
            }
            !deep
        });
    }

    /// The task along with which the directory of something comes that makes no directories itself.
    fn comes_along(&self, tasks: &[TaskView<'_>], task: usize, above: PathKey<'_>) -> Option<usize> {
        let maker = *self.along.get(&above)?;
        let waits = !tasks[task].touches.parents && !tasks[task].touches.removes && maker != task;
        waits.then_some(maker)
    }

    /// Edges from the nearest task that makes something above (or, where `own`, at) a path.
    fn holders(
        &self,
        tasks: &[TaskView<'_>],
        task: usize,
        path: &Path,
        plain: &Path,
        own: bool,
        edges: &mut Vec<Edge>,
    ) {
        let mut skip = !own;
        let mut nearest = true;
        paths::upwards(plain, |key, above| {
            if std::mem::take(&mut skip) {
                return false;
            }
            // A mount lies on its mount point: who lives under both needs the mount.
            let others = |made: Option<&Made<'_>>| -> Vec<usize> {
                made.into_iter().flat_map(Made::tasks).filter(|&holder| holder != task).collect()
            };
            let mut found = if self.mounts.is_empty() { Vec::new() } else { others(self.mounts.get(&key)) };
            if found.is_empty() {
                found = others(self.paths.get(&key));
            }
            let nearest = std::mem::take(&mut nearest);
            if found.is_empty() {
                // What lies deeper is made with its own directories; only the nearest is waited for.
                if nearest && let Some(maker) = self.comes_along(tasks, task, key) {
                    let reason = Reason::Holds(above.display().to_string());
                    edges.push(Edge { from: maker, to: task, reason });
                }
                return false;
            }
            let shown = above.display().to_string();
            for holder in found {
                match (tasks[holder].touches.removes, tasks[task].touches.removes) {
                    (true, true) => {
                        edges.push(Edge {
                            from: task,
                            to: holder,
                            reason: Reason::Empties(path.display().to_string()),
                        });
                    }
                    // Taking a folder away and making something in it: as written, whatever it means.
                    (true, false) => edges.push(Edge {
                        from: holder.min(task),
                        to: holder.max(task),
                        reason: Reason::Same(shown.clone()),
                    }),
                    (false, _) => {
                        edges.push(Edge { from: holder, to: task, reason: Reason::Holds(shown.clone()) })
                    }
                }
            }
            true
        });
    }
}

/// Edges between a task and those that make what it uses.
fn uses(tasks: &[TaskView<'_>], task: usize, thing: &Thing, made: Option<&Made<'_>>, edges: &mut Vec<Edge>) {
    for maker in made.into_iter().flat_map(Made::tasks).filter(|&maker| maker != task) {
        let reason = || Reason::Uses(describe(thing));
        match (tasks[maker].touches.removes, tasks[task].touches.removes) {
            (false, _) => edges.push(Edge { from: maker, to: task, reason: reason() }),
            (true, true) => edges.push(Edge { from: task, to: maker, reason: reason() }),
            (true, false) => {}
        }
    }
}

/// Tasks on one thing: the one that makes the whole first, then edits of parts, each as written.
fn same_thing(tasks: &[TaskView<'_>], makers: &Makers<'_>, edges: &mut Vec<Edge>) {
    let made = makers.others.values().chain(makers.paths.values()).chain(makers.mounts.values());
    let shared: BTreeMap<&Thing, &Made<'_>> =
        made.filter(|made| !made.more.is_empty()).map(|made| (made.thing, made)).collect();
    for (thing, made) in shared {
        let mut order: Vec<usize> = made.tasks().collect();
        order.sort_by_key(|&task| (tasks[task].touches.part, task));
        order.dedup();
        for pair in order.windows(2) {
            edges.push(Edge { from: pair[0], to: pair[1], reason: Reason::Same(describe(thing)) });
        }
    }
}

/// Sources of packages before all packages.
fn repositories(tasks: &[TaskView<'_>], edges: &mut Vec<Edge>) {
    let makes = |task: &TaskView<'_>, wanted: fn(&Thing) -> bool| task.touches.makes.iter().any(wanted);
    let sources: Vec<usize> = (0..tasks.len())
        .filter(|&task| makes(&tasks[task], |thing| matches!(thing, Thing::Repository(_))))
        .collect();
    if sources.is_empty() {
        return;
    }
    for (index, task) in tasks.iter().enumerate() {
        if makes(task, |thing| matches!(thing, Thing::Package(_))) {
            edges.extend(sources.iter().filter(|&&source| source != index).map(|&from| Edge {
                from,
                to: index,
                reason: Reason::Repository,
            }));
        }
    }
}

/// Users before groups that go: a group cannot go while it is some user's primary one, and which users those
/// are, a task that removes a user does not say.
fn leaving_groups(tasks: &[TaskView<'_>], edges: &mut Vec<Edge>) {
    for (to, task) in tasks.iter().enumerate().filter(|(_, task)| task.touches.removes) {
        let Some(group) = task.touches.makes.iter().find(|thing| matches!(thing, Thing::Group(_))) else {
            continue;
        };
        let users = tasks.iter().enumerate().filter(|(_, user)| {
            user.touches.makes.iter().any(|thing| matches!(thing, Thing::User(_)))
                && !user.touches.needs.contains(group)
        });
        edges.extend(users.map(|(from, _)| Edge { from, to, reason: Reason::Empties(describe(group)) }));
    }
}

/// Answers of debconf before the packages that ask for them; after those that go, since purging one takes its
/// answers along.
fn answers(tasks: &[TaskView<'_>], edges: &mut Vec<Edge>) {
    let mut answers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, task) in tasks.iter().enumerate() {
        for thing in &task.touches.makes {
            if let Thing::Setting(SettingKind::Debconf, key) = thing {
                let package = key.split_once(' ').map_or(key.as_str(), |(package, _)| package);
                answers.entry(package).or_default().push(index);
            }
        }
    }
    if answers.is_empty() {
        return;
    }
    for (index, task) in tasks.iter().enumerate() {
        for thing in &task.touches.makes {
            let Thing::Package(name) = thing else { continue };
            // `libssl3:i386` asks as `libssl3`.
            let package = name.split(':').next().unwrap_or(name);
            for &answer in answers.get(package).into_iter().flatten() {
                edges.push(if task.touches.removes {
                    Edge { from: index, to: answer, reason: Reason::Uses(describe(thing)) }
                } else {
                    Edge { from: answer, to: index, reason: Reason::Answers(package.to_owned()) }
                });
            }
        }
    }
}

fn describe(thing: &Thing) -> String {
    match thing {
        Thing::Path(path) => path.display().to_string(),
        Thing::Mount(path) => format!("mount {}", path.display()),
        Thing::User(name) => format!("user {name}"),
        Thing::Group(name) => format!("group {name}"),
        Thing::Package(name) => format!("package {name}"),
        Thing::Repository(name) => format!("repository {name}"),
        Thing::Unit(name) => format!("unit {name}"),
        Thing::Service(name) => format!("service {name}"),
        Thing::Setting(SettingKind::Custom, key) => key.clone(),
        Thing::Setting(kind, key) => format!("{} {key}", kind.word()),
        Thing::Other(name) => name.clone(),
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
