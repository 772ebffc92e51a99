//! `cm verify`: has anything drifted? And `--mend`: then make that right, and nothing else.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use clap::Args;
use cm_engine::{Planner, RunEvent};
use cm_inventory::HostId;
use cm_wire::Mode;
use tokio::runtime::Runtime;

use crate::{
    chosen::{Asked, Chosen},
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{self, Selection},
    interrupt::Interrupt,
    mend::{MendPlanner, Mendable},
    names,
    options::{Options, RoleArguments, RunArguments, parse_time},
    record::{Opening, Recorder},
    report::{
        self, RunHeader,
        files::{Filed, Wanted},
    },
    watch::Watching,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `[ROLE[,ROLE]] [on TARGET]`; without roles, what the hosts' groups say belongs on them. Without a target
    /// it is about all hosts, or those that the roles belong on.
    #[arg(value_name = "[ROLES] [on TARGET]")]
    words: Vec<String>,
    /// Make right what was changed behind our back: not what is pending, and not what a waiver lets be.
    #[arg(long)]
    mend: bool,
    /// Write a report too: `junit:FILE` or `json:FILE`.
    #[arg(long, value_name = "KIND:FILE")]
    report: Vec<Wanted>,
    /// Go on until Ctrl-C, and tell what drifts as it does (docs/watch.md). With `--mend` it is made right at once.
    #[arg(long, conflicts_with = "report")]
    watch: bool,
    /// With `--watch`: the time between looks at everything, which see what no event tells of; 0s: never.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1h", requires = "watch")]
    look_every: Duration,
    #[command(flatten)]
    role: RoleArguments,
    #[command(flatten)]
    run: RunArguments,
}

/// One of the runs that a verify consists of.
struct Stage<'a> {
    options: &'a Options,
    arguments: &'a Arguments,
    chosen: &'a Chosen,
    runtime: &'a Runtime,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let asked = Asked {
        command: "verify",
        words: &arguments.words,
        role: &arguments.role,
        run: &arguments.run,
        everywhere: true,
    };
    if arguments.watch && arguments.mend && !arguments.run.yes {
        return Err(Failure::new("`--watch --mend` changes hosts without asking each time")
            .hint("`--yes` says that this is meant"));
    }
    let chosen = asked.choose(options)?;
    if arguments.watch {
        let watching = Watching { options, asked, look_every: arguments.look_every, mend: arguments.mend };
        return watching.run(chosen);
    }
    let runtime = drive::runtime()?;
    let stage = Stage { options, arguments, chosen: &chosen, runtime: &runtime };
    let mut mendable = Mendable::default();
    let exit = stage.verify(&mut |event| {
        if let RunEvent::HostEnded(report) = event {
            mendable.add(report);
        }
    })?;
    if !arguments.mend || mendable.hosts() == 0 || exit == Exit::Interrupted {
        return Ok(exit);
    }
    let mendable = Arc::new(mendable);
    let planned = stage.mend(Mode::Plan, &mendable)?;
    if planned != Exit::Differs {
        // Nothing was changed by then: what could not be planned is told, what needs nothing any more is right.
        return Ok(if planned == Exit::Ok { exit } else { planned });
    }
    if !arguments.run.yes {
        if !std::io::stdin().is_terminal() {
            if !options.json {
                anstream::eprintln!("nothing was changed: there is no terminal to ask at; `--yes` does it");
            }
            return Ok(exit);
        }
        let noun = if mendable.hosts() == 1 { "host" } else { "hosts" };
        if !fleet::ask(&format!("mend this on {} {noun}?", mendable.hosts()))? {
            report::print("nothing was changed\n");
            return Ok(exit);
        }
    }
    match stage.mend(Mode::Apply, &mendable)? {
        Exit::Interrupted => return Ok(Exit::Interrupted),
        // Told by then; what came of it is seen in the last look.
        Exit::Ok | Exit::Differs => {}
        failed => {
            let after = stage.verify(&mut |_| {})?;
            return Ok(if after == Exit::Interrupted { after } else { failed });
        }
    }
    stage.verify(&mut |_| {})
}

impl Stage<'_> {
    /// Looks at everything; the reports are of the last time this is done.
    fn verify(&self, listen: &mut dyn FnMut(&RunEvent)) -> Result<Exit, Failure> {
        let hosts = self.chosen.selection.hosts.clone();
        let planner = self.chosen.planner(&self.arguments.role);
        self.go(Mode::Verify, hosts, Arc::new(planner), listen)
    }

    /// Plans or makes the mending, on hosts that have something to mend.
    fn mend(&self, mode: Mode, mendable: &Arc<Mendable>) -> Result<Exit, Failure> {
        let inventory = self.chosen.fleet.project.inventory();
        let has = |&host: &HostId| mendable.has(inventory.host(host).name());
        let hosts = self.chosen.selection.hosts.iter().copied().filter(has).collect();
        let whole = cm_engine::ProjectPlanner {
            checks: false,
            orphans: false,
            ..self.chosen.planner(&self.arguments.role)
        };
        let planner = MendPlanner { whole, mendable: Arc::clone(mendable) };
        self.go(mode, hosts, Arc::new(planner), &mut |_| {})
    }

    fn go(
        &self,
        mode: Mode,
        hosts: Vec<HostId>,
        planner: Arc<dyn Planner>,
        listen: &mut dyn FnMut(&RunEvent),
    ) -> Result<Exit, Failure> {
        let Self { options, arguments, chosen, runtime } = *self;
        let fleet = &chosen.fleet;
        let selection = Selection { hosts };
        let opening = Opening::new(
            drive::recorded_mode(mode),
            chosen.target.clone(),
            chosen.roles.clone(),
            fleet.addresses(&selection),
        );
        let hosts = selection.hosts.len();
        let (recorder, mut run) = Recorder::begin_beside(fleet, &names::holder(), opening, || {
            fleet.run(selection, &arguments.run, mode, String::new(), Some(planner))
        })?;
        let diff = !arguments.role.no_diff;
        let header = RunHeader {
            run: recorder.run().to_string(),
            mode,
            command: "verify",
            hosts,
            diff,
            verbosity: options.verbosity(),
        };
        run.options.run.clone_from(&header.run);
        let mut reporter = drive::reporter(options, header.clone());
        if mode == Mode::Verify && !arguments.report.is_empty() {
            reporter = Box::new(Filed::open(header, reporter, &arguments.report)?);
        }
        run.options.diff = diff;
        run.options.fail_fast = arguments.role.fail_fast;
        run.options.paranoid = arguments.role.paranoid;
        runtime.block_on(async {
            let interrupt = Interrupt::watch();
            let exit = drive::drive(run, reporter, Some(recorder), interrupt, |event| listen(event)).await?;
            Ok(fleet.exit(exit))
        })
    }
}
