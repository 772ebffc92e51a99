//! Does the work of a rollout on hosts and on this machine, by the same roads as `apply`, `verify`, `run` and `rollback`.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cm_engine::{
    HostEnd, HostReport, Planner, RunEvent, Stop,
    rollout::{Doing, Ended, Hands, Question, ask, run_on_controller},
};
use cm_plan::{FactsBook, Gate, GateKind, HostValues, RolloutHook, RolloutSpec, Written};
use cm_rollout::{Answer, Rollout, Verdict, Work};
use cm_state::RunMode;
use cm_wire::{Facts, Mode, Outcome, Undo};

use super::{
    Asking,
    survey::{self, survey},
};
use crate::{
    chosen::{Asked, Chosen},
    commands::{NoTasks, OneCommand},
    exit::Exit,
    failure::Failure,
    fleet::Selection,
    names,
    options::{Options, RoleArguments, RunArguments},
    record::{Opening, Recorder},
    report::Summary,
};

/// What all work needs to know of the repository; made anew when the targets are computed again.
struct Ground {
    chosen: Chosen,
    spec: RolloutSpec,
    facts: HashMap<String, Arc<Facts>>,
}

/// A run in the record, with what it came to so far.
struct Recorded {
    recorder: Recorder,
    summary: Summary,
}

/// Whoever does the work.
pub struct Crew {
    ground: Mutex<Arc<Ground>>,
    asking: Asking,
    role: RoleArguments,
    run: RunArguments,
    /// The run that all applies belong to.
    applies: Mutex<Option<Recorded>>,
    /// The run that what is taken back belongs to; there is none before something is.
    rollbacks: Mutex<Option<Recorded>>,
    /// The id of the run of the applies.
    id: String,
    /// The names of the hosts of each batch.
    batches: Mutex<Vec<Vec<String>>>,
    /// Ctrl-C twice.
    stop: Stop,
    json: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a host's part came out, as a rollout's answer.
fn answer(report: &HostReport) -> Answer {
    match &report.end {
        HostEnd::Ok => Answer::Applied { changed: false },
        HostEnd::Changed => Answer::Applied { changed: true },
        HostEnd::Unreachable(trouble) => Answer::Unreachable { why: trouble.causes.join(": ") },
        HostEnd::Failed => {
            Answer::Failed { why: failures(report, false).unwrap_or_else(|| "a task failed".into()) }
        }
        HostEnd::TakenBack(trouble) | HostEnd::Invalid(trouble) | HostEnd::Refused(trouble) => {
            Answer::Failed { why: trouble.causes.join(": ") }
        }
        HostEnd::Cancelled => Answer::Failed { why: "it was stopped before it was done".into() },
    }
}

/// The first failures of a host: all, or of checks alone.
fn failures(report: &HostReport, checks: bool) -> Option<String> {
    let told = report.results.iter().filter_map(|result| {
        let label = report.labels.get(result.task as usize)?;
        match &result.outcome {
            Outcome::Failed { error, .. } if label.check || !checks => {
                let what = if label.check { "check" } else { "task" };
                Some(format!("{what} `{}`: {error}", label.id))
            }
            _ => None,
        }
    });
    let told: Vec<String> = told.take(3).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

impl Crew {
    /// A crew for what was surveyed. The run of its applies is begun in the record.
    pub fn new(
        options: &Options,
        chosen: Chosen,
        spec: RolloutSpec,
        facts: HashMap<String, Arc<Facts>>,
        asking: Asking,
        role: RoleArguments,
        run: RunArguments,
    ) -> Result<Self, Failure> {
        let ground = Ground { chosen, spec, facts };
        let applies = recorded(&ground, RunMode::Apply)?;
        let id = applies.recorder.run().to_string();
        Ok(Self {
            ground: Mutex::new(Arc::new(ground)),
            asking,
            role,
            run,
            applies: Mutex::new(Some(applies)),
            rollbacks: Mutex::default(),
            id,
            batches: Mutex::default(),
            stop: Stop::default(),
            json: options.json,
        })
    }

    /// What ends everything at once.
    pub fn with_stop(mut self, stop: &Stop) -> Self {
        // Hosts in work go on to their end when no more are begun.
        self.stop = Stop { now: stop.now.clone(), ..Stop::default() };
        self
    }

    /// The id of the run that all applies belong to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes note of which hosts are in which batch.
    pub fn see(&self, rollout: &Rollout) {
        let names = |batch: &cm_rollout::Batch| {
            batch.nodes.iter().filter_map(|&node| Some(rollout.nodes.get(node)?.name.clone())).collect()
        };
        *lock(&self.batches) = rollout.batches.iter().map(names).collect();
    }

    /// Ends the runs in the record.
    pub fn finish(&self) {
        for run in [&self.applies, &self.rollbacks] {
            if let Some(Recorded { recorder, summary }) = lock(run).take() {
                let exit = Exit::of(&summary, Mode::Apply, false);
                if let Err(error) = recorder.finish(&summary, exit) {
                    anstream::eprintln!("warning: the run could not be recorded: {error}");
                }
            }
        }
    }

    fn ground(&self) -> Arc<Ground> {
        Arc::clone(&lock(&self.ground))
    }

    /// One host's part of a run.
    async fn on_host(
        &self,
        host: &str,
        mode: Mode,
        run: String,
        planner: Arc<dyn Planner>,
        undo: Option<Undo>,
    ) -> Result<HostReport, String> {
        let ground = self.ground();
        let fleet = &ground.chosen.fleet;
        let id = fleet.project.inventory().host_id(host);
        let id = id.ok_or_else(|| format!("`{host}` is not in the inventory"))?;
        let selection = Selection { hosts: vec![id] };
        let told = |failure: Failure| failure.to_string().trim().to_owned();
        let mut run = fleet.run(selection, &self.run, mode, run, Some(planner)).map_err(told)?;
        run.options.undo = undo;
        let (sender, mut events) = cm_engine::event_channel();
        // Where this is given up, what it began is, too.
        let stop = Stop { now: self.stop.now.child_token(), ..Stop::default() };
        let _given_up = stop.now.clone().drop_guard();
        let work = tokio::spawn(cm_engine::run(run, stop, sender));
        let mut ended = None;
        while let Some(event) = events.recv().await {
            match event {
                RunEvent::HostEnded(report) => ended = Some(report),
                RunEvent::Note { host, text } if !self.json => {
                    anstream::eprintln!("{host}: {}", crate::report::one_line(&text));
                }
                _ => {}
            }
        }
        work.await.map_err(|error| format!("a bug of cm: {error}"))?;
        ended.ok_or_else(|| "the host was left out".to_owned())
    }

    fn record(&self, run: &Mutex<Option<Recorded>>, report: HostReport) {
        if let Some(Recorded { recorder, summary }) = lock(run).as_mut() {
            summary.add(&report);
            let written = recorder.event(RunEvent::HostEnded(report)).and_then(|()| recorder.flush());
            if let Err(error) = written {
                anstream::eprintln!("warning: the results of some hosts could not be recorded: {error}");
            }
        }
    }

    async fn apply(&self, node: &str) -> Answer {
        let ground = self.ground();
        let planner = cm_engine::ProjectPlanner { checks: false, ..ground.chosen.planner(&self.role) };
        match self.on_host(node, Mode::Apply, self.id.clone(), Arc::new(planner), None).await {
            Ok(report) => {
                let answer = answer(&report);
                self.record(&self.applies, report);
                answer
            }
            Err(why) => Answer::Failed { why },
        }
    }

    /// Takes back what runs have done, the last one first.
    async fn roll_back(&self, node: &str, runs: &[String]) -> Answer {
        let id = {
            let mut rollbacks = lock(&self.rollbacks);
            if rollbacks.is_none() {
                match recorded(&self.ground(), RunMode::Rollback) {
                    Ok(begun) => *rollbacks = Some(begun),
                    Err(failure) => return Answer::Failed { why: failure.to_string() },
                }
            }
            rollbacks.as_ref().map(|begun| begun.recorder.run().to_string()).unwrap_or_default()
        };
        for run in runs.iter().rev() {
            let undo = Undo::Run { run: run.clone(), later: false, force: false };
            match self.on_host(node, Mode::Apply, id.clone(), Arc::new(NoTasks), Some(undo)).await {
                Ok(report) => {
                    let answer = answer(&report);
                    self.record(&self.rollbacks, report);
                    if !matches!(answer, Answer::Applied { .. }) {
                        return answer;
                    }
                }
                Err(why) => return Answer::Failed { why },
            }
        }
        Answer::Ok
    }

    /// The second look with the checks of the roles, then the gates of nodes. What describes the new version says nothing of a
    /// node that was taken back: of that one only the gates are asked.
    async fn gate_node(&self, node: &str, rolled_back: bool) -> Verdict {
        if !rolled_back {
            let planner = self.ground().chosen.planner(&self.role);
            let looked =
                self.on_host(node, Mode::Verify, format!("{}-gate", self.id), Arc::new(planner), None).await;
            let why = match looked {
                Ok(report) => match answer(&report) {
                    Answer::Applied { changed: false } => None,
                    Answer::Applied { changed: true } => {
                        Some(format!("the second look: {}", differing(&report)))
                    }
                    Answer::Failed { why } | Answer::Unreachable { why } => Some(why),
                    _ => None,
                },
                Err(why) => Some(why),
            };
            if let Some(why) = why {
                return Verdict::Fail { why };
            }
        }
        self.gates(node, false).await
    }

    async fn gates(&self, node: &str, per_batch: bool) -> Verdict {
        let ground = self.ground();
        let mut held = None;
        for gate in ground.spec.gates.iter().filter(|gate| gate.what.per_batch == per_batch) {
            match self.gate(&ground, node, gate).await {
                Verdict::Pass => {}
                fail @ Verdict::Fail { .. } => return fail,
                inconclusive @ Verdict::Inconclusive { .. } => {
                    held.get_or_insert(inconclusive);
                }
            }
        }
        held.unwrap_or(Verdict::Pass)
    }

    async fn gate(&self, ground: &Ground, node: &str, gate: &Written<Gate>) -> Verdict {
        let question = {
            let filled = ground.values(node).and_then(|values| {
                let text =
                    |argument| values.text(gate.role.as_ref(), argument).map_err(|error| ground.told(error));
                Ok(match &gate.what.kind {
                    GateKind::Command(command) => Question::Command(text(command)?),
                    GateKind::Http { url, status, contains } => Question::Http {
                        url: text(url)?,
                        status: *status,
                        contains: contains.as_ref().map(text).transpose()?,
                    },
                    GateKind::Prometheus { url, query, pass, fail } => Question::Prometheus {
                        url: text(url)?,
                        query: text(query)?,
                        pass: pass.clone(),
                        fail: fail.clone(),
                    },
                })
            });
            match filled {
                Ok(question) => question,
                Err(why) => return Verdict::Inconclusive { why },
            }
        };
        ask(question, gate.what.timeout, ground.chosen.fleet.project.root()).await
    }

    /// Runs one of a hook's commands for a node.
    async fn hook(
        &self,
        node: &str,
        hook: usize,
        which: impl Fn(&RolloutHook) -> Option<&cm_plan::Argument>,
    ) -> Ended {
        let failed = |said: String| Ended { status: None, said };
        let ground = self.ground();
        let Some(written) = ground.spec.hooks.get(hook) else {
            return failed(format!("the repository has no hook number {} any more", hook + 1));
        };
        let Some(command) = which(&written.what) else {
            return Ended { status: Some(0), said: String::new() };
        };
        let filled = ground.values(node).and_then(|values| {
            let text =
                |argument| values.text(written.role.as_ref(), argument).map_err(|error| ground.told(error));
            let on = written.what.on.as_ref().map(text).transpose()?;
            Ok((text(command)?, on.unwrap_or_else(|| "node".to_owned())))
        });
        let (command, on) = match filled {
            Ok(filled) => filled,
            Err(why) => return failed(why),
        };
        let limit = written.what.timeout;
        match on.as_str() {
            "controller" => run_on_controller(&command, ground.chosen.fleet.project.root(), limit).await,
            "node" => self.command_on(node, command, limit).await,
            host => self.command_on(host, command, limit).await,
        }
    }

    /// A command on a host, as `cm run` does it.
    async fn command_on(&self, host: &str, command: String, limit: Duration) -> Ended {
        let failed = |said: String| Ended { status: None, said };
        let planner = Arc::new(OneCommand { command });
        let work = self.on_host(host, Mode::Apply, format!("{}-hook", self.id), planner, None);
        let report = match tokio::time::timeout(limit, work).await {
            Ok(Ok(report)) => report,
            Ok(Err(why)) => return failed(why),
            Err(_) => return failed(format!("on `{host}`: it was not done within {limit:?}")),
        };
        let Some(result) = report.results.first() else {
            return match answer(&report) {
                Answer::Unreachable { why } | Answer::Failed { why } => failed(format!("`{host}`: {why}")),
                _ => failed(format!("`{host}` gave no answer")),
            };
        };
        match (&result.output, &result.outcome) {
            (Some(output), _) => {
                let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
                Ended { status: Some(output.status), said: said.clone() }
            }
            (None, Outcome::Failed { error, .. }) => failed(format!("on `{host}`: {error}")),
            (None, _) => Ended { status: Some(0), said: String::new() },
        }
    }

    /// Reads the repository again and asks all hosts.
    async fn targets(&self) -> Result<Answer, Failure> {
        let (asking, role, run) = (self.asking.clone(), self.role.clone(), self.run.clone());
        let root = self.ground().chosen.fleet.project.root().to_owned();
        let chosen = tokio::task::spawn_blocking(move || choose_again(&asking, &role, &run, root)).await;
        let chosen = chosen.map_err(|error| Failure::because("a bug of cm", &error))??;
        let spec = chosen.rollout(&self.asking.overrides(&self.ground().spec.strategy))?;
        if spec.hooks().hooks != self.ground().spec.hooks().hooks {
            return Err(Failure::new("the hooks of the roles have changed since the rollout began"));
        }
        let survey = survey(&chosen, &spec, &self.role, &self.run).await?;
        let targets = survey.targets;
        *lock(&self.ground) = Arc::new(Ground { chosen, spec, facts: survey.facts });
        Ok(Answer::Targets(targets))
    }

    async fn does(&self, work: Work) -> Answer {
        let plain = |ended: Ended| match ended.status {
            Some(0) => Answer::Ok,
            _ => Answer::Failed { why: ended.told() },
        };
        let first_of = |batch: usize| lock(&self.batches).get(batch).and_then(|nodes| nodes.first().cloned());
        let nobody = || Answer::Failed { why: "the batch has no nodes".to_owned() };
        match work {
            Work::AskAlready { node, hook } => {
                let ended = self.hook(&node, hook, |hook| hook.already.as_ref()).await;
                match ended.status {
                    Some(status) => Answer::Already(status == 0),
                    None => Answer::Failed { why: ended.told() },
                }
            }
            Work::BeforeNode { node, hook } => {
                plain(self.hook(&node, hook, |hook| hook.before_node.as_ref()).await)
            }
            Work::AfterNode { node, hook } => {
                plain(self.hook(&node, hook, |hook| hook.after_node.as_ref()).await)
            }
            Work::BeforeBatch { batch, hook } => match first_of(batch) {
                Some(node) => plain(self.hook(&node, hook, |hook| hook.before_batch.as_ref()).await),
                None => nobody(),
            },
            Work::AfterBatch { batch, hook } => match first_of(batch) {
                Some(node) => plain(self.hook(&node, hook, |hook| hook.after_batch.as_ref()).await),
                None => nobody(),
            },
            Work::Apply { node, .. } => self.apply(&node).await,
            Work::GateNode { node, rolled_back } => Answer::Gate(self.gate_node(&node, rolled_back).await),
            Work::GateBatch { batch } => match first_of(batch) {
                Some(node) => Answer::Gate(self.gates(&node, true).await),
                None => nobody(),
            },
            Work::RollBackNode { node, runs } => self.roll_back(&node, &runs).await,
            Work::Targets => match self.targets().await {
                Ok(answer) => answer,
                Err(failure) => Answer::Failed { why: failure.to_string().trim().to_owned() },
            },
        }
    }
}

impl Ground {
    /// What texts see for a node.
    fn values(&self, node: &str) -> Result<HostValues, String> {
        let project = &self.chosen.fleet.project;
        let id = project.inventory().host_id(node);
        let id = id.ok_or_else(|| format!("`{node}` is not in the inventory any more"))?;
        let mut others = self.chosen.fleet.remembered_facts();
        others.extend(self.facts.iter().map(|(name, facts)| (name.clone(), Arc::clone(facts))));
        let own = others.get(node).cloned();
        Ok(project.values_of(id, own.as_deref(), FactsBook::new(others)))
    }

    fn told(&self, diagnostics: cm_syntax::Diagnostics) -> String {
        diagnostics.render(self.chosen.fleet.project.sources(), cm_syntax::Style::plain()).trim().to_owned()
    }
}

/// What still differs on a host.
fn differing(report: &HostReport) -> String {
    let differs = |result: &&cm_wire::TaskResult| matches!(result.outcome, Outcome::Changed);
    let tasks = report.results.iter().filter(differs);
    let names = tasks.filter_map(|result| Some(format!("`{}`", report.labels.get(result.task as usize)?.id)));
    let names: Vec<String> = names.take(3).collect();
    format!("{} is not as wanted", names.join(", "))
}

/// A run in the record for all hosts of the ground.
fn recorded(ground: &Ground, mode: RunMode) -> Result<Recorded, Failure> {
    let chosen = &ground.chosen;
    let addresses = chosen.fleet.addresses(&chosen.selection);
    let mut opening = Opening::new(mode, chosen.target.clone(), chosen.roles.clone(), addresses);
    opening.keeps = mode == RunMode::Apply;
    let recorder = Recorder::begin(&chosen.fleet, &names::holder(), opening);
    Ok(Recorded { recorder: recorder.map_err(crate::fleet::state_failure)?, summary: Summary::default() })
}

/// Reads the repository again and chooses as was asked at the beginning.
fn choose_again(
    asking: &Asking,
    role: &RoleArguments,
    run: &RunArguments,
    root: PathBuf,
) -> Result<Chosen, Failure> {
    let options = Options::of_repository(root, asking.inventory.clone());
    let asked = Asked { command: "rollout", words: &asking.words, role, run, everywhere: false };
    asked.choose(&options)
}

impl Hands for Crew {
    fn work(self: Arc<Self>, work: Work) -> Doing<Answer> {
        Box::pin(async move { self.does(work).await })
    }

    fn reachable(self: Arc<Self>, nodes: Vec<String>) -> Doing<Option<Vec<String>>> {
        Box::pin(async move {
            let ground = self.ground();
            let inventory = ground.chosen.fleet.project.inventory();
            // Of one that the inventory has no more nothing is learned.
            let hosts: Option<Vec<_>> = nodes.iter().map(|name| inventory.host_id(name)).collect();
            let selection = Selection { hosts: hosts? };
            let found = survey::ask(&ground.chosen.fleet, &selection, &self.run).await.ok()?;
            Some(found.into_keys().collect())
        })
    }
}
