//! Numbers of tasks on the wire and their places among a host's labels.
//!
//! Barriers travel as tasks and have no label; tasks that the node makes itself are numbered after both. When a
//! run goes on after the host was restarted, what the node makes then comes after all that there was.

use cm_wire::{Event, Outcome};

/// Turns numbers of the wire into places among the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Tasks that have a label.
    pub labelled: u32,
    /// All that were sent, barriers too.
    pub sent: u32,
    /// The place of the first task that the node makes itself.
    pub added_at: u32,
}

impl Numbers {
    /// The place of a task; out of every range for what has none.
    pub fn place(self, task: u32) -> u32 {
        match task.checked_sub(self.sent) {
            Some(added) => self.added_at.saturating_add(added),
            None if task < self.labelled => task,
            None => u32::MAX,
        }
    }

    /// Puts places into an event.
    pub fn settle(self, event: &mut Event) {
        match event {
            Event::Started { task } | Event::Output { task, .. } | Event::Standing { task, .. } => {
                *task = self.place(*task);
            }
            Event::Ended(result) => {
                result.task = self.place(result.task);
                match &mut result.outcome {
                    Outcome::Skipped { because } => *because = self.place(*because),
                    Outcome::Unknown { because } => {
                        because.iter_mut().for_each(|task| *task = self.place(*task));
                    }
                    _ => {}
                }
            }
            Event::Waiting { .. } | Event::Orphan { .. } | Event::Note(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn barriers_have_no_place_and_what_the_node_adds_comes_after_all_labels() {
        let numbers = Numbers { labelled: 3, sent: 5, added_at: 3 };
        let places: Vec<u32> = (0..8).map(|task| numbers.place(task)).collect();
        assert_eq!(places, [0, 1, 2, u32::MAX, u32::MAX, 3, 4, 5]);
        let resumed = Numbers { added_at: 7, ..numbers };
        assert_eq!((resumed.place(2), resumed.place(5)), (2, 7));
        assert_eq!(resumed.place(u32::MAX), u32::MAX);
    }
}
