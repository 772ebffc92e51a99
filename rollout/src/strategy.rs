//! How a rollout is to go: sizes, limits, deadlines, order, and which hooks and gates there are.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number of nodes: absolute, or a share of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    /// So many nodes.
    Nodes(usize),
    /// So many of a hundred of the targets.
    Percent(u8),
}

/// A text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is neither a number of nodes nor a percentage such as `25%`")]
pub struct SizeError(pub String);

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let wrong = || SizeError(text.to_owned());
        match text.trim().strip_suffix('%') {
            Some(number) => match number.trim().parse() {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.trim().parse().map(Self::Nodes).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(formatter, "{nodes}"),
            Self::Percent(percent) => write!(formatter, "{percent}%"),
        }
    }
}

impl Size {
    /// So many of `total` nodes, a share rounded down.
    #[must_use]
    pub fn of_rounded_down(self, total: usize) -> usize {
        match self {
            Self::Nodes(nodes) => nodes,
            Self::Percent(percent) => total.saturating_mul(percent.into()) / 100,
        }
    }

    /// So many of `total` nodes, a share rounded up.
    #[must_use]
    pub fn of_rounded_up(self, total: usize) -> usize {
        match self {
            Self::Nodes(nodes) => nodes,
            Self::Percent(percent) => total.saturating_mul(percent.into()).div_ceil(100),
        }
    }
}

/// What comes after the first batch, the canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promote {
    /// The rest, if the canary's gates passed.
    #[default]
    Auto,
    /// A person says `promote`.
    Manual,
}

/// Limits by failure domain; each target says which domain it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// At most so many domains have nodes in work at once.
    pub max_domains: Option<usize>,
    /// At most so many nodes of one domain are in work, failed or unreachable when a node of it is begun.
    pub per_domain: Option<usize>,
}

/// In what order nodes come. Those that are unreachable at the start always come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// As the targets are given.
    #[default]
    Given,
    /// Shuffled, the same way for the same seed.
    Random {
        /// Where the shuffling begins.
        seed: u64,
    },
    /// By the targets' keys, ascending; equal keys as given; no key last.
    ByKey,
}

/// What is done when the rollout fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Nothing more is begun until a person decides.
    #[default]
    Pause,
    /// Nothing more is begun, and that is the end.
    Abort,
    /// What was upgraded is taken back.
    RollBack,
}

/// How a rollout is to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// Sizes of batches. A list that contains `100%` gives totals: so many are upgraded when the batch is over. Else
    /// each size is that of one batch, and the last one repeats. Empty: 1, then 25%, then the rest; or, if only
    /// `max_unavailable` is given, batches of that size.
    pub batches: Vec<Size>,
    /// At most so many nodes are in work, failed or unreachable when a node is begun; a share is rounded down, but never
    /// to less than one. None: the size of a batch if there is only one size, else 25%.
    pub max_unavailable: Option<Size>,
    /// Whether a batch after the first begins as soon as there is room, without waiting for the slowest of the batch before.
    pub window: bool,
    /// What comes after the first batch.
    pub promote: Promote,
    /// Limits by failure domain.
    pub spread: Option<Spread>,
    /// The order of nodes.
    pub order: Order,
    /// A node is healthy when its gates have passed for so long without a failure in between; zero: when they passed once.
    pub min_healthy_time: Duration,
    /// A node (or a batch, if it has gates) must be healthy within this time after its apply; until then a failed gate is tried again.
    pub healthy_deadline: Duration,
    /// If no node and no batch becomes done for so long, the rollout fails.
    pub progress_deadline: Duration,
    /// The time between two tries of a gate.
    pub gate_interval: Duration,
    /// So many nodes may fail; one more, and the rollout fails. A share is rounded down.
    pub max_failures: Size,
    /// What is done when the rollout fails.
    pub on_failure: OnFailure,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            max_unavailable: None,
            window: false,
            promote: Promote::Auto,
            spread: None,
            order: Order::Given,
            min_healthy_time: Duration::ZERO,
            healthy_deadline: Duration::from_secs(5 * 60),
            progress_deadline: Duration::from_secs(15 * 60),
            gate_interval: Duration::from_secs(2),
            max_failures: Size::Nodes(0),
            on_failure: OnFailure::Pause,
        }
    }
}

/// Which commands one entry of `hooks:` has; the driver knows them, the machine only that they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Tells whether a node was so before we came; then neither `before_node` nor `after_node` runs for it.
    pub already: bool,
    /// Runs before a node is changed.
    pub before_node: bool,
    /// Runs after a node is healthy.
    pub after_node: bool,
    /// Runs before the first node of a batch is begun.
    pub before_batch: bool,
    /// Runs after a batch passed its gates.
    pub after_batch: bool,
}

/// What surrounds nodes and batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// The entries of `hooks:`. Before a node or batch they run in this order, after it in the reverse of it.
    pub hooks: Vec<Hook>,
    /// Whether there are gates for batches. Gates of nodes always run: the second look and the checks of the roles.
    pub batch_gates: bool,
}

/// What nodes are sorted by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Key {
    /// A number; before all texts.
    Number(f64),
    /// A text, by its code points.
    Text(String),
}

/// A node that the rollout is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, by which it is known everywhere.
    pub name: String,
    /// Its failure domain; targets without one are in one domain together.
    pub domain: Option<String>,
    /// What it is sorted by, with [`Order::ByKey`].
    pub key: Option<Key>,
    /// Whether it could be reached just now.
    pub reachable: bool,
}

impl Target {
    /// A reachable target without domain and key.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), domain: None, key: None, reachable: true }
    }
}

/// A strategy that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StrategyError {
    /// Nothing to do.
    #[error("there are no targets")]
    NoTargets,
    /// A batch of nobody.
    #[error("a batch of {0} nodes is none")]
    EmptyBatch(Size),
    /// Totals go up.
    #[error("the batches {1} after {0} do not go up: with 100% among them, sizes are totals")]
    NotRising(Size, Size),
    /// Nothing could ever be begun.
    #[error("with `max_unavailable` 0 no node could ever be begun")]
    NoneUnavailable,
    /// Nothing could ever be begun.
    #[error("with a spread over 0 domains, or 0 nodes of each, no node could ever be begun")]
    NoSpread,
    /// Two targets of one name.
    #[error("`{0}` is twice among the targets")]
    Twice(String),
}
