//! A part of a catalog: some of its tasks, in the order that the whole gives them. Pure.

use std::collections::HashMap;

use cm_wire::{BARRIER, Notify, Task};

use crate::HostCatalog;

/// The tasks that are kept, and no others: barriers are gone, and what lay between two kept tasks still orders them.
/// Edits of a kept file belong to its content, so they are kept with it. Nothing is orphaned in a part.
#[must_use]
pub fn part_of(whole: HostCatalog, keep: &dyn Fn(usize, &Task) -> bool) -> HostCatalog {
    let count = whole.labels.len();
    let mut kept: Vec<bool> = whole
        .tasks
        .iter()
        .enumerate()
        .map(|(index, task)| index < count && task.module != BARRIER && keep(index, task))
        .collect();
    for index in 0..count {
        if kept[index] {
            // Numbers of the same catalog.
            for &edit in &whole.tasks[index].edits {
                kept[edit as usize] = true;
            }
        }
    }
    let mut places: HashMap<u32, u32> = HashMap::new();
    for (index, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
        // Tasks are numbered in u32 on the wire.
        let next = places.len() as u32;
        places.insert(index as u32, next);
    }
    let moved = |numbers: &[u32]| numbers.iter().filter_map(|number| places.get(number).copied()).collect();
    let mut tasks = Vec::with_capacity(places.len());
    let mut labels = Vec::with_capacity(places.len());
    for (index, task) in whole.tasks.iter().enumerate().filter(|(index, _)| kept[*index]) {
        let notify = task.notify.iter().filter_map(|notify| {
            Some(Notify { task: places.get(&notify.task).copied()?, notice: notify.notice })
        });
        tasks.push(Task {
            after: moved(&before(&whole.tasks, &kept, index)),
            notify: notify.collect(),
            edits: moved(&task.edits),
            ..task.clone()
        });
        labels.push(whole.labels[index].clone());
    }
    HostCatalog { tasks, labels, whole_roles: Vec::new(), prune: Vec::new(), ..whole }
}

/// The kept tasks before a task, directly or with only such in between as are not kept.
fn before(tasks: &[Task], kept: &[bool], of: usize) -> Vec<u32> {
    let mut seen = vec![false; tasks.len()];
    let mut open: Vec<u32> = tasks[of].after.clone();
    let mut found = Vec::new();
    while let Some(next) = open.pop() {
        let index = next as usize;
        if index >= tasks.len() || std::mem::replace(&mut seen[index], true) {
            continue;
        }
        if kept[index] {
            found.push(next);
        } else {
            open.extend(&tasks[index].after);
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use cm_wire::Notice;

    use super::*;
    use crate::TaskLabel;

    fn catalog(tasks: Vec<Task>) -> HostCatalog {
        let labelled = tasks.iter().filter(|task| task.module != BARRIER);
        let labels = labelled
            .map(|task| TaskLabel {
                id: task.id.as_str().into(),
                role: "web".into(),
                place: "x:1:1".into(),
                check: false,
                added: false,
            })
            .collect();
        HostCatalog { tasks, labels, whole_roles: vec!["web".into()], ..HostCatalog::default() }
    }

    fn task(id: &str, after: &[u32]) -> Task {
        Task { after: after.to_vec(), ..Task::new(id, "file") }
    }

    #[test]
    fn what_is_kept_stays_in_order_over_what_is_not() {
        // a -> barrier -> b -> c, and d by itself.
        let tasks = vec![
            task("a", &[]),
            task("b", &[4]),
            task("c", &[1]),
            task("d", &[]),
            Task { after: vec![0], ..Task::new("", BARRIER) },
        ];
        let part = part_of(catalog(tasks), &|_, task| matches!(task.id.as_str(), "a" | "c"));
        let told: Vec<(&str, &[u32])> =
            part.tasks.iter().map(|task| (task.id.as_str(), task.after.as_slice())).collect();
        assert_eq!(told, [("a", [].as_slice()), ("c", &[0])]);
        assert_eq!(part.labels.len(), 2);
        assert!(part.whole_roles.is_empty());
    }

    #[test]
    fn a_file_keeps_its_edits_and_tells_whoever_is_kept() {
        let tasks = vec![
            Task {
                edits: vec![2],
                notify: vec![
                    Notify { task: 1, notice: Notice::Restart },
                    Notify { task: 3, notice: Notice::Reload },
                ],
                ..task("conf", &[])
            },
            task("other", &[]),
            task("line", &[0]),
            task("service", &[0, 1]),
        ];
        let part = part_of(catalog(tasks), &|_, task| matches!(task.id.as_str(), "conf" | "service"));
        let ids: Vec<&str> = part.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids, ["conf", "line", "service"]);
        assert_eq!(part.tasks[0].edits, [1]);
        assert_eq!(part.tasks[0].notify, [Notify { task: 2, notice: Notice::Reload }]);
        assert_eq!(part.tasks[2].after, [0]);
        assert!(part_of(part, &|_, _| false).tasks.is_empty());
    }
}
