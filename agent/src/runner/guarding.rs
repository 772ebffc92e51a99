//! Guarded tasks of a run: the guard is set before the first of them changes something, and its time counts
//! from the moment all of them, and the services they restart, have ended.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Slot;
use crate::{guard::Guard, journal::Owner};

/// What is known of a run's guarded tasks.
pub(super) struct Guarding<'a> {
    guard: Option<&'a Guard>,
    limit: u32,
    owners: Vec<Owner>,
    /// Guarded tasks, and the services they restart, that have not ended.
    left: Mutex<BTreeSet<u32>>,
    all: BTreeSet<u32>,
    set: AtomicBool,
    broken: AtomicBool,
}

impl<'a> Guarding<'a> {
    /// For the tasks of a run; without a guard nothing is guarded.
    pub(super) fn of(slots: &[Slot], guard: Option<&'a Guard>) -> Self {
        let guarded = || slots.iter().enumerate().filter(|(_, slot)| slot.task.guard > 0);
        let mut all = BTreeSet::new();
        for (index, slot) in guarded() {
            // Tasks are numbered in u32 on the wire.
            all.insert(index as u32);
            all.extend(slot.task.notify.iter().map(|notify| notify.task));
        }
        Self {
            guard,
            limit: guarded().map(|(_, slot)| slot.task.guard).max().unwrap_or(0),
            owners: guarded()
                .map(|(_, slot)| Owner { role: slot.task.role.clone(), task: slot.task.id.clone() })
                .collect(),
            left: Mutex::new(all.clone()),
            all,
            set: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// Sets the guard where one of these tasks is guarded.
    pub(super) fn before(&self, tasks: &[u32], slots: &[Slot]) -> Result<(), String> {
        let Some(guard) = self.guard else { return Ok(()) };
        if tasks.iter().all(|task| slots[*task as usize].task.guard == 0)
            || self.set.swap(true, Ordering::SeqCst)
        {
            return Ok(());
        }
        guard.set(self.owners.clone(), self.limit).map_err(|error| {
            self.set.store(false, Ordering::SeqCst);
            format!("its guard could not be set: {error}")
        })
    }

    /// A task has ended: the limit in seconds, where all that is guarded has ended now and awaits the
    /// controller.
    pub(super) fn ended(&self, task: u32, well: bool) -> Option<u32> {
        if !self.all.contains(&task) {
            return None;
        }
        if !well {
            self.broken.store(true, Ordering::SeqCst);
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let last = left.remove(&task) && left.is_empty();
        drop(left);
        let guard = self.guard?;
        if !last || !self.set.load(Ordering::SeqCst) || self.broken.load(Ordering::SeqCst) {
            return None;
        }
        guard.count_from_now();
        Some(self.limit)
    }

    /// Whether guarded changes were made that nobody will confirm: something of them failed, or the run
    /// was stopped in between.
    pub(super) fn is_broken(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        self.set.load(Ordering::SeqCst) && (self.broken.load(Ordering::SeqCst) || !left.is_empty())
    }
}
