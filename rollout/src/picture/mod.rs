//! Pictures of a rollout's progress: as text for a terminal, and as SVG. Pure functions of the record.

mod look;
mod svg;
mod text;
mod words;

#[cfg(test)]
mod tests;

pub use svg::svg;
pub use text::{Line, Span, Tone, plain, text};

use crate::{Batch, BatchState, Direction, Node, NodeState, Rollout};

/// A row of the picture: a batch, or those who are in none.
struct Band<'a> {
    label: String,
    /// What happens in it.
    state: &'static str,
    /// Why it waits or failed.
    why: Option<&'a str>,
    nodes: Vec<&'a Node>,
}

/// The rows, in their order.
fn bands(rollout: &Rollout) -> Vec<Band<'_>> {
    let mut bands: Vec<Band<'_>> = rollout
        .batches
        .iter()
        .enumerate()
        .filter(|(_, batch)| !batch.nodes.is_empty())
        .map(|(number, batch)| band(rollout, number, batch))
        .collect();
    let loose = |node: &&Node| node.batch.is_none() && node.state != NodeState::Gone;
    let nodes: Vec<&Node> = rollout.nodes.iter().filter(loose).collect();
    if !nodes.is_empty() {
        bands.push(Band { label: "Later".into(), state: "not reached", why: None, nodes });
    }
    bands
}

fn band<'a>(rollout: &'a Rollout, number: usize, batch: &'a Batch) -> Band<'a> {
    let going = rollout.direction == Direction::Forward && rollout.ended.is_none();
    let (state, why) = match &batch.state {
        BatchState::Waiting if !going => ("not begun", None),
        BatchState::Done if rollout.direction == Direction::Forward => ("done", None),
        _ if rollout.direction == Direction::Back => {
            let back =
                |node: &usize| matches!(rollout.nodes[*node].state, NodeState::Restored | NodeState::Pending);
            (if batch.nodes.iter().all(back) { "rolled back" } else { "going back" }, None)
        }
        BatchState::Open if !going => ("left", None),
        BatchState::Waiting => ("waiting", None),
        BatchState::Before { .. } => ("hook before", None),
        BatchState::Open => ("in work", None),
        BatchState::Gating(gating) if gating.held => ("gate unclear", gating.why.as_deref()),
        BatchState::Gating(gating) => ("at its gates", gating.why.as_deref()),
        BatchState::After { .. } => ("hook after", None),
        BatchState::Failed { why, .. } => ("failed", Some(why.as_str())),
        BatchState::Done => ("done", None),
    };
    let nodes = batch.nodes.iter().filter_map(|place| rollout.nodes.get(*place)).collect();
    Band { label: format!("Batch {}", number + 1), state, why, nodes }
}
