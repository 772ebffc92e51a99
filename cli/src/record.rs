//! What a run leaves in the state database.

use std::{collections::HashSet, sync::Arc};

use cm_engine::{HostEnd, HostReport, RunEvent};
use cm_state::{
    AuditEntry, ControllerId, HostRecord, HostResult, HostState, LastChange, NewRun, NodeUpdate, RedbStore,
    Resource, Retention, RunFinish, RunId, RunMode, RunState, StateError, Store, TaskChange, TaskOutcome,
    TaskOutput, TaskResult, Timestamp,
};
use cm_wire::Outcome;

use crate::{
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet},
    names, remembered,
    report::{Summary, drift_text},
    retention,
};

/// Hosts written in one transaction at most; fewer when the run pauses.
const BATCH: usize = 64;

/// Records one run.
pub struct Recorder {
    store: RedbStore,
    run: RunId,
    mode: RunMode,
    keeps: bool,
    retention: Retention,
    waiting: Vec<HostRecord>,
    host_keys: std::collections::HashMap<Arc<str>, String>,
    addresses: std::collections::HashMap<String, String>,
    ended: bool,
}

/// What a run is, for its record.
pub struct Opening {
    /// What it does.
    pub mode: RunMode,
    /// The target as typed.
    pub target: String,
    /// Roles as typed; empty: what belongs on each host.
    pub roles: Vec<String>,
    /// Hosts with their addresses.
    pub hosts: Vec<(String, String)>,
    /// The command, where it is not to be recorded as typed.
    pub command_line: String,
    /// Whether the tasks are those of roles that stay: then they are what is known of each resource.
    pub keeps: bool,
}

impl Opening {
    /// A run as typed.
    pub fn new(mode: RunMode, target: String, roles: Vec<String>, hosts: Vec<(String, String)>) -> Self {
        Self { mode, target, roles, hosts, command_line: command_line(), keeps: mode != RunMode::Run }
    }
}

impl Recorder {
    /// Opens the database, closes runs that a dead controller left open, and begins a new run.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn begin(fleet: &Fleet, user: &str, opening: Opening) -> Result<Self, StateError> {
        let store = fleet::open_store(&fleet.state_file())?;
        let run = store.begin_run(&NewRun {
            command_line: opening.command_line,
            user: user.to_owned(),
            target: opening.target,
            roles: opening.roles,
            mode: opening.mode,
            started: Timestamp::now(),
            controller: ControllerId::current(),
            hosts: opening.hosts.iter().map(|(name, _)| name.clone()).collect(),
        })?;
        Ok(Self {
            store,
            run,
            mode: opening.mode,
            keeps: opening.keeps,
            retention: retention::rules(fleet.project.settings()),
            waiting: Vec::new(),
            host_keys: std::collections::HashMap::new(),
            addresses: opening.hosts.into_iter().collect(),
            ended: false,
        })
    }

    /// [`Recorder::begin`] while something else is done that does not need the record, such as finding out how to
    /// reach the hosts: a record that lies safely on the disk takes its time.
    ///
    /// # Errors
    /// Those of the beginning first, then those of the other work.
    pub fn begin_beside<T>(
        fleet: &Fleet,
        user: &str,
        opening: Opening,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(Self, T), Failure> {
        std::thread::scope(|scope| {
            let beginning = scope.spawn(|| Self::begin(fleet, user, opening));
            let done = work();
            let recorder = beginning.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((recorder.map_err(fleet::state_failure)?, done?))
        })
    }

    /// The run's id.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Takes an event; hosts that have ended are written in batches.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn event(&mut self, event: RunEvent) -> Result<(), StateError> {
        match event {
            RunEvent::Connected { host, host_key: Some(key), .. } => {
                self.host_keys.insert(host, key);
            }
            RunEvent::HostEnded(report) => {
                let record = self.host_record(&report);
                self.waiting.push(record);
                if let Some(ledger) = &report.ledger {
                    // What is known of the host must be there before it is compared.
                    self.flush()?;
                    remembered::follow(&self.store, &report.host, ledger, self.mode == RunMode::Cleanup)?;
                }
                if self.waiting.len() >= BATCH {
                    self.flush()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether results of hosts wait to be written.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn flush(&mut self) -> Result<(), StateError> {
        self.store.record_hosts(&self.run, &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Ends the run's record.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn finish(mut self, summary: &Summary, exit: Exit) -> Result<(), StateError> {
        let state = match exit {
            Exit::Interrupted => RunState::Interrupted,
            Exit::Failed | Exit::Unreachable | Exit::Input => RunState::Failed,
            _ if summary.hosts.changed > 0 => RunState::Changed,
            _ => RunState::Ok,
        };
        let finish = RunFinish { state, finished: Timestamp::now(), error: None };
        self.store.finish_run(&self.run, &self.waiting, &finish)?;
        self.waiting.clear();
        self.ended = true;
        retention::tidy(&self.store, self.retention).map(|_| ())
    }

    fn host_record(&mut self, report: &HostReport) -> HostRecord {
        let now = Timestamp::now();
        let started = now.plus_micros(-i64::try_from(report.took).unwrap_or(0));
        let (state, error) = match &report.end {
            HostEnd::Ok => (HostState::Ok, None),
            HostEnd::Changed => (HostState::Changed, None),
            HostEnd::Failed => (HostState::Failed, None),
            HostEnd::Unreachable(why) => (HostState::Unreachable, Some(why.causes.join(": "))),
            HostEnd::Invalid(why) | HostEnd::Refused(why) | HostEnd::TakenBack(why) => {
                (HostState::Failed, Some(why.causes.join(": ")))
            }
            HostEnd::Cancelled => (HostState::Interrupted, None),
        };
        let tasks: Vec<TaskResult> =
            in_order(&report.results).into_iter().filter_map(|result| task_result(report, result)).collect();
        let resources = if self.keeps { self.resources(report, &tasks, now) } else { Vec::new() };
        let node = report.facts.as_ref().map(|facts| NodeUpdate {
            address: self.addresses.get(&*report.host).cloned(),
            seen: Some(now),
            host_key: self.host_keys.remove(&report.host),
            boot_id: Some(facts.boot_id.clone()),
            // Facts are plain data: they always become JSON.
            facts: serde_json::to_string(facts.as_ref()).ok(),
            ..NodeUpdate::new(report.host.to_string())
        });
        HostRecord {
            result: HostResult {
                host: report.host.to_string(),
                state,
                error,
                started,
                duration_us: report.took,
                tasks,
            },
            node,
            resources,
        }
    }

    /// What is known of each resource after this run; a plan that would change something has seen that it differs.
    fn resources(&self, report: &HostReport, tasks: &[TaskResult], now: Timestamp) -> Vec<Resource> {
        let added: HashSet<&str> =
            report.labels.iter().filter(|label| label.added).map(|label| &*label.id).collect();
        tasks
            .iter()
            .filter(|task| added.is_empty() || !added.contains(&*task.id))
            .filter(|task| !matches!(task.outcome, TaskOutcome::Cancelled | TaskOutcome::Skipped))
            .map(|task| {
                let changed = self.mode == RunMode::Apply && task.outcome == TaskOutcome::Changed;
                Resource {
                    id: task.id.clone(),
                    role: task.role.clone(),
                    wanted: None,
                    seen: None,
                    outcome: task.outcome,
                    changed: changed.then(|| LastChange { at: now, run: self.run.clone() }),
                }
            })
            .collect()
    }
}

impl Drop for Recorder {
    /// A run that is given up on the way (an error before the first host, a panic) must not stay open.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let finish = RunFinish {
            state: RunState::Aborted,
            finished: Timestamp::now(),
            error: Some("cm gave it up because of an error of its own".to_owned()),
        };
        // Where even that cannot be written, the next `cm` finds this process gone and ends the run.
        let _ = self.store.finish_run(&self.run, &self.waiting, &finish);
    }
}

/// Results in the order of the tasks: then hosts of one role name theirs by one list.
fn in_order(results: &[cm_wire::TaskResult]) -> Vec<&cm_wire::TaskResult> {
    let mut results: Vec<&cm_wire::TaskResult> = results.iter().collect();
    results.sort_by_key(|result| result.task);
    results
}

fn task_result(report: &HostReport, result: &cm_wire::TaskResult) -> Option<TaskResult> {
    let label = report.labels.get(result.task as usize)?;
    let name = |task: &u32| report.labels.get(*task as usize).map(|label| label.id.to_string());
    let (outcome, error, hint, because) = match &result.outcome {
        Outcome::Ok => (TaskOutcome::Ok, None, None, Vec::new()),
        Outcome::Changed => {
            let verdict = report.verdicts.get(&result.task);
            let why = verdict.map(|verdict| drift_text::sentences(verdict)).unwrap_or_default();
            (TaskOutcome::Changed, None, None, why)
        }
        Outcome::Failed { error, hint } => {
            (TaskOutcome::Failed, Some(error.clone()), hint.clone(), Vec::new())
        }
        Outcome::Skipped { because } => {
            (TaskOutcome::Skipped, None, None, name(because).into_iter().collect())
        }
        Outcome::Unknown { because } => {
            (TaskOutcome::Unknown, None, None, because.iter().filter_map(name).collect())
        }
        Outcome::Cancelled => (TaskOutcome::Cancelled, None, None, Vec::new()),
    };
    let change = |change: &cm_wire::Change| TaskChange {
        attribute: change.attribute.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
        diff: change.diff.clone(),
    };
    Some(TaskResult {
        id: Arc::clone(&label.id),
        role: Some(Arc::clone(&label.role)).filter(|role| !role.is_empty()),
        outcome,
        changes: result.changes.iter().map(change).collect(),
        output: result.output.as_ref().map(|output| TaskOutput {
            status: output.status,
            stdout: output.stdout.clone(),
            stderr: output.stderr.clone(),
        }),
        error,
        hint,
        because,
        started_us: Some(result.started),
        duration_us: result.took,
        attempts: result.attempts,
    })
}

/// The line of the audit log for this command, which is no run.
pub fn audit_line() -> AuditEntry {
    AuditEntry { at: Timestamp::now(), who: names::holder(), what: command_line(), run: None }
}

/// The command as typed, for the record. Values given by `--set` may be secrets: only their names are kept.
pub fn command_line() -> String {
    let mut words = vec!["cm".to_owned()];
    let mut value_follows = false;
    for word in std::env::args().skip(1) {
        words.push(if value_follows {
            hide_value(&word)
        } else if let Some(setting) = word.strip_prefix("--set=") {
            format!("--set={}", hide_value(setting))
        } else {
            word.clone()
        });
        value_follows = word == "--set";
    }
    words.join(" ")
}

fn hide_value(setting: &str) -> String {
    format!("{}=…", setting.split('=').next().unwrap_or_default())
}
