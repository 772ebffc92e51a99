//! What goes out for a task that has ended.

use cm_modules::Class;
use cm_wire::{Change, Event, Mode, Outcome, Output, TaskResult};

use super::Runner;
use crate::{
    applied::AppliedTasks,
    standing::{Asked, Knowledge},
};

impl Runner<'_> {
    /// Sends a result made of its parts.
    pub(super) fn report(
        &self,
        task: u32,
        outcome: Outcome,
        changes: Vec<Change>,
        output: Option<Output>,
        started: u64,
        took: u64,
    ) {
        self.report_whole(TaskResult { task, outcome, changes, started, took, output, attempts: 0 });
    }

    /// Sends a result; of a sensitive task only that it changed.
    pub(super) fn report_whole(&self, mut result: TaskResult) {
        if self.slots[result.task as usize].task.sensitive {
            result.output = None;
            for change in &mut result.changes {
                let hide = |value: Option<String>| value.map(|_| "[secret]".to_owned());
                change.before = hide(change.before.take());
                change.after = hide(change.after.take());
                change.diff = None;
            }
        }
        self.send_result(result);
    }

    /// Says of a task that differs in a verify what is known of it: before its result.
    pub(super) fn tell_standing(&self, result: &TaskResult) {
        if self.begin.mode != Mode::Verify || result.outcome != Outcome::Changed {
            return;
        }
        let slot = &self.slots[result.task as usize];
        // A check is never applied: that it differs is all there is to say.
        if slot.class == Class::Check {
            return;
        }
        let journal = self.around.journal;
        let knowledge = Knowledge {
            node: self.around.node,
            journal,
            applied: self.applied.get_or_init(|| AppliedTasks::load(journal.applied())),
        };
        let standing = knowledge.of(&Asked {
            task: &slot.task,
            edits: slot.task.edits.iter().map(|&edit| &self.slots[edit as usize].task).collect(),
            class: slot.class,
            made: &slot.made,
            changes: &result.changes,
        });
        (self.around.send)(Event::Standing { task: result.task, standing: Box::new(standing) });
    }
}

/// What a task reports: what the first look found, and what the run itself added since (a restart that
/// came to be owed). Where the thing did not exist at the start, that alone says everything.
pub(super) fn merge_changes(first: Vec<Change>, now: Vec<Change>) -> Vec<Change> {
    let was_absent = first.iter().any(|change| change.attribute == "state" && change.before.is_none());
    if was_absent {
        return first;
    }
    let mut merged = first;
    for change in now {
        if !merged.iter().any(|known| known.attribute == change.attribute) {
            merged.push(change);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_exist_at_the_start_is_told_as_it_was_then() {
        let absent = Change::new("state", None, Some("running".into()));
        let reload = Change::new("reload", None, Some("file:/x".into()));
        assert_eq!(merge_changes(vec![absent.clone()], vec![reload.clone()]), [absent]);
        let mode = Change::new("mode", Some("0600".into()), Some("0644".into()));
        assert_eq!(merge_changes(vec![mode.clone()], vec![mode.clone(), reload.clone()]), [mode, reload]);
    }
}
