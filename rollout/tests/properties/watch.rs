//! Watches what is done to nodes, and panics when it must not be done.

use std::collections::{BTreeMap, BTreeSet};

use cm_rollout::{Hooks, Notice, Strategy, Work};

/// What is known of one node, from what was done to it alone.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub domain: Option<String>,
    pub unreachable: bool,
    /// From its first piece of work until it was said to be done, restored or failed.
    pub in_work: bool,
    pub failed: bool,
    /// `before_node` of these hooks was begun, and `after_node` has not ended well since.
    pub drained: BTreeSet<usize>,
    /// What `already` answered.
    pub already: BTreeMap<usize, bool>,
    /// Applies since the last time a person had failed ones tried again.
    pub applies: usize,
    /// An apply was begun and not taken back since.
    pub changed: bool,
    /// Runs that may have changed it.
    pub runs: usize,
    /// An apply was ever begun.
    pub touched: bool,
    /// The last change of it (apply or rollback) has ended well.
    pub settled: bool,
    /// All gates have passed since its last change.
    pub healthy: bool,
}

impl Seen {
    pub fn is_out(&self) -> bool {
        self.in_work || self.failed || self.unreachable
    }
}

/// What is known of the rollout.
#[derive(Clone, Debug)]
pub struct Watch {
    pub strategy: Strategy,
    pub hooks: Hooks,
    pub nodes: BTreeMap<String, Seen>,
    /// Nothing may be begun.
    pub stopped: bool,
    pub aborted: bool,
    pub back: bool,
    pub failures: usize,
    pub canary: BTreeSet<String>,
    pub canary_over: bool,
    pub promoted: bool,
    /// Which batches have nodes in work, and whether their first hooks have run.
    pub batch_of: BTreeMap<String, usize>,
    pub batch_hooks_run: BTreeSet<(usize, usize)>,
    pub batches_over: BTreeSet<usize>,
}

impl Watch {
    /// Something is about to be done.
    pub fn work_begins(&mut self, work: &Work, max_unavailable: usize, budget: usize) {
        if let Work::BeforeBatch { .. } = work {
            assert!(!self.aborted && !self.back, "a batch is begun though nothing may be");
        }
        let Some(name) = work.node().map(str::to_owned) else { return };
        let before = self.nodes[&name].clone();
        if !before.in_work {
            self.node_begins(&name, &before, work, max_unavailable, budget);
        }
        let has_already = |hook: usize| {
            self.hooks.hooks[hook].already
                && (self.hooks.hooks[hook].before_node || self.hooks.hooks[hook].after_node)
        };
        match work {
            Work::AskAlready { hook, .. } => {
                assert!(!before.already.contains_key(hook), "asked twice whether {name} was already drained");
                assert!(!before.drained.contains(hook), "asked after it was drained by us");
            }
            Work::BeforeNode { hook, .. } => {
                assert!(
                    !has_already(*hook) || before.already.get(hook) == Some(&false),
                    "{name}: drained unasked"
                );
            }
            Work::Apply { .. } => {
                assert!(!self.aborted && !self.back, "{name} is applied after the end");
                for (hook, has) in self.hooks.hooks.iter().enumerate() {
                    let spared = before.already.get(&hook) == Some(&true);
                    assert!(
                        !has.before_node || spared || before.drained.contains(&hook),
                        "{name}: not drained"
                    );
                }
            }
            Work::RollBackNode { .. } => {
                assert!(self.back, "{name} is taken back on the way forward");
                assert!(before.touched, "{name} is taken back though it was never changed");
            }
            Work::AfterNode { hook, .. } => {
                assert!(
                    before.already.get(hook) != Some(&true),
                    "{name}: what was drained before we came is undrained"
                );
                assert!(
                    !has_already(*hook) || before.already.contains_key(hook),
                    "{name}: undrained unasked"
                );
                let untouched = !before.touched;
                assert!(
                    untouched || before.settled && before.healthy,
                    "{name} is undrained, but not healthy"
                );
            }
            _ => {}
        }
        let seen = self.nodes.get_mut(&name).unwrap();
        match work {
            Work::BeforeNode { hook, .. } => drop(seen.drained.insert(*hook)),
            Work::Apply { .. } => {
                seen.applies += 1;
                assert!(seen.applies == 1, "{name} is applied twice");
                seen.touched = true;
                (seen.changed, seen.settled, seen.healthy) = (true, false, false);
            }
            Work::RollBackNode { .. } => (seen.settled, seen.healthy) = (false, false),
            _ => {}
        }
    }

    fn node_begins(&mut self, name: &str, before: &Seen, work: &Work, max_unavailable: usize, budget: usize) {
        assert!(!self.stopped, "{name} is begun while paused: {work:?}");
        assert!(!self.aborted, "{name} is begun after the abort");
        assert!(!before.unreachable, "{name} is begun though it cannot be reached");
        if !self.back {
            assert!(self.failures <= budget, "{name} is begun after {} failures", self.failures);
            let batch = self.batch_of[name];
            assert!(
                batch == 0 || self.canary_over && self.promoted,
                "{name} is begun before the canary is good"
            );
            for (hook, has) in self.hooks.hooks.iter().enumerate() {
                assert!(
                    !has.before_batch || self.batch_hooks_run.contains(&(batch, hook)),
                    "before its batch"
                );
            }
            if !self.strategy.window {
                let other = self.nodes.iter().find(|(other, seen)| {
                    seen.in_work
                        && self.batch_of.get(*other) != Some(&batch)
                        && !before.failed
                        && !self.batches_over.contains(&self.batch_of[*other])
                });
                assert!(other.is_none(), "{name} is begun while {other:?} of another batch is in work");
            }
        }
        let out = self.nodes.values().filter(|seen| seen.is_out()).count() + usize::from(!before.is_out());
        let mends = self.back && before.failed;
        assert!(out <= max_unavailable || mends, "{name} is begun: {out} out, {max_unavailable} allowed");
        if let Some(spread) = self.strategy.spread {
            let mut domains: BTreeSet<_> =
                self.nodes.values().filter(|seen| seen.in_work).map(|seen| seen.domain.clone()).collect();
            domains.insert(before.domain.clone());
            assert!(
                domains.len() <= spread.max_domains.unwrap_or(usize::MAX),
                "{name}: {domains:?} are in work"
            );
            let same =
                self.nodes.values().filter(|seen| seen.domain == before.domain && seen.is_out()).count();
            let same = same + usize::from(!before.is_out());
            assert!(
                same <= spread.per_domain.unwrap_or(usize::MAX) || mends,
                "{name}: {same} of one domain are out"
            );
        }
        let seen = self.nodes.get_mut(name).unwrap();
        seen.in_work = true;
        seen.failed = false;
    }

    /// The machine said so.
    pub fn told(&mut self, notice: &Notice) {
        match notice {
            Notice::NodeDone { node } | Notice::NodeRestored { node } => {
                let seen = self.nodes.get_mut(node).unwrap();
                (seen.in_work, seen.failed) = (false, false);
                for (hook, has) in self.hooks.hooks.iter().enumerate() {
                    let left = has.before_node && has.after_node && seen.drained.contains(&hook);
                    assert!(!left, "{node} is said to be back in service, but is still drained");
                }
                if matches!(notice, Notice::NodeDone { .. }) {
                    assert!(seen.touched && seen.settled && seen.healthy, "{node} is not done");
                } else {
                    assert!(!seen.changed, "{node} is not restored");
                }
                // What has no `after_node` is over with the node.
                seen.drained.clear();
            }
            Notice::NodeFailed { node, .. } => {
                let seen = self.nodes.get_mut(node).unwrap();
                seen.in_work = false;
                seen.failed = true;
                if !self.back && !self.aborted {
                    self.failures += 1;
                }
            }
            Notice::BatchBegan { batch, nodes } => {
                assert!(
                    !self.stopped && !self.aborted && !self.back,
                    "a batch is begun though nothing may be"
                );
                if *batch == 0 {
                    self.canary = nodes.iter().cloned().collect();
                }
                for node in nodes {
                    self.batch_of.insert(node.clone(), *batch);
                }
            }
            Notice::BatchEnded { batch } => {
                self.batches_over.insert(*batch);
                if *batch == 0 {
                    self.canary_over = true;
                }
            }
            Notice::Paused { .. } => self.stopped = true,
            Notice::Resumed => (self.stopped, self.failures) = (false, 0),
            Notice::Aborting { .. } => (self.stopped, self.aborted) = (false, true),
            Notice::RollingBack { .. } => (self.stopped, self.aborted, self.back) = (false, false, true),
            _ => {}
        }
    }

    pub fn everybody_was_applied_once(&self) {
        for (name, seen) in &self.nodes {
            assert!(seen.touched && seen.applies == 1, "{name}: {seen:?}");
        }
    }

    pub fn nobody_is_changed_or_drained(&self) {
        for (name, seen) in &self.nodes {
            assert!(
                !seen.in_work && !seen.failed && !seen.changed && seen.drained.is_empty(),
                "{name}: {seen:?}"
            );
        }
    }
}
