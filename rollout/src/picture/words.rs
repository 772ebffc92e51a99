//! What both pictures say in the same words.

use std::time::Duration;

use crate::{Node, NodeState, Outcome, PauseReason, Rollout, Standing};

use super::{look::Look, text::Tone};

/// Where a rollout stands, in a word or two; how good that is; and what is to be said about it.
pub(super) fn standing(rollout: &Rollout) -> (&'static str, Tone, Vec<String>) {
    match rollout.standing() {
        Standing::Planned => ("planned", Tone::Dim, vec![]),
        Standing::Running => ("running", Tone::Busy, vec![]),
        Standing::Blocked { why } => ("blocked", Tone::Doubt, vec![why]),
        Standing::AwaitsPromotion => {
            ("awaits promotion", Tone::Doubt, vec!["the first batch is done and waits for `promote`".into()])
        }
        Standing::Paused { reasons } => ("paused", Tone::Doubt, reasons.iter().map(reason).collect()),
        Standing::Aborting { why } => ("aborting", Tone::Bad, vec![why]),
        Standing::RollingBack { why } => ("rolling back", Tone::Bad, vec![why]),
        Standing::Ended(outcome) => {
            let why = rollout.rolled_back_for.iter().chain(&rollout.aborting).cloned().collect();
            match outcome {
                Outcome::Done => ("done", Tone::Good, vec![]),
                Outcome::Incomplete => ("incomplete", Tone::Bad, vec![]),
                Outcome::Aborted => ("aborted", Tone::Bad, why),
                Outcome::RolledBack => ("rolled back", Tone::Bad, why),
                Outcome::PartlyRolledBack => ("partly rolled back", Tone::Bad, why),
            }
        }
    }
}

fn reason(reason: &PauseReason) -> String {
    match reason {
        PauseReason::Operator { why } | PauseReason::Failure { why } => why.clone(),
        PauseReason::Inconclusive { node: Some(node), why } => {
            format!("a gate of {node} is inconclusive: {why}")
        }
        PauseReason::Inconclusive { node: None, why } => {
            format!("a gate of the batch is inconclusive: {why}")
        }
    }
}

/// `7 of 12 done, 2 in work, 1 failed`.
pub(super) fn counts(rollout: &Rollout) -> String {
    let counts = rollout.counts();
    let all = rollout.nodes.len() - counts.gone;
    let mut out = format!("{} of {all} done", counts.done);
    for (number, word) in [
        (counts.in_work, "in work"),
        (counts.failed, "failed"),
        (counts.restored, "rolled back"),
        (counts.unreachable, "unreachable"),
    ] {
        if number > 0 {
            out.push_str(&format!(", {number} {word}"));
        }
    }
    out
}

/// What is allowed: `at most 2 out of service, 1 may fail`.
pub(super) fn limits(rollout: &Rollout) -> String {
    format!("at most {} out of service, {} may fail", rollout.max_unavailable(), rollout.max_failures())
}

/// How long it has taken, or took; nothing before it begins.
pub(super) fn elapsed(rollout: &Rollout) -> Option<String> {
    let end = rollout.ended.map_or(rollout.latest, |(at, _)| at);
    Some(duration(end.since(rollout.began?)))
}

/// `4m 03s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h {minutes:02}m"),
    }
}

/// Why a node is where it is, if there is something to say.
pub(super) fn why(node: &Node) -> Option<&str> {
    match &node.state {
        NodeState::Failed { why } => Some(why),
        NodeState::Gating(gating) => gating.why.as_deref(),
        _ => None,
    }
}

/// All about a node in one line.
pub(super) fn whole(node: &Node) -> String {
    let mut out = format!("{}: {}", node.name, Look::of(node).word());
    if !node.reachable && node.state != NodeState::Pending {
        out.push_str(", unreachable");
    }
    if node.already.contains(&Some(true)) {
        out.push_str(", was out of service before");
    }
    if let Some(domain) = &node.domain {
        out.push_str(&format!(", in {domain}"));
    }
    if let Some(why) = why(node) {
        out.push_str(&format!(": {why}"));
    }
    out
}
