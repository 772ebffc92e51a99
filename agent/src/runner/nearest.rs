//! The nearest tasks before one that changed something, found once for each task between.

use std::sync::Arc;

/// Numbers of tasks that are kept for all tasks together: 4 MiB.
const ROOM: usize = 1 << 20;

/// What a task is to those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It changed something.
    Changed,
    /// Neither it nor any before it changed anything.
    Calm,
    /// It changed nothing, some before it did, and none of that changes any more.
    Settled,
    /// Some before it changed something, and more may.
    Open,
}

/// What was found for settled tasks.
#[derive(Debug)]
pub(super) struct Nearest {
    /// By task; in no order, each task once.
    found: Vec<Option<Arc<[u32]>>>,
    /// How many more numbers are kept. Where none are, a walk finds the same, only slower.
    room: usize,
    /// By task, the last search that met it.
    met: Vec<u32>,
    search: u32,
}

impl Default for Nearest {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Nearest {
    pub(super) fn with_room(room: usize) -> Self {
        Self { found: Vec::new(), room, met: Vec::new(), search: 0 }
    }

    /// The nearest tasks before this one that changed something, in order.
    pub(super) fn of(&mut self, task: u32, before: &[Vec<u32>], role: impl Fn(u32) -> Role) -> Vec<u32> {
        self.found.resize(before.len(), None);
        self.met.resize(before.len(), 0);
        for &earlier in &before[task as usize] {
            self.settle(earlier, before, &role);
        }
        let mut found = self.gather(task, before, &role);
        cm_modules::in_order::sort(&mut found);
        found
    }

    /// Finds for a settled task and all settled ones before it, the first ones first, as long as there is room.
    fn settle(&mut self, task: u32, before: &[Vec<u32>], role: &impl Fn(u32) -> Role) {
        let mut path = vec![(task, false)];
        while let Some((task, before_is_found)) = path.pop() {
            if self.room == 0 {
                return;
            }
            if self.found[task as usize].is_some() || role(task) != Role::Settled {
                continue;
            }
            if before_is_found {
                self.keep(task, before, role);
            } else {
                path.push((task, true));
                path.extend(before[task as usize].iter().map(|&earlier| (earlier, false)));
            }
        }
    }

    fn keep(&mut self, task: u32, before: &[Vec<u32>], role: &impl Fn(u32) -> Role) {
        let gathered = self.gather(task, before, role);
        // Most often a task has what one before it has, and they share it.
        let known = before[task as usize].iter().filter_map(|&earlier| self.found[earlier as usize].as_ref());
        let same =
            known.max_by_key(|known| known.len()).filter(|known| known.len() == gathered.len()).cloned();
        let found = same.unwrap_or_else(|| {
            self.room = self.room.saturating_sub(gathered.len());
            gathered.into()
        });
        self.found[task as usize] = Some(found);
    }

    /// A walk back to what changed, or to where that is known.
    fn gather(&mut self, task: u32, before: &[Vec<u32>], role: &impl Fn(u32) -> Role) -> Vec<u32> {
        self.search += 1;
        let mut gathered = Vec::new();
        let mut stack = before[task as usize].clone();
        while let Some(earlier) = stack.pop() {
            if std::mem::replace(&mut self.met[earlier as usize], self.search) == self.search {
                continue;
            }
            match (role(earlier), &self.found[earlier as usize]) {
                (Role::Changed, _) => gathered.push(earlier),
                (Role::Calm, _) => {}
                (Role::Settled, Some(known)) => {
                    for &changed in &**known {
                        if std::mem::replace(&mut self.met[changed as usize], self.search) != self.search {
                            gathered.push(changed);
                        }
                    }
                }
                (Role::Settled | Role::Open, _) => stack.extend(&before[earlier as usize]),
            }
        }
        gathered
    }
}
