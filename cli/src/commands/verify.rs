//! `cm verify`: has anything drifted?

use std::sync::Arc;

use clap::Args;
use cm_wire::Mode;

use crate::{
    chosen::Asked,
    drive,
    exit::Exit,
    failure::Failure,
    fleet,
    interrupt::Interrupt,
    names,
    options::{Options, RoleArguments, RunArguments},
    record::{Opening, Recorder},
    report::RunHeader,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `[ROLE[,ROLE]] [on TARGET]`; without roles, what the hosts' groups say belongs on them. Without a target
    /// it is about all hosts, or those that the roles belong on.
    #[arg(value_name = "[ROLES] [on TARGET]")]
    words: Vec<String>,
    #[command(flatten)]
    role: RoleArguments,
    #[command(flatten)]
    run: RunArguments,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let command = "verify";
    let asked = Asked {
        command,
        words: &arguments.words,
        role: &arguments.role,
        run: &arguments.run,
        everywhere: true,
    };
    let chosen = asked.choose(options)?;
    let planner = chosen.planner(&arguments.role);
    let mode = Mode::Verify;
    let fleet = chosen.fleet;
    let opening = Opening::new(
        drive::recorded_mode(mode),
        chosen.target,
        chosen.roles,
        fleet.addresses(&chosen.selection),
    );
    let recorder =
        Recorder::begin(&fleet.state_file(), &names::holder(), opening).map_err(fleet::state_failure)?;
    let diff = !arguments.role.no_diff;
    let header = RunHeader {
        run: recorder.run().to_string(),
        mode,
        command,
        hosts: chosen.selection.hosts.len(),
        diff,
        verbosity: options.verbosity(),
    };
    let runtime = drive::runtime()?;
    runtime.block_on(async {
        let mut run = fleet.run(
            chosen.selection,
            &arguments.run,
            mode,
            recorder.run().to_string(),
            Some(Arc::new(planner)),
        )?;
        run.options.diff = diff;
        run.options.fail_fast = arguments.role.fail_fast;
        run.options.paranoid = arguments.role.paranoid;
        let interrupt = Interrupt::watch();
        drive::drive(run, drive::reporter(options, header), Some(recorder), interrupt, |_| {}).await
    })
}
