//! Which tasks may start: a state machine without I/O over the graph's edges.

use std::collections::BTreeSet;

use super::nearest::{Nearest, Role};

/// How a task ended, as far as the tasks after it care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As wanted, nothing changed.
    Quiet,
    /// Something changed (or may have, or in a plan would): what comes after must look again.
    Changed,
    /// What depends on it cannot run.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended(Ending),
}

/// The graph does not allow any order.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAGraph;

/// The tasks of a run by what they wait for.
#[derive(Debug)]
pub struct ReadyQueue {
    before: Vec<Vec<u32>>,
    after: Vec<Vec<u32>>,
    left: Vec<u32>,
    state: Vec<State>,
    disturbed: Vec<bool>,
    nearest: Nearest,
    ready: BTreeSet<u32>,
    running: usize,
    ended: usize,
}

impl ReadyQueue {
    /// Takes for each task the tasks that come before it.
    ///
    /// # Errors
    /// When an edge leads nowhere or edges form a cycle.
    pub fn new(before: Vec<Vec<u32>>) -> Result<Self, NotAGraph> {
        let count = before.len();
        let mut after = vec![Vec::new(); count];
        for (task, list) in before.iter().enumerate() {
            for &earlier in list {
                // Tasks are numbered in u32 on the wire.
                after.get_mut(earlier as usize).ok_or(NotAGraph)?.push(task as u32);
            }
        }
        let left: Vec<u32> = before.iter().map(|list| list.len() as u32).collect();
        let ready = (0..count as u32).filter(|&task| left[task as usize] == 0).collect();
        let queue = Self {
            before,
            after,
            left,
            state: vec![State::Waiting; count],
            disturbed: vec![false; count],
            nearest: Nearest::default(),
            ready,
            running: 0,
            ended: 0,
        };
        queue.check_order()?;
        Ok(queue)
    }

    fn check_order(&self) -> Result<(), NotAGraph> {
        let mut left = self.left.clone();
        let mut stack: Vec<u32> = self.ready.iter().copied().collect();
        let mut reached = 0;
        while let Some(task) = stack.pop() {
            reached += 1;
            for &next in &self.after[task as usize] {
                left[next as usize] -= 1;
                if left[next as usize] == 0 {
                    stack.push(next);
                }
            }
        }
        if reached == self.state.len() { Ok(()) } else { Err(NotAGraph) }
    }

    /// The ready tasks, lowest number first.
    pub fn ready(&self) -> impl Iterator<Item = u32> + '_ {
        self.ready.iter().copied()
    }

    /// Starts a ready task.
    pub fn start(&mut self, task: u32) {
        let was_ready = self.ready.remove(&task);
        debug_assert!(was_ready, "task {task} was not ready");
        self.state[task as usize] = State::Running;
        self.running += 1;
    }

    /// Whether something before this task, near or far, changed.
    #[must_use]
    pub fn disturbed(&self, task: u32) -> bool {
        self.disturbed[task as usize]
    }

    /// The nearest tasks before this one that changed something, in order.
    ///
    /// What is found for the tasks between is kept for the next who asks: else each of many tasks at the end of a
    /// long graph would walk all of it again.
    pub fn disturbers(&mut self, task: u32) -> Vec<u32> {
        let Self { before, state, disturbed, nearest, .. } = self;
        let role = |task: u32| match state[task as usize] {
            State::Ended(Ending::Changed) => Role::Changed,
            _ if !disturbed[task as usize] => Role::Calm,
            // It ended as it should, so all before it have ended, and what is found for it stays so.
            State::Ended(Ending::Quiet) => Role::Settled,
            _ => Role::Open,
        };
        nearest.of(task, before, role)
    }

    /// Ends a running task. After a failure, everything that depends on it ends too: the answer names
    /// those tasks, each with the failed task.
    pub fn end(&mut self, task: u32, ending: Ending) -> Vec<u32> {
        debug_assert_eq!(self.state[task as usize], State::Running, "task {task} was not running");
        self.running -= 1;
        self.ended += 1;
        self.state[task as usize] = State::Ended(ending);
        if ending == Ending::Failed {
            return self.skip_after(task);
        }
        let disturbs = ending == Ending::Changed || self.disturbed[task as usize];
        for index in 0..self.after[task as usize].len() {
            let next = self.after[task as usize][index] as usize;
            self.disturbed[next] |= disturbs;
            self.left[next] -= 1;
            if self.left[next] == 0 && self.state[next] == State::Waiting {
                self.ready.insert(next as u32);
            }
        }
        Vec::new()
    }

    fn skip_after(&mut self, task: u32) -> Vec<u32> {
        let mut skipped = Vec::new();
        let mut stack = self.after[task as usize].clone();
        while let Some(next) = stack.pop() {
            if self.state[next as usize] == State::Waiting {
                self.state[next as usize] = State::Ended(Ending::Failed);
                self.ended += 1;
                skipped.push(next);
                stack.extend(&self.after[next as usize]);
            }
        }
        cm_modules::in_order::sort(&mut skipped);
        skipped
    }

    /// Whether tasks are at work.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.running > 0
    }

    /// Whether all tasks have ended.
    #[cfg(test)]
    pub fn finished(&self) -> bool {
        self.ended == self.state.len()
    }

    /// Tasks that have not started, in order.
    #[must_use]
    pub fn unstarted(&self) -> Vec<u32> {
        let waits = |task: &u32| self.state[*task as usize] == State::Waiting;
        (0..self.state.len() as u32).filter(waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cycle_or_a_loose_edge_is_refused() {
        assert_eq!(ReadyQueue::new(vec![vec![1], vec![0]]).unwrap_err(), NotAGraph);
        assert_eq!(ReadyQueue::new(vec![vec![7]]).unwrap_err(), NotAGraph);
    }

    #[test]
    fn the_nearest_disturbers_are_named() {
        // 0 -> 1 -> 2, and 3 -> 2
        let mut queue = ReadyQueue::new(vec![vec![], vec![0], vec![1, 3], vec![]]).unwrap();
        for (task, ending) in [(0, Ending::Changed), (3, Ending::Quiet), (1, Ending::Quiet)] {
            queue.start(task);
            queue.end(task, ending);
        }
        assert!(queue.disturbed(2));
        assert_eq!(queue.disturbers(2), [0]);
    }

    /// What [`ReadyQueue::disturbers`] means: a walk of its own each time.
    fn walked(queue: &ReadyQueue, task: u32) -> Vec<u32> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut stack = queue.before[task as usize].clone();
        while let Some(earlier) = stack.pop() {
            if !seen.insert(earlier) {
                continue;
            }
            if queue.state[earlier as usize] == State::Ended(Ending::Changed) {
                found.insert(earlier);
            } else if queue.disturbed(earlier) {
                stack.extend(&queue.before[earlier as usize]);
            }
        }
        found.into_iter().collect()
    }

    fn graphs() -> impl Strategy<Value = Vec<Vec<u32>>> {
        prop::collection::vec(prop::collection::vec(any::<u32>(), 0..4), 1..30).prop_map(|lists| {
            lists
                .into_iter()
                .enumerate()
                .map(|(task, list)| {
                    let mut before: Vec<u32> =
                        list.into_iter().filter(|_| task > 0).map(|n| n % (task.max(1) as u32)).collect();
                    before.sort_unstable();
                    before.dedup();
                    before
                })
                .collect()
        })
    }

    proptest! {
        /// Whoever asks, whenever, and however much of it is kept.
        #[test]
        fn the_disturbers_are_those_that_a_walk_finds(
            before in graphs(), room in prop_oneof![Just(0), 1..20usize, Just(usize::MAX)],
            kinds in prop::collection::vec(0..12u8, 30),
            asked in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 30),
        ) {
            let mut queue = ReadyQueue::new(before.clone()).unwrap();
            queue.nearest = Nearest::with_room(room);
            loop {
                let Some(task) = queue.ready().next() else { break };
                let (aloud, other) = &asked[task as usize];
                queue.start(task);
                if *aloud {
                    prop_assert_eq!(queue.disturbers(task), walked(&queue, task));
                    let other = other.index(before.len()) as u32;
                    prop_assert_eq!(queue.disturbers(other), walked(&queue, other));
                }
                queue.end(task, match kinds[task as usize] {
                    0 => Ending::Failed,
                    1..=4 => Ending::Changed,
                    _ => Ending::Quiet,
                });
            }
            for task in 0..before.len() as u32 {
                prop_assert_eq!(queue.disturbers(task), walked(&queue, task));
            }
        }

        #[test]
        fn every_task_ends_once_and_never_before_what_it_waits_for(
            before in graphs(), choices in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<bool>()), 200)
        ) {
            let mut queue = ReadyQueue::new(before.clone()).unwrap();
            let count = before.len();
            let mut ended: Vec<Option<bool>> = vec![None; count];
            let mut running = Vec::new();
            let mut choices = choices.into_iter().cycle();
            while !queue.finished() {
                let (pick, kind, start) = choices.next().unwrap();
                let ready: Vec<u32> = queue.ready().collect();
                if start && !ready.is_empty() {
                    let task = ready[pick.index(ready.len())];
                    for &earlier in &before[task as usize] {
                        prop_assert_eq!(ended[earlier as usize], Some(true));
                    }
                    queue.start(task);
                    running.push(task);
                } else if !running.is_empty() {
                    let task = running.swap_remove(pick.index(running.len()));
                    let ending = [Ending::Quiet, Ending::Changed, Ending::Failed][usize::from(kind)];
                    prop_assert_eq!(ended[task as usize], None);
                    ended[task as usize] = Some(ending != Ending::Failed);
                    for skipped in queue.end(task, ending) {
                        prop_assert_eq!(ended[skipped as usize], None);
                        prop_assert!(!running.contains(&skipped));
                        ended[skipped as usize] = Some(false);
                    }
                } else {
                    prop_assert!(!ready.is_empty(), "stuck");
                }
            }
            prop_assert!(ended.iter().all(Option::is_some));
            prop_assert!(!queue.busy());
        }
    }
}
