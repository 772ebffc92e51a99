//! What a run came to: counts, changes grouped by what is identical, each failure once with the hosts it struck.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cm_engine::{HostEnd, HostReport, Orphan, TaskLabel, Trouble};
use cm_wire::{Change, Outcome, Output, TaskResult};

use super::drift_groups::DriftGroups;

/// Distinct changes, and distinct failures, that are kept for the summary: memory must not grow with hosts × tasks.
const GROUPS_KEPT: usize = 500;
/// Bytes of changes that are kept for the summary; each host sends some megabytes at most.
const BYTES_KEPT: usize = 64 << 20;
/// Bytes of a failed command's output that are kept, from its end.
const OUTPUT_KEPT: usize = 16 << 10;

/// Counts of hosts by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct HostTally {
    pub ok: usize,
    pub changed: usize,
    pub failed: usize,
    pub unreachable: usize,
    pub cancelled: usize,
}

/// Counts of tasks by outcome, over all hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TaskTally {
    pub ok: usize,
    pub changed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub unknown: usize,
    pub cancelled: usize,
}

/// One change and the hosts it is the same on.
#[derive(Debug)]
pub struct ChangeGroup {
    pub task: TaskLabel,
    pub changes: Vec<Change>,
    pub hosts: Vec<Arc<str>>,
}

/// A task nobody can know in advance, with what it hangs on.
#[derive(Debug)]
pub struct UnknownGroup {
    pub task: TaskLabel,
    pub because: Vec<Arc<str>>,
    pub hosts: Vec<Arc<str>>,
}

/// One failure and the hosts it struck.
#[derive(Debug)]
pub struct FailureGroup {
    pub task: TaskLabel,
    pub error: String,
    pub hint: Option<String>,
    pub output: Option<Output>,
    pub hosts: Vec<Arc<str>>,
    /// Tasks that were skipped because of it, on one host.
    pub skipped: usize,
}

/// A thing that no task wants any more, and the hosts that have it.
#[derive(Debug)]
pub struct OrphanGroup {
    pub orphan: Orphan,
    pub hosts: Vec<Arc<str>>,
}

/// A host that could not be worked on.
#[derive(Debug)]
pub struct HostTrouble {
    pub kind: TroubleKind,
    pub trouble: Trouble,
    pub hosts: Vec<Arc<str>>,
}

/// What kind of trouble a host had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    Unreachable,
    Invalid,
    Refused,
    TakenBack,
}

/// All of it.
#[derive(Debug)]
pub struct Summary {
    pub hosts: HostTally,
    pub tasks: TaskTally,
    pub changes: Vec<ChangeGroup>,
    /// What a verify found.
    pub drift: DriftGroups,
    pub unknown: Vec<UnknownGroup>,
    pub failures: Vec<FailureGroup>,
    pub troubles: Vec<HostTrouble>,
    /// What no task wants any more and this run leaves where it is.
    pub orphans: Vec<OrphanGroup>,
    /// Orphans beyond those that are kept for showing.
    pub more_orphans: usize,
    /// Changes beyond those that are kept for showing.
    pub more_changes: usize,
    /// Failures beyond those that are kept for showing.
    pub more_failures: usize,
    pub agents_sent: usize,
    /// Hosts on which at least one task was started or that were reached at all.
    pub touched: usize,
    bytes_kept: usize,
    start: Instant,
    by_change: BTreeMap<[u8; 32], usize>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            hosts: HostTally::default(),
            tasks: TaskTally::default(),
            changes: Vec::new(),
            drift: DriftGroups::default(),
            unknown: Vec::new(),
            failures: Vec::new(),
            troubles: Vec::new(),
            orphans: Vec::new(),
            more_orphans: 0,
            more_changes: 0,
            more_failures: 0,
            bytes_kept: 0,
            agents_sent: 0,
            touched: 0,
            start: Instant::now(),
            by_change: BTreeMap::new(),
        }
    }
}

impl Summary {
    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Adds a host that has ended.
    pub fn add(&mut self, report: &HostReport) {
        match &report.end {
            HostEnd::Ok => self.hosts.ok += 1,
            HostEnd::Changed => self.hosts.changed += 1,
            HostEnd::Failed => self.hosts.failed += 1,
            HostEnd::Cancelled => self.hosts.cancelled += 1,
            HostEnd::TakenBack(trouble) => {
                self.hosts.failed += 1;
                self.add_trouble(TroubleKind::TakenBack, trouble, report);
            }
            HostEnd::Unreachable(trouble) => {
                self.hosts.unreachable += 1;
                self.add_trouble(TroubleKind::Unreachable, trouble, report);
            }
            HostEnd::Invalid(trouble) => {
                self.hosts.failed += 1;
                self.add_trouble(TroubleKind::Invalid, trouble, report);
            }
            HostEnd::Refused(trouble) => {
                self.hosts.failed += 1;
                self.add_trouble(TroubleKind::Refused, trouble, report);
            }
        }
        // What this run takes back is among its tasks.
        for orphan in report.orphans.iter().filter(|orphan| !orphan.pruned) {
            self.add_orphan(&report.host, orphan);
            self.drift.tally.orphaned += 1;
        }
        self.drift.end_host(report.verdicts.values());
        self.touched += usize::from(!report.results.is_empty());
        let reported = report.results.len();
        if matches!(report.end, HostEnd::Cancelled | HostEnd::Unreachable(_)) {
            self.tasks.cancelled += report.labels.len().saturating_sub(reported);
        }
        for result in &report.results {
            self.add_task(report, result);
        }
    }

    fn add_trouble(&mut self, kind: TroubleKind, trouble: &Trouble, report: &HostReport) {
        let host = Arc::clone(&report.host);
        let same = |known: &&mut HostTrouble| known.kind == kind && known.trouble == *trouble;
        match self.troubles.iter_mut().find(same) {
            Some(known) => known.hosts.push(host),
            None => self.troubles.push(HostTrouble { kind, trouble: trouble.clone(), hosts: vec![host] }),
        }
    }

    fn add_orphan(&mut self, host: &Arc<str>, orphan: &Orphan) {
        let full = self.orphans.len() >= GROUPS_KEPT;
        match self.orphans.iter_mut().find(|group| group.orphan == *orphan) {
            Some(group) => group.hosts.push(Arc::clone(host)),
            None if full => self.more_orphans += 1,
            None => {
                let hosts = vec![Arc::clone(host)];
                self.orphans.push(OrphanGroup { orphan: orphan.clone(), hosts });
            }
        }
    }

    fn add_task(&mut self, report: &HostReport, result: &TaskResult) {
        let Some(task) = report.labels.get(result.task as usize) else { return };
        let host = Arc::clone(&report.host);
        match &result.outcome {
            Outcome::Ok => self.tasks.ok += 1,
            Outcome::Cancelled => self.tasks.cancelled += 1,
            Outcome::Skipped { because } => {
                self.tasks.skipped += 1;
                let cause = report.labels.get(*because as usize);
                let failure = self.failures.iter_mut().find(|group| {
                    Some(&group.task.id) == cause.map(|cause| &cause.id) && group.hosts.first() == Some(&host)
                });
                if let Some(failure) = failure {
                    failure.skipped += 1;
                }
            }
            Outcome::Changed => {
                self.tasks.changed += 1;
                if let Some(verdict) = report.verdicts.get(&result.task) {
                    self.drift.add(&host, task, &result.changes, verdict);
                    return;
                }
                // Grouped by everything that is shown; the same task with another diff is another group.
                let key = change_key(task, &result.changes);
                let next = self.changes.len();
                if !self.by_change.contains_key(&key) {
                    let size = result.changes.iter().map(size_of_change).sum::<usize>();
                    if next >= GROUPS_KEPT || self.bytes_kept + size > BYTES_KEPT {
                        self.more_changes += 1;
                        return;
                    }
                    self.bytes_kept += size;
                }
                let index = *self.by_change.entry(key).or_insert(next);
                if index == next {
                    self.changes.push(ChangeGroup {
                        task: task.clone(),
                        changes: result.changes.clone(),
                        hosts: Vec::new(),
                    });
                }
                self.changes[index].hosts.push(host);
            }
            Outcome::Unknown { because } => {
                self.tasks.unknown += 1;
                let because: Vec<Arc<str>> = because
                    .iter()
                    .filter_map(|index| report.labels.get(*index as usize))
                    .map(|label| Arc::clone(&label.id))
                    .collect();
                let full = self.unknown.len() >= GROUPS_KEPT;
                match self
                    .unknown
                    .iter_mut()
                    .find(|group| group.task.id == task.id && group.because == because)
                {
                    Some(group) => group.hosts.push(host),
                    None if full => self.more_changes += 1,
                    None => {
                        self.unknown.push(UnknownGroup { task: task.clone(), because, hosts: vec![host] })
                    }
                }
            }
            Outcome::Failed { error, hint } => {
                self.tasks.failed += 1;
                let same = |group: &&mut FailureGroup| group.task.id == task.id && group.error == *error;
                let full = self.failures.len() >= GROUPS_KEPT;
                match self.failures.iter_mut().find(same) {
                    Some(group) => group.hosts.push(host),
                    None if full => self.more_failures += 1,
                    None => self.failures.push(FailureGroup {
                        task: task.clone(),
                        error: error.clone(),
                        hint: hint.clone(),
                        output: result.output.as_ref().map(end_of_output),
                        hosts: vec![host],
                        skipped: 0,
                    }),
                }
            }
        }
    }
}

/// Names of hosts for a line: all of a few, else how many and the first.
pub fn name_hosts(hosts: &[Arc<str>]) -> String {
    match hosts {
        [one] => one.to_string(),
        few if few.len() <= 4 => few.join(", "),
        many => format!("{} hosts ({}, …)", many.len(), many[..3].join(", ")),
    }
}

fn size_of_change(change: &Change) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    size_of::<Change>()
        + change.attribute.len()
        + text(&change.before)
        + text(&change.after)
        + text(&change.diff)
}

/// What a summary may show of an output: the end of it.
fn end_of_output(output: &Output) -> Output {
    let end = |text: &str| text[text.ceil_char_boundary(text.len().saturating_sub(OUTPUT_KEPT))..].to_owned();
    Output { status: output.status, stdout: end(&output.stdout), stderr: end(&output.stderr) }
}

/// A change by everything that is shown of it.
fn change_key(task: &TaskLabel, changes: &[Change]) -> [u8; 32] {
    cm_wire::Digest::of(format!("{}\0{changes:?}", task.id).as_bytes()).0
}
