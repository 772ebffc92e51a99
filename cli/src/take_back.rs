//! The road of `cm rollback` and `cm cleanup`: a plan of what nodes would take back, a question, and then only
//! the hosts that have something to take back.

use std::{collections::HashSet, io::IsTerminal, sync::Arc};

use cm_engine::{HostEnd, Planner, RunEvent};
use cm_state::RunMode;
use cm_wire::{Mode, Undo};

use crate::{
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet, Selection},
    interrupt::Interrupt,
    names,
    options::{Options, RunArguments},
    record::{Opening, Recorder},
    report::{self, RunHeader},
};

/// What is taken back, and how it is told.
pub struct TakeBack {
    /// `rollback` or `cleanup`.
    pub command: &'static str,
    /// As what the run is recorded.
    pub mode: RunMode,
    /// What nodes are asked to take back.
    pub undo: Undo,
    /// Makes the tasks that come first.
    pub planner: Arc<dyn Planner>,
    /// The target as recorded.
    pub target: String,
    /// The roles as recorded.
    pub roles: Vec<String>,
    /// The command as recorded.
    pub command_line: String,
    /// Only plan.
    pub plan_only: bool,
    /// Whether diffs of texts are shown.
    pub diff: bool,
}

impl TakeBack {
    /// Plans, asks, and does it.
    ///
    /// # Errors
    /// When nothing could be begun.
    pub fn run(
        &self,
        options: &Options,
        fleet: &Fleet,
        selection: Selection,
        arguments: &RunArguments,
    ) -> Result<Exit, Failure> {
        let runtime = drive::runtime()?;
        let mut differing: HashSet<String> = HashSet::new();
        let mut mutually = |event: &RunEvent| {
            if let RunEvent::HostEnded(ended) = event
                && ended.end == HostEnd::Changed
            {
                differing.insert(ended.host.to_string());
            }
        };
        let hosts = selection.hosts.clone();
        let planned =
            runtime.block_on(self.stage(options, fleet, selection, arguments, Mode::Plan, &mut mutually))?;
        if self.plan_only || planned == Exit::Interrupted {
            return Ok(planned);
        }
        // What went wrong on some hosts stays wrong, whatever becomes of the others.
        let troubled = matches!(planned, Exit::Input | Exit::Failed | Exit::Unreachable);
        if differing.is_empty() {
            return Ok(planned);
        }
        let name = |id: &cm_inventory::HostId| fleet.project.inventory().host(*id).name().to_owned();
        let hosts: Vec<_> = hosts.into_iter().filter(|id| differing.contains(&name(id))).collect();
        if !arguments.yes {
            if !std::io::stdin().is_terminal() {
                if !options.json {
                    anstream::eprintln!(
                        "nothing was changed: there is no terminal to ask at; `--yes` does it"
                    );
                }
                return Ok(if troubled { planned } else { Exit::Differs });
            }
            let noun = if hosts.len() == 1 { "host" } else { "hosts" };
            if !fleet::ask(&format!("take this back on {} {noun}?", hosts.len()))? {
                report::print("nothing was changed\n");
                return Ok(if troubled { planned } else { Exit::Differs });
            }
        }
        let selection = Selection { hosts };
        let done =
            runtime.block_on(self.stage(options, fleet, selection, arguments, Mode::Apply, &mut |_| {}))?;
        Ok(match (done, planned) {
            (Exit::Interrupted, _) => Exit::Interrupted,
            (Exit::Unreachable, _) | (_, Exit::Unreachable) => Exit::Unreachable,
            (Exit::Ok, _) if troubled => planned,
            (done, _) => done,
        })
    }

    async fn stage(
        &self,
        options: &Options,
        fleet: &Fleet,
        selection: Selection,
        arguments: &RunArguments,
        mode: Mode,
        listen: &mut impl FnMut(&RunEvent),
    ) -> Result<Exit, Failure> {
        let opening = Opening {
            mode: if mode == Mode::Plan { RunMode::Plan } else { self.mode },
            target: self.target.clone(),
            roles: self.roles.clone(),
            hosts: fleet.addresses(&selection),
            command_line: self.command_line.clone(),
            keeps: false,
        };
        let recorder = Recorder::begin(fleet, &names::holder(), opening).map_err(fleet::state_failure)?;
        let header = RunHeader {
            run: recorder.run().to_string(),
            mode,
            command: self.command,
            hosts: selection.hosts.len(),
            diff: self.diff,
            verbosity: options.verbosity(),
        };
        let run = recorder.run().to_string();
        let mut run = fleet.run(selection, arguments, mode, run, Some(Arc::clone(&self.planner)))?;
        run.options.diff = self.diff;
        run.options.undo = Some(self.undo.clone());
        let interrupt = Interrupt::watch();
        drive::drive(run, drive::reporter(options, header), Some(recorder), interrupt, listen).await
    }
}
