//! `cm rollout status|show|list`.

use clap::Args;
use cm_rollout::{NodeState, Standing, picture};

use crate::{
    exit::Exit,
    failure::Failure,
    fleet,
    options::Options,
    report,
    rollout::{Control, Kept, find, open},
};

#[derive(Args, Debug)]
pub struct Which {
    /// The rollout's id or the beginning or end of it; otherwise the newest.
    id: Option<String>,
}

#[derive(Args, Debug)]
pub struct Show {
    #[command(flatten)]
    which: Which,
    /// Write the picture to this file as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<std::path::PathBuf>,
}

pub fn status(options: &Options, which: &Which) -> Result<Exit, Failure> {
    let kept = find(&fleet::open_state(options)?, which.id.as_deref())?;
    print(options, &kept);
    let id = &kept.rollout.id;
    let mut control = Control::of(&fleet::state_file_of(options)?, id)?;
    // Whoever drives it holds its lock.
    if !options.json && kept.rollout.ended.is_none() && control.take()? {
        report::print(&format!("nobody drives it: cm rollout resume|abort|rollback {id}\n"));
    }
    Ok(Exit::Ok)
}

fn print(options: &Options, kept: &Kept) {
    let rollout = &kept.rollout;
    if options.json {
        let line = serde_json::json!({
            "id": rollout.id, "title": rollout.title, "standing": rollout.standing(), "nodes": rollout.counts(),
            "record": rollout,
        });
        report::print(&format!("{line}\n"));
        return;
    }
    let text = picture::plain(&picture::text(rollout, report::columns()));
    report::print(&format!("{}\n", text.trim_end()));
}

pub fn show(options: &Options, show: &Show) -> Result<Exit, Failure> {
    let kept = find(&fleet::open_state(options)?, show.which.id.as_deref())?;
    if let Some(file) = &show.svg {
        std::fs::write(file, picture::svg(&kept.rollout))
            .map_err(|error| Failure::because(format!("{} cannot be written", file.display()), &error))?;
        return Ok(Exit::Ok);
    }
    print(options, &kept);
    if options.json {
        return Ok(Exit::Ok);
    }
    let mut table = report::table(&["node", "batch", "state", "runs"]);
    for node in &kept.rollout.nodes {
        let state = match &node.state {
            NodeState::Failed { why } => format!("failed: {}", report::one_line(why)),
            other => word(other).to_owned(),
        };
        let batch = node.batch.map_or_else(|| "-".to_owned(), |batch| (batch + 1).to_string());
        table.add_row(vec![node.name.clone(), batch, state, node.runs.join(", ")]);
    }
    report::print_table(&table);
    Ok(Exit::Ok)
}

fn word(state: &NodeState) -> &'static str {
    match state {
        NodeState::Pending => "pending",
        NodeState::Asking { .. } => "asking whether it was so before",
        NodeState::Before { .. } => "before_node",
        NodeState::Applying => "applying",
        NodeState::Gating(_) => "gates",
        NodeState::After { .. } => "after_node",
        NodeState::Done => "done",
        NodeState::Failed { .. } => "failed",
        NodeState::RollingBack => "being taken back",
        NodeState::Restored => "as before",
        NodeState::Gone => "no target any more",
    }
}

pub fn list(options: &Options) -> Result<Exit, Failure> {
    let mut table = report::table(&["rollout", "what", "stands", "done", "failed", "nodes"]);
    for kept in open(&fleet::open_state(options)?)?.iter().rev() {
        let (rollout, counts) = (&kept.rollout, kept.rollout.counts());
        if options.json {
            let line = serde_json::json!({
                "id": rollout.id, "title": rollout.title, "standing": rollout.standing(), "nodes": counts,
            });
            report::print(&format!("{line}\n"));
            continue;
        }
        table.add_row(vec![
            rollout.id.clone(),
            rollout.title.clone(),
            standing(&rollout.standing()),
            counts.done.to_string(),
            counts.failed.to_string(),
            rollout.nodes.len().to_string(),
        ]);
    }
    if !options.json {
        report::print_table(&table);
    }
    Ok(Exit::Ok)
}

fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Planned => "not begun".into(),
        Standing::Running => "running".into(),
        Standing::Blocked { .. } => "waiting".into(),
        Standing::AwaitsPromotion => "awaits promotion".into(),
        Standing::Paused { .. } => "paused".into(),
        Standing::Aborting { .. } => "aborting".into(),
        Standing::RollingBack { .. } => "rolling back".into(),
        Standing::Ended(outcome) => format!("{outcome:?}").to_lowercase(),
    }
}
