//! Things that an earlier run put there and that no task of their role wants any more.

use std::collections::BTreeSet;

use cm_modules::former::Item;
use cm_wire::{Event, Mode, Task};

use super::{Slot, Surroundings};
use crate::undo::{Selected, dropped};

/// Tells the orphans of a run's roles, and takes those of pruned roles back; whether there were any.
pub(super) fn add(
    begin: &cm_wire::Begin,
    slots: &[Slot],
    around: &Surroundings<'_>,
    selected: &mut Selected,
) -> bool {
    if begin.whole_roles.is_empty() {
        return false;
    }
    let makes: BTreeSet<Item> = slots.iter().flat_map(|slot| slot.made.iter().cloned()).collect();
    let tasks: Vec<&Task> = slots.iter().map(|slot| &slot.task).collect();
    let mut any = false;
    around.journal.read(|ledger| {
        for (item, memory) in dropped(ledger, &begin.whole_roles, &tasks, &makes) {
            any = true;
            let pruned = memory.owners.keys().all(|owner| begin.prune.contains(&owner.role));
            // A verify takes nothing back.
            if pruned && begin.mode != Mode::Verify {
                selected.original(around.node, item, memory);
            } else if let Some(owner) = memory.owners.keys().next() {
                let (item, task, role) = (item.to_string(), owner.task.clone(), owner.role.clone());
                (around.send)(Event::Orphan { item, task, role });
            }
        }
    });
    any
}
