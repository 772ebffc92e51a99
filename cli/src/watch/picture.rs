//! What is known of all hosts now.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cm_engine::{HostEnd, HostReport, TaskLabel, Verdict, WatchEvent};
use cm_wire::{Outcome, TaskResult};

use crate::exit::Exit;

/// All hosts.
#[derive(Debug, Default)]
pub struct Picture {
    hosts: BTreeMap<Arc<str>, Host>,
}

#[derive(Debug, Default)]
struct Host {
    labels: Arc<[TaskLabel]>,
    lost: bool,
    /// By id: what is not as wanted.
    differing: BTreeMap<Arc<str>, Differing>,
}

#[derive(Debug)]
struct Differing {
    result: TaskResult,
    verdict: Option<Arc<Verdict>>,
}

/// How many of what, at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that differ and are not waived.
    pub differing: usize,
    /// Tasks that could not be looked at, and checks that failed.
    pub failed: usize,
    /// Hosts that cannot be watched.
    pub lost: usize,
}

impl Picture {
    /// Takes in what was told.
    pub fn event(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Standing { host, labels, .. } => {
                let known = self.hosts.entry(Arc::clone(host)).or_default();
                known.labels = Arc::clone(labels);
                known.lost = false;
                // A task that is gone from the host's roles differs no longer.
                known.differing.retain(|id, _| labels.iter().any(|label| label.id == *id));
            }
            WatchEvent::Verdict { host, task, result, verdict, .. } => {
                let known = self.hosts.entry(Arc::clone(host)).or_default();
                if result.outcome == Outcome::Ok {
                    known.differing.remove(&task.id);
                } else {
                    let (mut result, verdict) = (result.clone(), verdict.clone());
                    // Told by then; a watch lasts long.
                    result.changes.iter_mut().for_each(|change| change.diff = None);
                    result.output = None;
                    known.differing.insert(Arc::clone(&task.id), Differing { result, verdict });
                }
            }
            WatchEvent::Lost { host, .. } => self.hosts.entry(Arc::clone(host)).or_default().lost = true,
            WatchEvent::Note { .. } => {}
        }
    }

    /// How many of what there are now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for host in self.hosts.values() {
            counts.lost += usize::from(host.lost);
            for differing in host.differing.values() {
                let waived = differing.verdict.as_ref().is_some_and(|verdict| verdict.is_waived());
                match &differing.result.outcome {
                    Outcome::Failed { .. } => counts.failed += 1,
                    _ if waived => {}
                    _ => counts.differing += 1,
                }
            }
        }
        counts
    }

    /// The exit of a watch that ends now.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let Counts { differing, failed, lost } = self.counts();
        if lost > 0 {
            Exit::Unreachable
        } else if failed > 0 {
            Exit::Failed
        } else if differing > 0 {
            Exit::Differs
        } else {
            Exit::Ok
        }
    }

    /// What was changed behind our back and is not let be, by host, with the traces of who did it.
    pub fn drifted(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, &Verdict)> {
        self.hosts.iter().filter(|(_, host)| !host.lost).flat_map(|(name, host)| {
            host.differing.iter().filter_map(move |(id, differing)| {
                let verdict = differing.verdict.as_deref()?;
                verdict.is_open_drift().then_some((name, id, verdict))
            })
        })
    }

    /// A host as a verify would report it now, without the tasks that are to be left alone.
    #[must_use]
    pub fn report(&self, host: &str, leave: impl Fn(&str) -> bool) -> Option<HostReport> {
        let (name, host) = self.hosts.get_key_value(host)?;
        let mut results = Vec::new();
        let mut verdicts = HashMap::new();
        for (task, label) in host.labels.iter().enumerate() {
            // Labels are numbered in u32 on the wire.
            let task = task as u32;
            match host.differing.get(&label.id) {
                Some(_) if leave(&label.id) => {}
                Some(differing) => {
                    results.push(TaskResult { task, ..differing.result.clone() });
                    verdicts.extend(differing.verdict.clone().map(|verdict| (task, verdict)));
                }
                None => results.push(TaskResult {
                    task,
                    outcome: Outcome::Ok,
                    changes: Vec::new(),
                    started: 0,
                    took: 0,
                    output: None,
                    attempts: 0,
                }),
            }
        }
        Some(HostReport {
            host: Arc::clone(name),
            end: HostEnd::Changed,
            labels: Arc::clone(&host.labels),
            results,
            verdicts,
            orphans: Vec::new(),
            ledger: None,
            took: 0,
            facts: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use cm_engine::Trouble;
    use cm_wire::Change;

    use super::*;

    fn label(id: &str) -> TaskLabel {
        TaskLabel { id: id.into(), role: "r".into(), place: "p".into(), check: false, added: false }
    }

    fn verdict(id: &str, outcome: Outcome) -> WatchEvent {
        let changes = vec![Change::new("mode", Some("0600".into()), Some("0644".into()))];
        let result = TaskResult { task: 0, outcome, changes, started: 0, took: 0, output: None, attempts: 1 };
        WatchEvent::Verdict { host: "a".into(), task: label(id), result, verdict: None, at_start: false }
    }

    #[test]
    fn the_exit_is_that_of_what_is_there_at_the_end() {
        let mut picture = Picture::default();
        let labels: Arc<[TaskLabel]> = vec![label("x"), label("y")].into();
        let standing = || WatchEvent::Standing {
            host: "a".into(),
            labels: Arc::clone(&labels),
            unseen: Vec::new(),
            again: false,
        };
        picture.event(&standing());
        assert_eq!(picture.exit(), Exit::Ok);
        picture.event(&verdict("x", Outcome::Changed));
        assert_eq!(picture.exit(), Exit::Differs);
        picture.event(&verdict("y", Outcome::Failed { error: "e".into(), hint: None }));
        assert_eq!(picture.exit(), Exit::Failed);
        let lost = Trouble::new("lost", "gone");
        picture.event(&WatchEvent::Lost {
            host: "a".into(),
            trouble: lost,
            again_in: std::time::Duration::ZERO,
        });
        assert_eq!(picture.exit(), Exit::Unreachable);
        picture.event(&standing());
        picture.event(&verdict("x", Outcome::Ok));
        picture.event(&verdict("y", Outcome::Ok));
        assert_eq!(picture.exit(), Exit::Ok);
        let report = picture.report("a", |_| false).unwrap();
        assert_eq!(report.results.len(), 2);
    }
}
