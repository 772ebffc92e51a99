//! `cm run 'COMMAND' on TARGET`: one command, now.

use std::sync::Arc;

use clap::Args;
use cm_engine::{HostCatalog, OtherFacts, PlanFailure, Planner, TaskLabel};
use cm_state::RunMode;
use cm_wire::{Facts, Mode, Task, Value};

use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet},
    interrupt::Interrupt,
    names,
    options::{Options, RunArguments, WhatOnTarget},
    record::{Opening, Recorder},
    report::{AnswersReporter, Reporter, RunHeader},
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `'COMMAND' on TARGET`; the command is run by /bin/sh.
    #[arg(required = true, value_name = "COMMAND on TARGET", allow_hyphen_values = false)]
    words: Vec<String>,
    /// Show each line as it comes, with its host; otherwise equal answers of several hosts are shown once.
    #[arg(long)]
    stream: bool,
    #[command(flatten)]
    run: RunArguments,
}

/// A catalog of one command, the same for all hosts.
pub struct OneCommand {
    /// For `/bin/sh`.
    pub command: String,
}

impl Planner for OneCommand {
    fn needs_other_facts(&self) -> bool {
        false
    }

    fn catalog(&self, _host: &str, _facts: &Facts, _others: &OtherFacts) -> Result<HostCatalog, PlanFailure> {
        let id = "command";
        let params = [("command".to_owned(), Value::Text(self.command.clone()))].into();
        let task = Task { params, ..Task::new(id, "command") };
        let label = TaskLabel {
            id: id.into(),
            role: "".into(),
            place: "command line".into(),
            check: false,
            added: false,
        };
        Ok(HostCatalog { tasks: vec![task], labels: vec![label], ..HostCatalog::default() })
    }
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let (command, Some(target)) = (words.what.join(" "), words.target) else {
        return Err(Failure::new("`cm run` needs a command and a target").hint("cm run 'uptime' on web"));
    };
    if command.is_empty() {
        return Err(Failure::new("there is no command to run").hint("cm run 'uptime' on web"));
    }
    let fleet = Fleet::load(options)?.resolve(options, &target, &arguments.run)?;
    let selection = fleet.select(&target, &arguments.run)?;
    let opening = Opening::new(RunMode::Run, target, Vec::new(), fleet.addresses(&selection));
    let recorder = Recorder::begin(&fleet, &names::holder(), opening).map_err(fleet::state_failure)?;
    let header = RunHeader {
        run: recorder.run().to_string(),
        mode: Mode::Apply,
        command: "run",
        hosts: selection.hosts.len(),
        diff: false,
        verbosity: options.verbosity(),
    };
    let planner: Arc<dyn Planner> = Arc::new(OneCommand { command });
    let runtime = drive::runtime()?;
    runtime.block_on(async {
        let run =
            fleet.run(selection, &arguments.run, Mode::Apply, recorder.run().to_string(), Some(planner))?;
        let interrupt = Interrupt::watch();
        let reporter: Box<dyn Reporter> = if options.json || arguments.stream || header.hosts == 1 {
            drive::reporter(options, header)
        } else {
            Box::new(AnswersReporter::new(header, drive::is_watched()))
        };
        let exit = drive::drive(run, reporter, Some(recorder), interrupt, |_| {}).await?;
        Ok(fleet.exit(exit))
    })
}
