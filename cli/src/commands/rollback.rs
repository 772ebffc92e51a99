//! `cm rollback RUN [on TARGET]`: nodes as they were before a run.

use std::sync::Arc;

use clap::Args;
use cm_engine::{HostCatalog, OtherFacts, PlanFailure, Planner};
use cm_inventory::HostId;
use cm_plan::LoadOptions;
use cm_state::{HostState, RunId, RunMode, RunSummary, StateError, Store};
use cm_wire::{Facts, Undo};

use crate::{
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet, Selection},
    options::{Options, RunArguments, WhatOnTarget},
    take_back::TakeBack,
};

/// Runs that are searched for the newest that changed something.
const SEARCHED: usize = 500;

#[derive(Args, Debug)]
pub struct Arguments {
    /// `RUN [on TARGET]`: the run's id or the beginning or end of it; `last` is the newest that may have changed
    /// something. Without a target, the hosts that it was on.
    #[arg(required = true, value_name = "RUN [on TARGET]")]
    words: Vec<String>,
    /// Only show what would be taken back.
    #[arg(long)]
    plan: bool,
    /// Take back even what somebody else has changed since; files are kept beside as NAME.cm-kept.
    #[arg(long)]
    force: bool,
    /// Take back what later runs changed elsewhere, too: hosts as they were before the run.
    #[arg(long)]
    and_later: bool,
    /// Do not show diffs of texts.
    #[arg(long)]
    no_diff: bool,
    #[command(flatten)]
    run: RunArguments,
}

/// Nodes make the tasks themselves.
pub struct NoTasks;

impl Planner for NoTasks {
    fn needs_other_facts(&self) -> bool {
        false
    }

    fn catalog(&self, _: &str, _: &Facts, _: &OtherFacts) -> Result<HostCatalog, PlanFailure> {
        Ok(HostCatalog::default())
    }
}

/// The run that is meant: as the state knows it, or only by its id.
enum Meant {
    Known(Box<RunSummary>),
    Unknown(RunId),
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let [given] = words.what.as_slice() else {
        return Err(Failure::new("`cm rollback` takes back one run")
            .hint("cm rollback RUN [on TARGET]; `cm history` lists runs"));
    };
    // A role that is broken must not stand in the way of what takes it back.
    let load = LoadOptions { hosts_only: true, ..LoadOptions::default() };
    let fleet = Fleet::load_with(options, load)?;
    let meant = find(&fleet, given, words.target.is_some())?;
    let (id, selection) = match (&meant, &words.target) {
        (Meant::Known(summary), None) => (summary.id.clone(), hosts_of(&fleet, summary, arguments)?),
        (Meant::Known(summary), Some(target)) => (summary.id.clone(), fleet.select(target, &arguments.run)?),
        (Meant::Unknown(id), Some(target)) => (id.clone(), fleet.select(target, &arguments.run)?),
        (Meant::Unknown(id), None) => {
            return Err(Failure::new(format!("the state knows no run {id}"))
                .hint(format!("nodes may: cm rollback {id} on TARGET")));
        }
    };
    let on = words.target.as_ref().map_or_else(String::new, |target| format!(" on {target}"));
    let flags: String = [(arguments.force, " --force"), (arguments.and_later, " --and-later")]
        .iter()
        .filter(|(given, _)| *given)
        .map(|(_, flag)| *flag)
        .collect();
    let undo = Undo::Run { run: id.to_string(), later: arguments.and_later, force: arguments.force };
    let take_back = TakeBack {
        command: "rollback",
        mode: RunMode::Rollback,
        undo,
        planner: Arc::new(NoTasks),
        target: match (&words.target, &meant) {
            (Some(target), _) => target.clone(),
            (None, Meant::Known(summary)) => summary.target.clone(),
            (None, Meant::Unknown(_)) => String::new(),
        },
        roles: Vec::new(),
        // With the whole id: the record says which run was taken back.
        command_line: format!("cm rollback {id}{on}{flags}"),
        plan_only: arguments.plan,
        diff: !arguments.no_diff,
    };
    take_back.run(options, &fleet, selection, &arguments.run)
}

fn find(fleet: &Fleet, given: &str, has_target: bool) -> Result<Meant, Failure> {
    let store = fleet::open_store(&fleet.state_file()).map_err(fleet::state_failure)?;
    let found = if given == "last" {
        let runs = store.runs(SEARCHED).map_err(fleet::state_failure)?;
        let newest = runs.into_iter().find(|run| !matches!(run.mode, RunMode::Plan | RunMode::Verify));
        newest.ok_or_else(|| Failure::new("no run has changed anything yet"))?
    } else {
        match store.find_run(given) {
            Ok(found) => found,
            Err(StateError::UnknownRun { .. }) if given.parse::<RunId>().is_ok() => {
                // Its shape was just seen.
                let Ok(id) = given.parse() else { return Err(Failure::new("that is no run's id")) };
                return Ok(Meant::Unknown(id));
            }
            Err(error @ StateError::UnknownRun { .. }) if has_target => {
                return Err(fleet::state_failure(error)
                    .hint("nodes may know a run that the state does not: give its whole id"));
            }
            Err(error) => return Err(fleet::state_failure(error)),
        }
    };
    if matches!(found.mode, RunMode::Plan | RunMode::Verify) {
        let what = crate::report::json_word(&found.mode);
        return Err(Failure::new(format!("run {} was a {what}: it has changed nothing", found.id))
            .hint("`cm history` lists the runs and what they were"));
    }
    Ok(Meant::Known(Box::new(found)))
}

/// The hosts that a run may have changed and that the inventory still has.
fn hosts_of(fleet: &Fleet, run: &RunSummary, arguments: &Arguments) -> Result<Selection, Failure> {
    let store = fleet::open_store(&fleet.state_file()).map_err(fleet::state_failure)?;
    let hosts = store.run_hosts(&run.id).map_err(fleet::state_failure)?;
    let limit = match &arguments.run.limit {
        Some(limit) => {
            Some(fleet.select(limit, &RunArguments { limit: None, ..arguments.run.clone() })?.hosts)
        }
        None => None,
    };
    let inventory = fleet.project.inventory();
    let mut found: Vec<HostId> = Vec::new();
    for host in hosts {
        // Later runs may have changed what this one found as it should be.
        let untouched = matches!(host.state, HostState::Ok | HostState::Skipped) && !arguments.and_later;
        match inventory.host_id(&host.host) {
            _ if untouched => {}
            Some(id) => found.push(id),
            None => anstream::eprintln!(
                "warning: {} is not in the inventory any more; nothing is taken back there",
                host.host
            ),
        }
    }
    found.retain(|id| limit.as_ref().is_none_or(|limit| limit.contains(id)));
    // In inventory order, as all targets are.
    let hosts: Vec<HostId> = inventory.hosts().map(|(id, _)| id).filter(|id| found.contains(id)).collect();
    if hosts.is_empty() {
        return Err(Failure::new(format!("run {} has changed no host of the inventory", run.id))
            .hint(format!("cm rollback {} on TARGET asks nodes all the same", run.id)));
    }
    Ok(Selection { hosts })
}
