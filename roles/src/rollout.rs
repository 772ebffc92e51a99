//! What a role says of its rollouts: `rollout:`. Every key may be missing; the command line is stronger than all of them.

use std::time::Duration;

use cm_rollout::{OnFailure, Promote, Size};
use cm_syntax::{Span, Spanned};

use crate::{argument::Argument, template::Expression};

/// `rollout:` of a role.
#[derive(Debug, Default)]
pub struct RolloutSection {
    /// Sizes of batches.
    pub batch: Option<Spanned<Vec<Size>>>,
    /// Nodes that may be out of service at once.
    pub max_unavailable: Option<Spanned<Size>>,
    /// Whether a batch waits for the slowest of the one before.
    pub window: Option<Spanned<bool>>,
    /// What comes after the canary.
    pub promote: Option<Spanned<Promote>>,
    /// Limits by failure domain.
    pub spread: Option<Spanned<SpreadSection>>,
    /// The order of nodes.
    pub order: Option<Spanned<OrderSection>>,
    /// How long a node must stay healthy.
    pub min_healthy_time: Option<Spanned<Duration>>,
    /// The time in which a node must become healthy.
    pub healthy_deadline: Option<Spanned<Duration>>,
    /// The time in which something must become done.
    pub progress_deadline: Option<Spanned<Duration>>,
    /// The time between two tries of a gate.
    pub gate_interval: Option<Spanned<Duration>>,
    /// The error budget.
    pub max_failures: Option<Spanned<Size>>,
    /// What is done when it fails.
    pub on_failure: Option<Spanned<OnFailure>>,
    /// Gates beside the second look and the checks of `verify:`.
    pub gates: Vec<Gate>,
    /// What surrounds nodes and batches.
    pub hooks: Vec<RolloutHook>,
}

/// Limits by failure domain.
#[derive(Clone, Debug)]
pub struct SpreadSection {
    /// Tells which domain a host is in.
    pub by: Expression,
    /// At most so many domains have nodes in work at once.
    pub max_domains: Option<usize>,
    /// At most so many nodes of one domain are out of service.
    pub per_domain: Option<usize>,
}

/// The order of nodes.
#[derive(Clone, Debug)]
pub enum OrderSection {
    /// As in the inventory.
    Given,
    /// Shuffled.
    Random,
    /// By what this gives for each host.
    By(Expression),
}

/// Something that must hold after a node, or after a batch.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Where it is written.
    pub span: Span,
    /// After each batch instead of after each node.
    pub per_batch: bool,
    /// The time that one try may take.
    pub timeout: Duration,
    /// What is asked.
    pub kind: GateKind,
}

/// What a gate asks.
#[derive(Clone, Debug)]
pub enum GateKind {
    /// A command on the controller: 0 passes, 75 is inconclusive, everything else fails.
    Command(Argument),
    /// A page: this status, and this text in it.
    Http {
        /// Its address.
        url: Argument,
        /// The wanted status.
        status: u16,
        /// A text that the body must have.
        contains: Option<Argument>,
    },
    /// A query, and what its value must be.
    Prometheus {
        /// The server.
        url: Argument,
        /// The query.
        query: Argument,
        /// An expression over `value`: true passes.
        pass: String,
        /// An expression over `value`: true fails. Where neither is true, nobody can tell. None: what does not pass fails.
        fail: Option<String>,
    },
}

/// Commands round a node or a batch.
#[derive(Clone, Debug)]
pub struct RolloutHook {
    /// Where it is written.
    pub span: Span,
    /// `node`, `controller`, or the name of a host.
    pub on: Option<Argument>,
    /// The time that each command may take.
    pub timeout: Duration,
    /// Tells by exit status 0 that the node was so before we came.
    pub already: Option<Argument>,
    /// Before a node is changed.
    pub before_node: Option<Argument>,
    /// After a node is healthy.
    pub after_node: Option<Argument>,
    /// Before the first node of a batch.
    pub before_batch: Option<Argument>,
    /// After a batch.
    pub after_batch: Option<Argument>,
}

/// Whether the value fits the expression, which sees it as `value`.
///
/// # Errors
/// When it is no expression, or gives neither true nor false.
pub fn judge(expression: &str, value: f64) -> Result<bool, String> {
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    // Errors name what is missing.
    environment.set_debug(true);
    let compiled = environment.compile_expression(expression).map_err(|error| error.to_string())?;
    let given = compiled.eval(minijinja::context! { value }).map_err(|error| error.to_string())?;
    bool::try_from(given.clone()).map_err(|_| format!("it gives {given}, neither true nor false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged() {
        assert_eq!(judge("value < 0.01", 0.005), Ok(true));
        assert_eq!(judge("value >= 1 and value != 7", 7.0), Ok(false));
        assert!(judge("value +", 1.0).is_err());
        assert!(judge("value + 1", 1.0).unwrap_err().contains("neither true nor false"));
        assert!(judge("valeu < 1", 1.0).is_err());
    }
}
