//! The edges of rule (2) as plainly as they can be found, to compare with.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use cm_modules::Thing;

use super::{EVERYWHERE, Edge, Reason, TaskView, describe};

/// Who makes what.
struct Makers<'a> {
    by_thing: HashMap<&'a Thing, Vec<usize>>,
    paths: HashMap<&'a Path, Vec<usize>>,
    mounts: HashMap<&'a Path, Vec<usize>>,
    /// The first task that makes a directory along with what lies in it.
    along: HashMap<&'a Path, usize>,
}

/// All edges of rule (2).
pub fn edges(tasks: &[TaskView<'_>]) -> Vec<Edge> {
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
    fn comes_along(&self, tasks: &[TaskView<'_>], task: usize, above: &Path) -> Option<usize> {
        let maker = *self.along.get(above)?;
        let waits = !tasks[task].touches.parents && !tasks[task].touches.removes && maker != task;
        waits.then_some(maker)
    }

    /// Edges from the nearest task that makes something above (or at) `start`.
    fn holders(
        &self,
        tasks: &[TaskView<'_>],
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
        tasks: &[TaskView<'_>],
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
fn same_thing(tasks: &[TaskView<'_>], makers: &Makers<'_>, edges: &mut Vec<Edge>) {
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
