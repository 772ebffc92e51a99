//! The record of a rollout that has not begun.

use std::collections::BTreeMap;

use crate::{
    Batch, BatchState, Direction, Hooks, Moment, Node, NodeState, Promote, Rollout, Strategy, StrategyError,
    Target,
    record::{Applied, Course, Drain},
};

impl Rollout {
    /// A rollout over these targets, put in order and into batches; nothing is begun.
    ///
    /// # Errors
    /// When the strategy cannot be followed, or there are no targets.
    pub fn new(
        id: impl Into<String>,
        title: impl Into<String>,
        strategy: Strategy,
        hooks: Hooks,
        mut targets: Vec<Target>,
    ) -> Result<Self, StrategyError> {
        strategy.check(&targets)?;
        strategy.sort(&mut targets);
        let fleet = targets.len();
        let mut nodes: Vec<Node> =
            targets.into_iter().map(|target| Node::of(target, hooks.hooks.len())).collect();
        let mut batches = Vec::new();
        let mut from = 0;
        for size in strategy.batch_sizes(fleet) {
            for node in &mut nodes[from..from + size] {
                node.batch = Some(batches.len());
            }
            batches.push(Batch {
                nodes: (from..from + size).collect(),
                state: BatchState::Waiting,
                since: Moment::default(),
            });
            from += size;
        }
        Ok(Self {
            format: Self::FORMAT,
            id: id.into(),
            title: title.into(),
            promoted: strategy.promote == Promote::Auto,
            strategy,
            hooks,
            nodes,
            batches,
            under_way: BTreeMap::new(),
            began: None,
            latest: Moment::default(),
            direction: Direction::Forward,
            paused: Vec::new(),
            aborting: None,
            rolled_back_for: None,
            failures: 0,
            progressed: Moment::default(),
            blocked: None,
            ended: None,
            next_ticket: 1,
            targets_asked: false,
            fleet,
            forgiven: false,
        })
    }
}

impl Node {
    /// A target that nothing was done to.
    pub(super) fn of(target: Target, hooks: usize) -> Self {
        Self {
            name: target.name,
            domain: target.domain,
            key: target.key,
            batch: None,
            reachable: target.reachable,
            state: NodeState::Pending,
            course: Course::Upgrade,
            since: Moment::default(),
            already: vec![None; hooks],
            drained: vec![Drain::No; hooks],
            applied: Applied::No,
            runs: Vec::new(),
            applied_as: 0,
            retry: false,
        }
    }
}
