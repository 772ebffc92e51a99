//! Who drifts in what: what is identical on several hosts is one group.

use std::{collections::BTreeMap, sync::Arc};

use cm_engine::{TaskLabel, Verdict, VerdictKind};
use cm_wire::Change;

/// Distinct groups that are kept: memory must not grow with hosts × tasks.
const GROUPS_KEPT: usize = 500;
/// Bytes of changes that are kept.
const BYTES_KEPT: usize = 64 << 20;
/// Hosts of a group whose history is told.
const WITNESSES: usize = 3;

/// Counts of resources by verdict, and of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DriftTally {
    /// Resources that were changed behind our back.
    pub drift: usize,
    /// Those of which the repository wants something else by now, too.
    pub drift_and_pending: usize,
    /// Resources of which the repository wants something else by now, and that nobody touched.
    pub pending: usize,
    /// Resources that were never applied on their host.
    pub never_applied: usize,
    /// Drift that is known and let be.
    pub waived: usize,
    /// Drift that was let be until a day that is over.
    pub waiver_expired: usize,
    /// Things that no role wants any more.
    pub orphaned: usize,
    /// Hosts with drift that nobody lets be.
    pub hosts_drifted: usize,
    /// Hosts that only wait for an apply.
    pub hosts_pending: usize,
}

/// One difference and the hosts it is the same on.
#[derive(Debug)]
pub struct DriftGroup {
    /// The task.
    pub task: TaskLabel,
    /// Why it differs.
    pub kind: VerdictKind,
    /// What differs from what is wanted now.
    pub changes: Vec<Change>,
    /// The hosts.
    pub hosts: Vec<Arc<str>>,
    /// What is known of the first of them.
    pub verdicts: Vec<Arc<Verdict>>,
}

impl DriftGroup {
    /// The first host's verdict: there is no group without a host.
    pub fn first(&self) -> Option<&Verdict> {
        self.verdicts.first().map(|verdict| &**verdict)
    }

    /// Whether it is known and let be.
    pub fn is_waived(&self) -> bool {
        self.first().is_some_and(Verdict::is_waived)
    }
}

/// All that is not as wanted.
#[derive(Debug, Default)]
pub struct DriftGroups {
    /// Counts.
    pub tally: DriftTally,
    /// The groups in the order they were met.
    groups: Vec<DriftGroup>,
    /// Groups beyond those that are kept.
    pub more: usize,
    bytes_kept: usize,
    by_key: BTreeMap<[u8; 32], usize>,
}

impl DriftGroups {
    /// Takes in what differs on one host.
    pub fn add(&mut self, host: &Arc<str>, task: &TaskLabel, changes: &[Change], verdict: &Arc<Verdict>) {
        let tally = &mut self.tally;
        *match verdict.kind {
            _ if verdict.is_waived() => &mut tally.waived,
            VerdictKind::Drift => &mut tally.drift,
            VerdictKind::DriftAndPending => &mut tally.drift_and_pending,
            VerdictKind::Pending => &mut tally.pending,
            VerdictKind::NeverApplied => &mut tally.never_applied,
        } += 1;
        tally.waiver_expired += usize::from(verdict.is_open_drift() && !verdict.expired.is_empty());
        let known = format!(
            "{}\0{:?}\0{:?}\0{:?}\0{changes:?}\0{:?}",
            task.id,
            verdict.kind,
            verdict.waived.iter().map(|waiver| &waiver.place).collect::<Vec<_>>(),
            verdict.expired.iter().map(|waiver| &waiver.place).collect::<Vec<_>>(),
            verdict.drift
        );
        let key = cm_wire::Digest::of(known.as_bytes()).0;
        let next = self.groups.len();
        if !self.by_key.contains_key(&key) {
            if next >= GROUPS_KEPT || self.bytes_kept + known.len() > BYTES_KEPT {
                self.more += 1;
                return;
            }
            self.bytes_kept += known.len();
            self.groups.push(DriftGroup {
                task: task.clone(),
                kind: verdict.kind,
                changes: changes.to_vec(),
                hosts: Vec::new(),
                verdicts: Vec::new(),
            });
        }
        let group = &mut self.groups[*self.by_key.entry(key).or_insert(next)];
        if group.hosts.len() < WITNESSES {
            group.verdicts.push(Arc::clone(verdict));
        }
        group.hosts.push(Arc::clone(host));
    }

    /// Takes in that a host has ended, with the verdicts it had.
    pub fn end_host<'a>(&mut self, verdicts: impl Iterator<Item = &'a Arc<Verdict>>) {
        let (mut drifted, mut differs) = (false, false);
        for verdict in verdicts {
            drifted |= verdict.is_open_drift();
            differs |= !verdict.is_waived();
        }
        self.tally.hosts_drifted += usize::from(drifted);
        self.tally.hosts_pending += usize::from(differs && !drifted);
    }

    /// The groups as a person wants them: drift before what is pending before what is let be, the most hosts first.
    pub fn sorted(&self) -> Vec<&DriftGroup> {
        let mut groups: Vec<&DriftGroup> = self.groups.iter().collect();
        groups.sort_by_key(|group| (group.is_waived(), group.kind, std::cmp::Reverse(group.hosts.len())));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{RunHeader, drift_text};

    fn verdict(kind: VerdictKind) -> Arc<Verdict> {
        Arc::new(Verdict {
            kind,
            drift: Vec::new(),
            applied: None,
            traces: Vec::new(),
            waived: Vec::new(),
            expired: Vec::new(),
        })
    }

    fn label(id: &str) -> TaskLabel {
        TaskLabel { id: id.into(), role: "web".into(), place: "x:1:1".into(), check: false, added: false }
    }

    #[test]
    fn a_thousand_hosts_with_the_same_drift_are_one_line_and_drift_comes_first() {
        let mut groups = DriftGroups::default();
        let changed = |found: &str| vec![Change::new("mode", Some(found.into()), Some("0644".into()))];
        for number in 1..=1000 {
            let host: Arc<str> = format!("web{number:04}").into();
            let pending = verdict(VerdictKind::Pending);
            let drift = verdict(VerdictKind::Drift);
            groups.add(&host, &label("file:/new"), &changed("absent"), &pending);
            let found = if number == 7 { "0777" } else { "0600" };
            groups.add(&host, &label("file:/a"), &changed(found), &drift);
            groups.end_host([&pending, &drift].into_iter());
        }
        let told: Vec<(&str, usize)> =
            groups.sorted().iter().map(|group| (&*group.task.id, group.hosts.len())).collect();
        assert_eq!(told, [("file:/a", 999), ("file:/a", 1), ("file:/new", 1000)]);
        let tally = groups.tally;
        assert_eq!(
            (tally.drift, tally.pending, tally.hosts_drifted, tally.hosts_pending),
            (1000, 1000, 1000, 0)
        );
        let header = RunHeader {
            run: "1".into(),
            mode: cm_wire::Mode::Verify,
            command: "verify",
            hosts: 1000,
            diff: true,
            verbosity: 1,
        };
        let text = drift_text::render(&header, &groups);
        for part in [
            "999 hosts: web[0001-0006,0008-1000]",
            "    mode 0644 -> 0600",
            "mode 0777 (wanted 0644)",
            "1000 hosts: web[0001-1000]",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(text.lines().count() < 12, "{text}");
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let mut groups = DriftGroups::default();
        let verdict = verdict(VerdictKind::Drift);
        for number in 0..GROUPS_KEPT + 5 {
            groups.add(&"web1".into(), &label(&format!("file:/{number}")), &[], &verdict);
        }
        assert_eq!(
            (groups.sorted().len(), groups.more, groups.tally.drift),
            (GROUPS_KEPT, 5, GROUPS_KEPT + 5)
        );
    }
}
