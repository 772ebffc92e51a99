//! Looks at some of a catalog's tasks again while a node is watched: the look of a verify, nothing more.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, OnceLock},
    time::Instant,
};

use cm_modules::{Prefetch, Seen, Sign};
use cm_wire::{Begin, Task};

use super::{
    CatalogError, Class, Progress, Runner, Slot, Surroundings, guarding::Guarding, ready_queue::ReadyQueue,
    vouch::Ends,
};
use crate::journal::Journal;

/// The tasks of a catalog between looks: what they want, and nothing of what was found.
pub struct Resting {
    slots: Vec<Slot>,
}

impl Resting {
    /// Compiles the tasks.
    ///
    /// # Errors
    /// As [`super::run`].
    pub fn new(tasks: Vec<Task>, journal: &Journal) -> Result<Self, CatalogError> {
        let slots = tasks.into_iter().map(|task| Slot::new(task, journal)).collect::<Result<Vec<_>, _>>()?;
        let count = slots.len();
        if slots.iter().any(|slot| slot.task.edits.iter().any(|edit| *edit as usize >= count)) {
            return Err(CatalogError::Graph);
        }
        Ok(Self { slots })
    }

    /// The numbers of all tasks there are to look at.
    pub fn all(&self) -> impl Iterator<Item = u32> + '_ {
        let looked_at = |(_, slot): &(usize, &Slot)| slot.task.module != cm_wire::BARRIER;
        // Tasks are numbered in u32 on the wire.
        self.slots.iter().enumerate().filter(looked_at).map(|(index, _)| index as u32)
    }

    /// What tells of each of these tasks.
    pub fn signs(&mut self, tasks: &[u32], begin: &Begin, around: Surroundings<'_>) -> Vec<(u32, Vec<Sign>)> {
        let runner = self.wake(begin, around);
        let signs = |task: u32| {
            let slot = &runner.slots[task as usize];
            runner.with_context(task as usize, &[], false, true, &|context| slot.resource.signs(context))
        };
        let signs = tasks.iter().map(|task| (*task, signs(*task))).collect();
        self.slots = runner.slots;
        signs
    }

    /// Looks at these tasks, each as a verify does; their results go out as [`cm_wire::Event::Ended`].
    pub fn look(&mut self, tasks: &[u32], begin: &Begin, around: Surroundings<'_>) {
        let mut runner = self.wake(begin, around);
        let mut wants = Prefetch::default();
        for task in tasks {
            let slot = &mut runner.slots[*task as usize];
            slot.resource.prefetch(&mut wants);
            slot.owed = slot
                .service
                .as_deref()
                .map(|name| runner.around.journal.read(|ledger| ledger.owed(name)))
                .unwrap_or_default();
            slot.first = Ok(Seen::Later);
        }
        runner.around.node.prefetch(&wants);
        let plain = |task: &usize| runner.slots[*task].class != Class::Check;
        let plain: Vec<usize> = tasks.iter().map(|task| *task as usize).filter(plain).collect();
        runner.look_gathering(plain);
        for task in tasks {
            if (runner.around.stopping)() {
                break;
            }
            let started = runner.elapsed();
            if matches!(runner.slots[*task as usize].first, Ok(Seen::AsWanted)) {
                runner.report(*task, cm_wire::Outcome::Ok, Vec::new(), None, started, 0);
            } else {
                let end = runner.do_task(*task);
                let took = runner.elapsed() - started;
                runner.report_result(*task, end, started, took);
            }
        }
        self.slots = runner.slots;
        for slot in &mut self.slots {
            slot.first = Ok(Seen::Later);
        }
    }

    /// A runner with these tasks and no edges between them.
    fn wake<'a>(&mut self, begin: &'a Begin, around: Surroundings<'a>) -> Runner<'a> {
        let slots = std::mem::take(&mut self.slots);
        let count = slots.len();
        // Without edges there is no cycle.
        let queue = ReadyQueue::new(vec![Vec::new(); count]).unwrap_or_else(|_| unreachable!());
        let progress = Progress {
            queue,
            notices: vec![Vec::new(); count],
            busy_batches: Vec::new(),
            alone: false,
            stopped: false,
        };
        let guarding = Guarding::of(&slots, None);
        Runner {
            begin,
            around,
            slots,
            progress: Mutex::new(progress),
            moved: Condvar::new(),
            start: Instant::now(),
            guarding,
            done: BTreeMap::new(),
            ends: Ends::new(count),
            applied: OnceLock::new(),
        }
    }
}
