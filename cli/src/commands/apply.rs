//! `cm apply` and `cm plan`: one road, two modes.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use cm_engine::{Planner, ProjectPlanner, Promise, Promises, RunEvent};
use cm_inventory::HostId;
use cm_wire::Mode;

use crate::{
    chosen::{Asked, Chosen},
    drive,
    exit::Exit,
    failure::Failure,
    interrupt::Interrupt,
    names,
    options::{Options, RoleArguments, RunArguments},
    plan_file::{Gathering, PlanFile, Typed},
    record::{Opening, Recorder},
    report::RunHeader,
};

#[derive(Args, Debug, Clone)]
pub struct Arguments {
    /// `[ROLE[,ROLE]] on TARGET`; without roles, what the hosts' groups say belongs on them. `cm apply FILE` does
    /// what the plan in the file says, and nothing on hosts that are no longer as it found them.
    #[arg(value_name = "[ROLES] on TARGET")]
    words: Vec<String>,
    /// Keep the plan in this file; `cm apply FILE` then does exactly that.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    role: RoleArguments,
    /// Take back what earlier versions of the roles put on the hosts and they no longer want.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    run: RunArguments,
}

pub fn run(options: &Options, arguments: &Arguments, mode: Mode) -> Result<Exit, Failure> {
    if arguments.prune && !arguments.role.tags.is_empty() {
        return Err(Failure::new("`--prune` does not go with `--tags`")
            .hint("what is orphaned is known only when whole roles are planned or applied"));
    }
    match (mode, &arguments.words[..], &arguments.out) {
        (Mode::Apply, _, Some(_)) => Err(Failure::new("`-o` keeps a plan, and `cm apply` makes none")
            .hint("cm plan … -o FILE, then cm apply FILE")),
        (Mode::Apply, [file], None) if Path::new(file).is_file() => {
            apply_file(options, arguments, Path::new(file))
        }
        _ => apply(options, arguments, mode, None),
    }
}

/// Shows what `cm apply` would do with these words.
pub fn show_plan(
    options: &Options,
    words: &[String],
    role: &RoleArguments,
    run: &RunArguments,
) -> Result<Exit, Failure> {
    let arguments =
        Arguments { words: words.to_vec(), out: None, role: role.clone(), prune: false, run: run.clone() };
    apply(options, &arguments, Mode::Plan, None)
}

/// Does what a plan said, and nothing else.
fn apply_file(options: &Options, given: &Arguments, file: &Path) -> Result<Exit, Failure> {
    let role = &given.role;
    let more = given.prune || given.run.limit.is_some() || role.start_at.is_some();
    if more || !role.set.is_empty() || !role.tags.is_empty() || role.no_diff {
        return Err(Failure::new("a plan is applied as it was made").hint(
            "`--set`, `--tags`, `--limit`, `--start-at`, `--prune` and `--no-diff` belong to `cm plan … -o FILE`",
        ));
    }
    let plan = PlanFile::read(file)?;
    let promises = plan.promises()?;
    let mut arguments = given.clone();
    arguments.words = plan.words;
    arguments.prune = plan.prune;
    arguments.run.limit = plan.limit;
    arguments.role.set = plan.set;
    arguments.role.tags = plan.tags;
    arguments.role.start_at = plan.start_at;
    arguments.role.no_diff = !plan.diff;
    apply(options, &arguments, Mode::Apply, Some(promises))
}

/// What the plan of a file promises, by host.
type Held = HashMap<String, Promise>;

/// Only hosts that were planned; told where others were asked for, too.
fn keep_planned(chosen: &mut Chosen, held: &Held) -> Result<(), Failure> {
    let inventory = chosen.fleet.project.inventory();
    let name = |host: HostId| inventory.host(host).name();
    let gone =
        held.keys().filter(|planned| !chosen.selection.hosts.iter().any(|&host| name(host) == **planned));
    let mut gone: Vec<&str> = gone.map(String::as_str).collect();
    if !gone.is_empty() {
        gone.sort_unstable();
        return Err(Failure::new(format!("`{}` no longer has {}", chosen.target, gone.join(", ")))
            .hint("the plan was made with them: plan again"));
    }
    let new: Vec<&str> = chosen
        .selection
        .hosts
        .iter()
        .map(|&host| name(host))
        .filter(|host| !held.contains_key(*host))
        .collect();
    if !new.is_empty() {
        anstream::eprintln!("warning: not part of the plan, and left alone: {}", new.join(", "));
    }
    chosen.selection.hosts.retain(|&host| held.contains_key(name(host)));
    Ok(())
}

fn apply(options: &Options, arguments: &Arguments, mode: Mode, held: Option<Held>) -> Result<Exit, Failure> {
    let command = if mode == Mode::Plan { "plan" } else { "apply" };
    let asked = Asked {
        command,
        words: &arguments.words,
        role: &arguments.role,
        run: &arguments.run,
        everywhere: false,
    };
    let mut chosen = asked.choose(options)?;
    if let Some(held) = &held {
        keep_planned(&mut chosen, held)?;
    }
    let planner = ProjectPlanner {
        prune: arguments.prune,
        checks: mode != Mode::Plan,
        ..chosen.planner(&arguments.role)
    };
    let fleet = chosen.fleet;
    let opening = Opening::new(
        drive::recorded_mode(mode),
        chosen.target,
        chosen.roles,
        fleet.addresses(&chosen.selection),
    );
    let hosts = chosen.selection.hosts.len();
    let (recorder, (runtime, mut run)) = Recorder::begin_beside(&fleet, &names::holder(), opening, || {
        let planner = Some(Arc::new(planner) as Arc<dyn Planner>);
        let run = fleet.run(chosen.selection, &arguments.run, mode, String::new(), planner)?;
        Ok((drive::runtime()?, run))
    })?;
    let diff = !arguments.role.no_diff;
    let header = RunHeader {
        run: recorder.run().to_string(),
        mode,
        command,
        hosts,
        diff,
        verbosity: options.verbosity(),
    };
    runtime.block_on(async {
        run.options.run.clone_from(&header.run);
        run.options.diff = diff;
        run.options.fail_fast = arguments.role.fail_fast;
        run.options.paranoid = arguments.role.paranoid;
        let wanted = arguments.out.as_ref().map(|_| Promises::Told);
        run.options.promises = match held {
            Some(held) => Promises::Held(Arc::new(held)),
            None => wanted.unwrap_or_default(),
        };
        let interrupt = Interrupt::watch();
        let (id, hosts) = (header.run.clone(), header.hosts);
        let mut gathering = Gathering::default();
        let listen = |event: &RunEvent| gathering.event(event);
        let exit =
            drive::drive(run, drive::reporter(options, header), Some(recorder), interrupt, listen).await?;
        if let Some(file) = &arguments.out {
            keep(file, id, hosts, gathering, arguments)?;
        }
        Ok(fleet.exit(exit))
    })
}

/// Writes the plan's file and says for how many of its hosts it is one.
fn keep(
    file: &Path,
    run: String,
    hosts: usize,
    gathering: Gathering,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let planned = gathering.hosts();
    let typed = Typed {
        words: arguments.words.clone(),
        set: arguments.role.set.clone(),
        tags: arguments.role.tags.clone(),
        start_at: arguments.role.start_at.clone(),
        limit: arguments.run.limit.clone(),
        prune: arguments.prune,
        diff: !arguments.role.no_diff,
    };
    gathering.write(file, run, typed)?;
    anstream::eprintln!("the plan of {planned} of {hosts} hosts is in {0}: `cm apply {0}`", file.display());
    Ok(())
}
