//! Mends what drifted while the watch goes on: each time a run of its own, on the hosts concerned.

use std::{pin::Pin, sync::Arc, time::Instant};

use cm_engine::{Planner, ProjectPlanner};
use cm_inventory::HostId;
use cm_wire::Mode;

use super::{
    fights::{Chance, Fights},
    picture::Picture,
};
use crate::{
    chosen::{Asked, Chosen},
    drive,
    exit::Exit,
    failure::Failure,
    fleet::{self, Selection},
    interrupt::Interrupt,
    mend::{MendPlanner, Mendable},
    names,
    options::Options,
    record::{Opening, Recorder},
    report::{RunHeader, drift_text},
};

type Work = Pin<Box<dyn Future<Output = Result<Exit, Failure>> + Send>>;

/// The mending of a watch.
pub struct Mending<'a> {
    options: &'a Options,
    asked: &'a Asked<'a>,
    chosen: &'a Chosen,
    interrupt: &'a Interrupt,
    fights: Fights,
    work: Option<Work>,
}

impl<'a> Mending<'a> {
    pub fn new(
        options: &'a Options,
        asked: &'a Asked<'a>,
        chosen: &'a Chosen,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self { options, asked, chosen, interrupt, fights: Fights::default(), work: None }
    }

    /// Whether something is being mended.
    pub fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// Resolves when what is being mended is done; never where nothing is.
    pub async fn ended(&mut self) -> Result<Exit, Failure> {
        let Some(work) = &mut self.work else { return std::future::pending().await };
        let ended = work.await;
        self.work = None;
        ended
    }

    /// Waits for what is being mended.
    pub async fn finish(mut self) {
        if self.is_busy()
            && let Err(failure) = self.ended().await
        {
            failure.show();
        }
    }

    /// Begins to mend what has drifted; `tell` takes what is left alone and why.
    pub fn start(&mut self, picture: &Picture, mut tell: impl FnMut(&str, &str)) {
        let now = Instant::now();
        let mut mendable = Mendable::default();
        let mut mended: Vec<(String, String)> = Vec::new();
        let mut left: Vec<(String, String)> = Vec::new();
        for (host, task, verdict) in picture.drifted() {
            let key = (host.to_string(), task.to_string());
            match self.fights.may(host, task, now) {
                Chance::Mend => mended.push(key),
                Chance::Leave => left.push(key),
                Chance::GiveUp => {
                    let traces = drift_text::sentences(verdict).into_iter().skip(1).collect::<Vec<_>>();
                    let traces =
                        if traces.is_empty() { String::new() } else { format!(" ({})", traces.join("; ")) };
                    tell(
                        host,
                        &format!(
                            "{task} was mended 3 times within 10 minutes and has drifted again: somebody or \
                             something there sets it back{traces}. It is left alone until that ends"
                        ),
                    );
                    left.push(key);
                }
            }
        }
        let mut hosts: Vec<&str> = mended.iter().map(|(host, _)| host.as_str()).collect();
        hosts.dedup();
        for host in hosts {
            let leave = |task: &str| left.iter().any(|(other, id)| other == host && id == task);
            if let Some(report) = picture.report(host, leave) {
                mendable.add(&report);
            }
        }
        if mendable.hosts() == 0 {
            return;
        }
        for (host, task) in &mended {
            self.fights.mended(host, task, now);
        }
        match self.begin(Arc::new(mendable)) {
            Ok(work) => self.work = Some(work),
            Err(failure) => failure.show(),
        }
    }

    fn begin(&self, mendable: Arc<Mendable>) -> Result<Work, Failure> {
        let Self { options, asked, chosen, .. } = self;
        let fleet = &chosen.fleet;
        let inventory = fleet.project.inventory();
        let has = |&host: &HostId| mendable.has(inventory.host(host).name());
        let selection = Selection { hosts: chosen.selection.hosts.iter().copied().filter(has).collect() };
        let whole = ProjectPlanner { checks: false, orphans: false, ..chosen.planner(asked.role) };
        let planner: Arc<dyn Planner> = Arc::new(MendPlanner { whole, mendable });
        let mode = Mode::Apply;
        let opening = Opening::new(
            drive::recorded_mode(mode),
            chosen.target.clone(),
            chosen.roles.clone(),
            fleet.addresses(&selection),
        );
        let recorder = Recorder::begin(fleet, &names::holder(), opening).map_err(fleet::state_failure)?;
        let header = RunHeader {
            run: recorder.run().to_string(),
            mode,
            command: "verify",
            hosts: selection.hosts.len(),
            diff: asked.role.diff,
            verbosity: options.verbosity(),
        };
        let reporter = drive::reporter(options, header);
        let mut run = fleet.run(selection, asked.run, mode, recorder.run().to_string(), Some(planner))?;
        run.options.diff = !asked.role.no_diff;
        let interrupt = self.interrupt.clone();
        Ok(Box::pin(async move { drive::drive(run, reporter, Some(recorder), interrupt, |_| {}).await }))
    }
}
