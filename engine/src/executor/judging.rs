//! Verdicts of one host's tasks, as their results come.

use std::{collections::HashMap, sync::Arc};

use cm_plan::{Day, Waivers};
use cm_wire::{Change, Mode, Outcome, Standing, TaskResult};

use crate::{Subject, TaskLabel, Verdict, judge};

/// What the node has told of tasks, and what is made of it.
#[derive(Default)]
pub(super) struct Judging {
    /// What is known of a task whose result is still to come.
    standings: HashMap<u32, Standing>,
    /// The verdicts so far, by the tasks' places among the labels.
    pub verdicts: HashMap<u32, Arc<Verdict>>,
}

impl Judging {
    /// Takes in what the node knows of a task.
    pub fn hear(&mut self, task: u32, standing: Standing) {
        self.standings.insert(task, standing);
    }

    /// What is to be said of a task that is not as wanted, where the node has told what it knows of it.
    pub fn judge(
        &mut self,
        host: &str,
        task: &TaskLabel,
        result: &TaskResult,
        waivers: Option<&Waivers>,
    ) -> Option<Arc<Verdict>> {
        let standing = self.standings.remove(&result.task)?;
        if result.outcome != Outcome::Changed {
            return None;
        }
        let subject = Subject { host, task: &task.id, changes: &result.changes };
        let none = Waivers::default();
        let verdict = Arc::new(judge(subject, standing, waivers.unwrap_or(&none), Day::today()));
        self.verdicts.insert(result.task, Arc::clone(&verdict));
        Some(verdict)
    }

    /// Whether what differs in a task is let be.
    pub fn is_waived(&self, task: u32) -> bool {
        self.verdicts.get(&task).is_some_and(|verdict| verdict.is_waived())
    }
}

/// A plan and an apply change what a waiver lets be, and say so: who asks for a role gets all of it.
pub(super) fn changed_all_the_same(
    mode: Mode,
    host: &str,
    task: &TaskLabel,
    result: &TaskResult,
    waivers: Option<&Waivers>,
) -> Option<String> {
    if mode == Mode::Verify || result.outcome != Outcome::Changed {
        return None;
    }
    let today = Day::today();
    let waivers = waivers?;
    let of = |change: &Change| {
        let mut found = waivers.of_attribute(host, &task.id, &change.attribute);
        found.find(|waiver| !waiver.expired(today)).cloned()
    };
    let waiver = result.changes.iter().find_map(of)?;
    let (id, place, until) = (&task.id, &waiver.place, waiver.until);
    Some(format!("{id} is waived until {until} ({place}); plan and apply change it all the same"))
}
