//! Edges of rule (2): what holds or makes a thing comes before what uses it.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use cm_modules::{Thing, node::SettingKind};

use super::{Edge, GraphTask, Reason};

/// Who makes what.
struct Makers<'a> {
    by_thing: HashMap<&'a Thing, Vec<usize>>,
    paths: HashMap<&'a Path, Vec<usize>>,
    mounts: HashMap<&'a Path, Vec<usize>>,
    /// The first task that makes a directory along with what lies in it.
    along: HashMap<&'a Path, usize>,
}

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
pub(super) fn edges(tasks: &[GraphTask]) -> Vec<Edge> {
    let mut makers = Makers {
        by_thing: HashMap::new(),
        paths: HashMap::new(),
        mounts: HashMap::new(),
        along: HashMap::new(),
    };
    for (index, task) in tasks.iter().enumerate() {
        for thing in &task.touches.makes {
            makers.by_thing.entry(thing).or_default().push(index);
            match thing {
                Thing::Path(path) => {
                    makers.paths.entry(path).or_default().push(index);
                    if task.touches.parents && !task.touches.removes {
                        makers.note_along(path, index);
                    }
                }
                Thing::Mount(path) => {
                    makers.mounts.entry(path).or_default().push(index);
                    if task.touches.parents && !task.touches.removes {
                        makers.note_along(path, index);
                    }
                }
                _ => {}
            }
        }
    }
    let mut edges = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        for thing in &task.touches.makes {
            if let Thing::Path(path) = thing {
                makers.holders(tasks, index, path, path.parent(), &mut edges);
            }
        }
        for thing in &task.touches.needs {
            match thing {
                Thing::Path(path) => makers.holders(tasks, index, path, Some(path), &mut edges),
                Thing::Repository(_) => {}
                _ => {
                    let reason = Reason::Uses(describe(thing));
                    makers.uses(tasks, index, makers.by_thing.get(thing), &reason, &mut edges);
                }
            }
        }
    }
    same_thing(tasks, &makers, &mut edges);
    repositories(tasks, &mut edges);
    leaving_groups(tasks, &mut edges);
    answers(tasks, &mut edges);
    edges
}

impl<'a> Makers<'a> {
    /// Directories above a path that come along with it, but for those that are everywhere.
    fn note_along(&mut self, path: &'a Path, task: usize) {
        for above in path.ancestors().skip(1) {
            let deep = above.components().count() > 2;
            if deep && !EVERYWHERE.iter().any(|known| above == Path::new(known)) {
                self.along.entry(above).or_insert(task);
            }
        }
    }

    /// The task along with which the directory of something comes that makes no directories itself.
    fn comes_along(&self, tasks: &[GraphTask], task: usize, above: &Path) -> Option<usize> {
        let maker = *self.along.get(above)?;
        let waits = !tasks[task].touches.parents && !tasks[task].touches.removes && maker != task;
        waits.then_some(maker)
    }

    /// Edges from the nearest task that makes something above (or at) `start`.
    fn holders(
        &self,
        tasks: &[GraphTask],
        task: usize,
        path: &Path,
        start: Option<&Path>,
        edges: &mut Vec<Edge>,
    ) {
        for above in start.into_iter().flat_map(Path::ancestors) {
            // A mount lies on its mount point: who lives under both needs the mount.
            let others = |list: Option<&Vec<usize>>| -> Vec<usize> {
                list.into_iter().flatten().copied().filter(|&holder| holder != task).collect()
            };
            let mut found = others(self.mounts.get(above));
            if found.is_empty() {
                found = others(self.paths.get(above));
            }
            if found.is_empty() {
                // What lies deeper is made with its own directories; only the nearest is waited for.
                if Some(above) == start
                    && let Some(maker) = self.comes_along(tasks, task, above)
                {
                    let reason = Reason::Holds(above.display().to_string());
                    edges.push(Edge { from: maker, to: task, reason });
                }
                continue;
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
            return;
        }
    }

    fn uses(
        &self,
        tasks: &[GraphTask],
        task: usize,
        makers: Option<&Vec<usize>>,
        reason: &Reason,
        edges: &mut Vec<Edge>,
    ) {
        for &maker in makers.into_iter().flatten().filter(|&&maker| maker != task) {
            match (tasks[maker].touches.removes, tasks[task].touches.removes) {
                (false, _) => edges.push(Edge { from: maker, to: task, reason: reason.clone() }),
                (true, true) => edges.push(Edge { from: task, to: maker, reason: reason.clone() }),
                (true, false) => {}
            }
        }
    }
}

/// Tasks on one thing: the one that makes the whole first, then edits of parts, each as written.
fn same_thing(tasks: &[GraphTask], makers: &Makers<'_>, edges: &mut Vec<Edge>) {
    let shared: BTreeMap<&Thing, &Vec<usize>> = makers
        .by_thing
        .iter()
        .filter(|(_, list)| list.len() > 1)
        .map(|(thing, list)| (*thing, list))
        .collect();
    for (thing, list) in shared {
        let mut order = list.clone();
        order.sort_by_key(|&task| (tasks[task].touches.part, task));
        order.dedup();
        for pair in order.windows(2) {
            edges.push(Edge { from: pair[0], to: pair[1], reason: Reason::Same(describe(thing)) });
        }
    }
}

/// Sources of packages before all packages.
fn repositories(tasks: &[GraphTask], edges: &mut Vec<Edge>) {
    let makes = |task: &GraphTask, wanted: fn(&Thing) -> bool| task.touches.makes.iter().any(wanted);
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
fn leaving_groups(tasks: &[GraphTask], edges: &mut Vec<Edge>) {
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
fn answers(tasks: &[GraphTask], edges: &mut Vec<Edge>) {
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
