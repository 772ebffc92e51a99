//! `cm state rebuild on TARGET`: the state database made again from what nodes remember. `cm state compact`: old runs
//! gone, and the file as small as it can be.

use clap::{Args, Subcommand};
use cm_engine::{NodeLedger, RunEvent};
use cm_plan::LoadOptions;
use cm_state::{NodeUpdate, RedbStore, StateError, Store, Timestamp};
use cm_wire::Mode;

use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet},
    interrupt::Interrupt,
    options::{Options, RunArguments, WhatOnTarget},
    record, remembered,
    report::{self, RunHeader},
    retention, rollout,
};

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make the state database again from what nodes remember; what it still knows stays.
    Rebuild(RebuildArguments),
    /// Forget the runs, rollouts and lines of the audit log that `[history]` of cm.toml lets go, and give back the space
    /// they took.
    Compact,
}

#[derive(Args, Debug)]
struct RebuildArguments {
    /// `on TARGET`.
    #[arg(required = true, value_name = "on TARGET")]
    words: Vec<String>,
    #[command(flatten)]
    run: RunArguments,
}

/// What was learned of one node.
struct Learned {
    update: NodeUpdate,
    ledger: Option<NodeLedger>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        Action::Rebuild(arguments) => rebuild(options, arguments),
        Action::Compact => compact(options),
    }
}

fn compact(options: &Options) -> Result<Exit, Failure> {
    let settings = fleet::settings_of(options)?;
    let store = fleet::open_state(options)?;
    let pruned = store.prune(&retention::rules(&settings)).map_err(fleet::state_failure)?;
    let state = fleet::state_file_of(options)?;
    let rollouts = rollout::forget_old(&store, &state, retention::rollouts_kept(&settings))?;
    let compaction = store.compact().map_err(fleet::state_failure)?;
    if options.json {
        report::print(&format!(
            "{}\n",
            serde_json::json!({ "event": "compacted", "runs": pruned.runs.len(), "rollouts": rollouts,
            "audit_lines": pruned.audit_lines, "before": compaction.before, "after": compaction.after })
        ));
    } else if !options.quiet {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        report::print(&format!(
            "{} old runs, {rollouts} rollouts and {} lines of the audit log forgotten; {:.1} MB became {:.1} MB\n",
            pruned.runs.len(),
            pruned.audit_lines,
            megabytes(compaction.before),
            megabytes(compaction.after)
        ));
    }
    Ok(Exit::Ok)
}

fn rebuild(options: &Options, arguments: &RebuildArguments) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let target = words.target.or_else(|| words.what.first().cloned()).unwrap_or_default();
    // Roles do not matter here: nodes know theirs.
    let load = LoadOptions { hosts_only: true, ..LoadOptions::default() };
    let fleet = Fleet::load_with(options, load)?;
    // A file that cannot be used must be known before hosts are asked.
    let store = fleet::open_store(&fleet.state_file()).map_err(|error| {
        let damaged = matches!(error, StateError::Damaged { .. } | StateError::Empty { .. });
        let failure = fleet::state_failure(error);
        if damaged { failure.hint("then the same command makes it again") } else { failure }
    })?;
    let selection = fleet.select(&target, &arguments.run)?;
    let addresses: std::collections::HashMap<String, String> =
        fleet.addresses(&selection).into_iter().collect();
    let header = RunHeader {
        run: "-".into(),
        mode: Mode::Verify,
        command: "state rebuild",
        hosts: selection.hosts.len(),
        diff: false,
        verbosity: options.verbosity(),
    };
    let mut learned: std::collections::BTreeMap<String, Learned> = std::collections::BTreeMap::new();
    let listen = |event: &RunEvent| match event {
        RunEvent::Connected { host, facts, host_key, .. } => {
            let update = NodeUpdate {
                address: addresses.get(&**host).cloned(),
                seen: Some(Timestamp::now()),
                host_key: host_key.clone(),
                boot_id: Some(facts.boot_id.clone()),
                // Facts are plain data: they always become JSON.
                facts: serde_json::to_string(facts.as_ref()).ok(),
                ..NodeUpdate::new(host.to_string())
            };
            learned.insert(host.to_string(), Learned { update, ledger: None });
        }
        RunEvent::Ledger { host, ledger } => {
            if let Some(known) = learned.get_mut(&**host) {
                known.ledger = Some(ledger.clone());
            }
        }
        _ => {}
    };
    let mut run = fleet.run(selection, &arguments.run, Mode::Verify, "rebuild".into(), None)?;
    run.options.ledger = true;
    let runtime = drive::runtime()?;
    let exit = runtime.block_on(async {
        let interrupt = Interrupt::watch();
        drive::drive(run, drive::reporter(options, header), None, interrupt, listen).await
    })?;
    let told = write(&store, learned).map_err(fleet::state_failure)?;
    if options.json {
        report::print(&format!(
            "{}\n",
            serde_json::json!({ "event": "rebuilt", "nodes": told.nodes,
            "runs": told.restored.runs, "results": told.restored.results, "resources": told.resources })
        ));
    } else if !options.quiet {
        report::print(&format!(
            "{} nodes, {} runs with {} results of hosts, {} resources put back\n",
            told.nodes, told.restored.runs, told.restored.results, told.resources
        ));
    }
    Ok(exit)
}

/// What a rebuild wrote.
struct Told {
    nodes: usize,
    resources: usize,
    restored: cm_state::Restored,
}

fn write(
    store: &RedbStore,
    learned: std::collections::BTreeMap<String, Learned>,
) -> Result<Told, StateError> {
    let mut ledgers = Vec::new();
    let mut updates = Vec::new();
    for (host, Learned { update, ledger }) in learned {
        updates.push(update);
        ledgers.extend(ledger.map(|ledger| (host, ledger)));
    }
    store.upsert_nodes(&updates)?;
    let mut resources = Vec::new();
    for (host, ledger) in &ledgers {
        resources.extend(remembered::resources(store, host, ledger)?);
    }
    store.put_resources(&resources)?;
    let restored = store.restore_runs(&remembered::runs(&ledgers))?;
    store.append_audit(&[record::audit_line()])?;
    let resources = resources.iter().map(|node| node.updates.len()).sum();
    Ok(Told { nodes: updates.len(), resources, restored })
}
