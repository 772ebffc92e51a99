//! What a run leaves in the list of applied tasks.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU8, Ordering},
};

use cm_modules::Class;
use cm_wire::{BARRIER, Done, Event, Mode, Outcome, TaskResult, Undo};

use super::{Runner, Slot};
use crate::{
    applied::{self, AppliedTasks, Entry, Kept},
    boot::seconds,
    journal::Owner,
};

/// How tasks have ended, for whoever asks at the end of a run.
pub(super) struct Ends(Vec<AtomicU8>);

/// How a task has ended, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has not.
    Open,
    /// It was as wanted.
    Ok,
    /// It was made so.
    Changed,
    /// It was tried in vain.
    Failed,
}

impl Ends {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU8::new(End::Open as u8)).collect())
    }

    /// Takes a result in.
    pub(super) fn note(&self, result: &TaskResult) {
        let end = match &result.outcome {
            Outcome::Ok => End::Ok,
            Outcome::Changed => End::Changed,
            Outcome::Failed { .. } => End::Failed,
            _ => return,
        };
        if let Some(place) = self.0.get(result.task as usize) {
            place.store(end as u8, Ordering::Relaxed);
        }
    }

    /// Whether a task was as wanted.
    pub(super) fn is_ok(&self, task: usize) -> bool {
        self.of(task) == End::Ok
    }

    fn of(&self, task: usize) -> End {
        match self.0.get(task).map(|place| place.load(Ordering::Relaxed)) {
            Some(end) if end == End::Ok as u8 => End::Ok,
            Some(end) if end == End::Changed as u8 => End::Changed,
            Some(end) if end == End::Failed as u8 => End::Failed,
            _ => End::Open,
        }
    }
}

/// Whether it is a task of a role that leaves a state.
fn is_vouched_for(slot: &Slot) -> bool {
    slot.added.is_none()
        && slot.class != Class::Check
        && slot.task.module != BARRIER
        && !slot.task.role.is_empty()
}

impl Runner<'_> {
    /// Who wants what this run takes back, by the task that does; asked before it is taken back.
    pub(super) fn losers(&self) -> Vec<(usize, Vec<Owner>)> {
        let added = self.slots.iter().enumerate();
        let added = added.filter_map(|(index, slot)| Some((index, &slot.added.as_ref()?.item)));
        self.around.journal.read(|ledger| {
            let owners = |item| ledger.items.get(item).map(|memory| memory.owners.keys().cloned().collect());
            added.filter_map(|(index, item)| Some((index, owners(item)?))).collect()
        })
    }

    /// Writes down what was applied, where that is new.
    pub(super) fn vouch(&self, losers: &[(usize, Vec<Owner>)]) {
        if self.begin.mode != Mode::Apply || self.around.journal.is_asleep() {
            return;
        }
        let path = self.around.journal.applied();
        let known = AppliedTasks::load(path);
        let mut next = known.clone();
        self.take_away(&mut next, losers);
        match &self.begin.undo {
            Some(Undo::Roles(roles)) => next
                .tasks
                .retain(|_, entry| !roles.is_empty() && entry.roles.iter().any(|role| !roles.contains(role))),
            Some(Undo::Run { .. }) => {}
            None => self.put(&mut next),
        }
        if next == known {
            return;
        }
        if let Err(error) = next.save(path) {
            (self.around.send)(Event::Note(format!(
                "what was applied cannot be written down, and `cm verify` will take it for pending: {error}"
            )));
        }
    }

    fn take_away(&self, applied: &mut AppliedTasks, losers: &[(usize, Vec<Owner>)]) {
        for (index, owners) in losers {
            if self.ends.of(*index) != End::Changed {
                continue;
            }
            for owner in owners {
                if let Some(entry) = applied.tasks.get_mut(&owner.task) {
                    entry.undone = Some(format!("run {} took it back", self.begin.run));
                }
            }
        }
    }

    fn put(&self, applied: &mut AppliedTasks) {
        let (run, time) = (&self.begin.run, seconds());
        let mut ids = BTreeSet::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if !is_vouched_for(slot) {
                continue;
            }
            ids.insert(slot.task.id.as_str());
            // Tasks are numbered in u32 on the wire.
            let end = match self.done.get(&(index as u32)) {
                Some(Done::Ok) => End::Ok,
                Some(Done::Changed) => End::Changed,
                Some(Done::Failed) => End::Open,
                None => self.ends.of(index),
            };
            let edits = || slot.task.edits.iter().map(|&edit| &self.slots[edit as usize].task);
            match end {
                End::Open => {}
                End::Failed => {
                    if let Some(entry) = applied.tasks.get_mut(&slot.task.id) {
                        entry.undone = Some(format!("run {run} failed at it"));
                    }
                }
                End::Ok | End::Changed => {
                    let wanted = applied::wanted(&slot.task, edits());
                    let stands = applied
                        .tasks
                        .get(&slot.task.id)
                        .is_some_and(|entry| entry.wanted == wanted && entry.undone.is_none());
                    if stands && end == End::Ok {
                        continue;
                    }
                    let entry = Entry {
                        roles: std::iter::once(&slot.task.role).chain(&slot.task.also).cloned().collect(),
                        wanted,
                        run: run.clone(),
                        time,
                        undone: None,
                        task: Kept::of(&slot.task, edits(), &self.begin.redact),
                    };
                    applied.tasks.insert(slot.task.id.clone(), entry);
                }
            }
        }
        // What whole roles do not have any more is theirs no longer.
        let is_whole = |role: &String| self.begin.whole_roles.contains(role);
        applied.tasks.retain(|id, entry| ids.contains(id.as_str()) || !entry.roles.iter().all(is_whole));
    }
}
