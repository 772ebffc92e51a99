//! A rollout told while it goes on: lines for a person or a log, JSON for a program.

use cm_engine::rollout::Told;
use cm_rollout::{Answer, Notice, PauseReason, Rollout, Verdict, Work};
use owo_colors::OwoColorize;
use serde_json::json;

use crate::{options::Options, report};

/// Tells what happens.
pub struct Teller {
    json: bool,
    verbosity: u8,
}

impl Teller {
    /// As the options want it.
    pub fn new(options: &Options) -> Self {
        Self { json: options.json, verbosity: options.verbosity() }
    }

    /// Tells one thing.
    pub fn tell(&self, rollout: &Rollout, told: &Told<'_>) {
        if self.json {
            report::print(&format!("{}\n", line_of_json(rollout, told)));
        } else if let Some(line) = self.line(rollout, told)
            && self.verbosity > 0
        {
            report::print(&format!("{line}\n"));
        }
    }

    fn line(&self, rollout: &Rollout, told: &Told<'_>) -> Option<String> {
        match told {
            Told::Began(work) if self.verbosity > 1 => Some(format!("{} …", doing(work))),
            Told::Ended(work, answer) => {
                let why = match answer {
                    Answer::Failed { why } | Answer::Unreachable { why } => {
                        format!("{} {}", "FAILED".red(), report::one_line(why))
                    }
                    Answer::Gate(Verdict::Fail { why }) => format!("no: {}", report::one_line(why)),
                    Answer::Gate(Verdict::Inconclusive { why }) => {
                        format!("cannot tell: {}", report::one_line(why))
                    }
                    Answer::Applied { changed } => {
                        (if *changed { "changed" } else { "as wanted already" }).to_owned()
                    }
                    _ if self.verbosity > 1 => "done".to_owned(),
                    _ => return None,
                };
                Some(format!("{}: {why}", doing(work)))
            }
            Told::Notice(notice) => Some(notice_line(rollout, notice)),
            Told::Refused(command, why) => Some(format!("not done: {command:?}: {why}")),
            Told::Began(_) => None,
        }
    }
}

fn doing(work: &Work) -> String {
    let number = |batch: &usize| format!("batch {}", batch + 1);
    match work {
        Work::AskAlready { node, .. } => format!("{node}: asking whether it was so before"),
        Work::BeforeNode { node, .. } => format!("{node}: before_node"),
        Work::Apply { node, .. } => format!("{node}: apply"),
        Work::GateNode { node, .. } => format!("{node}: gates"),
        Work::AfterNode { node, .. } => format!("{node}: after_node"),
        Work::RollBackNode { node, .. } => format!("{node}: taking back"),
        Work::BeforeBatch { batch, .. } => format!("{}: before_batch", number(batch)),
        Work::GateBatch { batch } => format!("{}: gates", number(batch)),
        Work::AfterBatch { batch, .. } => format!("{}: after_batch", number(batch)),
        Work::Targets => "computing the targets again".to_owned(),
    }
}

/// Why a rollout is paused, in a sentence.
pub fn reason(reason: &PauseReason) -> String {
    match reason {
        PauseReason::Operator { why } => why.clone(),
        PauseReason::Inconclusive { node, why } => {
            let node = node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
            format!("a gate{node} cannot tell: {}", report::one_line(why))
        }
        PauseReason::Failure { why } => report::one_line(why),
    }
}

fn notice_line(rollout: &Rollout, notice: &Notice) -> String {
    let names = |nodes: &[String]| {
        let nodes: Vec<std::sync::Arc<str>> = nodes.iter().map(|node| node.as_str().into()).collect();
        report::name_hosts(&nodes)
    };
    match notice {
        Notice::BatchBegan { batch, nodes } => {
            format!("{} {} of {}: {}", "batch".bold(), batch + 1, rollout.batches.len(), names(nodes))
        }
        Notice::BatchEnded { batch } => {
            format!("{} {} of {} is done", "batch".bold(), batch + 1, rollout.batches.len())
        }
        Notice::NodeDone { node } => {
            let counts = rollout.counts();
            let all = rollout.nodes.len() - counts.gone;
            format!("{node}: {} ({} of {all})", "healthy".green(), counts.done)
        }
        Notice::NodeFailed { node, why } => {
            format!("{node}: {} and stays out of service: {}", "failed".red(), report::one_line(why))
        }
        Notice::NodeRestored { node } => format!("{node}: as it was before, and in service"),
        Notice::Unhealthy { node, why } => {
            let what = node.as_deref().unwrap_or("the batch");
            format!("{what}: {} yet: {}", "not healthy".yellow(), report::one_line(why))
        }
        Notice::AwaitsPromotion => format!(
            "the first batch is done and waits for a person: `cm rollout promote {0}`, or `cm rollout abort {0}`",
            rollout.id
        ),
        Notice::Paused { reason: why } => format!("{}: {}", "paused".yellow().bold(), reason(why)),
        Notice::Resumed => "going on".to_owned(),
        Notice::Aborting { why } => format!("{}: {why}", "aborting".red().bold()),
        Notice::RollingBack { why } => format!("{}: {}", "rolling back".red().bold(), report::one_line(why)),
        Notice::Joined { nodes } => format!("joined meanwhile: {}", names(nodes)),
        Notice::Blocked { why } => format!("{}: {}", "waiting".yellow(), report::one_line(why)),
    }
}

fn line_of_json(rollout: &Rollout, told: &Told<'_>) -> serde_json::Value {
    let id = &rollout.id;
    match told {
        Told::Began(work) => json!({ "event": "rollout_work_began", "rollout": id, "work": work }),
        Told::Ended(work, answer) => {
            let (word, why) = match answer {
                Answer::Ok => ("ok", None),
                Answer::Already(true) => ("already", None),
                Answer::Already(false) => ("not_already", None),
                Answer::Applied { changed: true } => ("changed", None),
                Answer::Applied { changed: false } => ("unchanged", None),
                Answer::Gate(Verdict::Pass) => ("pass", None),
                Answer::Gate(Verdict::Fail { why }) => ("fail", Some(why)),
                Answer::Gate(Verdict::Inconclusive { why }) => ("inconclusive", Some(why)),
                Answer::Targets(_) => ("targets", None),
                Answer::Failed { why } => ("failed", Some(why)),
                Answer::Unreachable { why } => ("unreachable", Some(why)),
            };
            json!({ "event": "rollout_work_ended", "rollout": id, "work": work, "answer": word, "why": why })
        }
        Told::Notice(notice) => {
            json!({ "event": "rollout_notice", "rollout": id, "notice": notice, "nodes": rollout.counts() })
        }
        Told::Refused(command, why) => {
            json!({ "event": "rollout_command_refused", "rollout": id, "command": command, "why": why })
        }
    }
}
