//! What is to be said of a resource that is not as wanted: whether it drifted, or only the repository moved on.
//!
//! Three states are compared: what is wanted now (the catalog), what the last apply left (as the node itself
//! remembers it, so that it does not matter which controller that was), and what is there. Pure.

use std::sync::Arc;

use cm_plan::{Day, Waiver, Waivers};
use cm_wire::{Applied, Change, Standing, Touched, Trace};

/// Why a resource is not as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerdictKind {
    /// It was changed behind our back; the repository wants what it wanted.
    Drift,
    /// It was changed behind our back, and the repository wants something else by now.
    DriftAndPending,
    /// The repository moved on since the last apply, or what was applied was taken back; nobody else touched it.
    Pending,
    /// It was never applied on this host.
    NeverApplied,
}

impl VerdictKind {
    /// The word for it in JSON, reports and the state database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::DriftAndPending => "drift_and_pending",
            Self::Pending => "pending",
            Self::NeverApplied => "never_applied",
        }
    }

    /// Whether somebody else changed it.
    #[must_use]
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Drift | Self::DriftAndPending)
    }

    /// What is left of it once the drift is let be; none: nothing.
    fn without_drift(self) -> Option<Self> {
        match self {
            Self::Drift => None,
            Self::DriftAndPending => Some(Self::Pending),
            other => Some(other),
        }
    }
}

/// All that is known of a resource that is not as wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it is.
    pub kind: VerdictKind,
    /// What was changed behind our back. Before: what there should have been, as far as it is known; after: what
    /// was found.
    pub drift: Vec<Change>,
    /// The last apply of it.
    pub applied: Option<Applied>,
    /// Traces of the change on the node.
    pub traces: Vec<Trace>,
    /// The waivers that cover all of it; empty: it is not waived.
    pub waived: Vec<Arc<Waiver>>,
    /// Waivers that would cover some of it and have expired.
    pub expired: Vec<Arc<Waiver>>,
}

impl Verdict {
    /// Whether it is known and let be.
    #[must_use]
    pub fn is_waived(&self) -> bool {
        !self.waived.is_empty()
    }

    /// Whether it was changed behind our back and nobody lets that be.
    #[must_use]
    pub fn is_open_drift(&self) -> bool {
        self.kind.is_drift() && !self.is_waived()
    }
}

/// The resource that a verdict is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The host.
    pub host: &'a str,
    /// The task's id.
    pub task: &'a str,
    /// What differs from what is wanted now.
    pub changes: &'a [Change],
}

/// Judges a resource that is not as wanted.
#[must_use]
pub fn judge(subject: Subject<'_>, standing: Standing, waivers: &Waivers, today: Day) -> Verdict {
    let kind = kind(&standing);
    let drift = match (kind, standing.touched) {
        // Nothing is known of what was left beyond that it was as wanted then: all that differs is drift.
        (VerdictKind::Drift, Touched::Unknown | Touched::No) => found_behind(subject.changes),
        (_, Touched::Yes(drift)) => drift,
        _ => Vec::new(),
    };
    let mut verdict = Verdict {
        kind,
        drift,
        applied: standing.applied,
        traces: standing.traces,
        waived: Vec::new(),
        expired: Vec::new(),
    };
    waive(&mut verdict, subject, waivers, today);
    verdict
}

fn kind(standing: &Standing) -> VerdictKind {
    let touched = matches!(standing.touched, Touched::Yes(_));
    match &standing.applied {
        None if touched => VerdictKind::DriftAndPending,
        None => VerdictKind::NeverApplied,
        Some(applied) if standing.moved || applied.undone.is_some() => {
            if touched {
                VerdictKind::DriftAndPending
            } else {
                VerdictKind::Pending
            }
        }
        // A restart that is owed, or the like: nobody touched it.
        Some(_) if standing.touched == Touched::No => VerdictKind::Pending,
        Some(_) => VerdictKind::Drift,
    }
}

/// What differs from what is wanted, seen from the other side: it was as wanted once, and is no more.
fn found_behind(changes: &[Change]) -> Vec<Change> {
    let turned =
        |change: &Change| Change::new(&change.attribute, change.after.clone(), change.before.clone());
    changes.iter().map(turned).collect()
}

/// Finds the waivers of a drift. One attribute that nobody lets be, and it is drift as a whole. Where the
/// repository moved on as well, what is left once the drift is let be is pending.
fn waive(verdict: &mut Verdict, subject: Subject<'_>, waivers: &Waivers, today: Day) {
    if !verdict.kind.is_drift() {
        return;
    }
    let mut used: Vec<Arc<Waiver>> = Vec::new();
    let mut covered = true;
    let mut one = |found: Vec<&Arc<Waiver>>, expired: &mut Vec<Arc<Waiver>>| match found
        .iter()
        .find(|waiver| !waiver.expired(today))
    {
        Some(waiver) => add(&mut used, waiver),
        None => {
            covered = false;
            found.iter().for_each(|waiver| add(expired, waiver));
        }
    };
    if verdict.drift.is_empty() {
        one(waivers.of_thing(subject.host, subject.task).collect(), &mut verdict.expired);
    }
    for change in &verdict.drift {
        let found = waivers.of_attribute(subject.host, subject.task, &change.attribute);
        one(found.collect(), &mut verdict.expired);
    }
    if !covered {
        return;
    }
    match verdict.kind.without_drift() {
        None => verdict.waived = used,
        Some(left) => verdict.kind = left,
    }
}

fn add(list: &mut Vec<Arc<Waiver>>, waiver: &Arc<Waiver>) {
    if !list.contains(waiver) {
        list.push(Arc::clone(waiver));
    }
}

#[cfg(test)]
mod tests;
