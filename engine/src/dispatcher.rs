//! Many hosts at once: each at its own speed, groups after groups only where the inventory says so.

use std::{sync::Arc, time::Duration};

use cm_transport::Connector;
use cm_wire::{Begin, Looks, Mode, Undo};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    AgentPrograms, EventSender, HostEnd, HostReport, HostTarget, OtherFacts, Planner, Promises, RunEvent,
    executor, facts_pool::FactsPool,
};

/// How a run is to be done.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run's id.
    pub run: String,
    /// Who runs it: `anna@desk`.
    pub holder: String,
    /// What to do.
    pub mode: Mode,
    /// Whether texts of diffs are wanted.
    pub diff: bool,
    /// Stop after the first failure.
    pub fail_fast: bool,
    /// Hosts at work at once.
    pub forks: usize,
    /// Limit of the whole run.
    pub timeout: Option<Duration>,
    /// How long to wait for another run on a node.
    pub lock_wait: Duration,
    /// Hash contents even where the journal says they are as they were.
    pub paranoid: bool,
    /// What nodes take back from their journals.
    pub undo: Option<Undo>,
    /// Bytes that a node's journal may take; 0: the agent's own limit.
    pub journal_limit: u64,
    /// What becomes of what the first looks find.
    pub promises: Promises,
    /// Only ask nodes what they remember; there is no planner then.
    pub ledger: bool,
}

/// All that a run needs.
pub struct Run {
    /// How it is to be done.
    pub options: RunOptions,
    /// The hosts, in stages: a stage begins when all hosts of the one before have ended.
    pub stages: Vec<Vec<HostTarget>>,
    /// Makes the catalogs; none: facts only.
    pub planner: Option<Arc<dyn Planner>>,
    /// Remembered facts of hosts.
    pub remembered: OtherFacts,
    /// The agent's programs.
    pub programs: Arc<AgentPrograms>,
    /// Opens connections.
    pub connector: Arc<Connector>,
}

/// Stops a run from outside.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new task starts, running ones end.
    pub gently: CancellationToken,
    /// Leave everything as it is.
    pub now: CancellationToken,
}

pub(crate) struct Shared {
    pub options: RunOptions,
    pub planner: Option<Arc<dyn Planner>>,
    pub programs: Arc<AgentPrograms>,
    pub connector: Arc<Connector>,
    pub facts: FactsPool,
    pub forks: Arc<Semaphore>,
    pub stop: CancellationToken,
    pub stop_now: CancellationToken,
    until: Option<Instant>,
    events: EventSender,
}

impl Shared {
    /// What the executors of a run share, and its stages.
    pub fn of(run: Run, stop: Stop, events: EventSender) -> (Vec<Vec<HostTarget>>, Arc<Self>) {
        // Where nobody asks for them, facts of thousands of hosts are not gathered: each that is told while a catalog
        // is being made would copy the whole collection.
        let gathered = run.planner.as_ref().is_some_and(|planner| planner.needs_other_facts());
        let hosts = run.stages.iter().flatten().filter(|_| gathered).map(|target| Arc::clone(&target.name));
        let shared = Self {
            facts: FactsPool::new(hosts, run.remembered),
            forks: Arc::new(Semaphore::new(run.options.forks.max(1))),
            until: run.options.timeout.map(|limit| Instant::now() + limit),
            options: run.options,
            planner: run.planner,
            programs: run.programs,
            connector: run.connector,
            stop: stop.gently,
            stop_now: stop.now,
            events,
        };
        (run.stages, Arc::new(shared))
    }

    /// Tells an event; waits when whoever shows and stores them cannot keep up.
    pub async fn tell(&self, event: RunEvent) {
        if self.options.fail_fast && failed(&event) {
            self.stop.cancel();
        }
        self.events.send(vec![event]).await;
    }

    /// Tells what a node has said in one message, none of it the end of a host.
    pub async fn tell_together(&self, events: Vec<RunEvent>) {
        if !events.is_empty() {
            self.events.send(events).await;
        }
    }

    pub fn begin(&self) -> Begin {
        Begin {
            run: self.options.run.clone(),
            holder: self.options.holder.clone(),
            mode: self.options.mode,
            diff: self.options.diff,
            fail_fast: self.options.fail_fast,
            parallel: 0,
            lock_wait: u32::try_from(self.options.lock_wait.as_secs()).unwrap_or(u32::MAX),
            paranoid: self.options.paranoid,
            whole_roles: Vec::new(),
            prune: Vec::new(),
            undo: self.options.undo.clone(),
            journal_limit: self.options.journal_limit,
            resumed: None,
            looks: Looks::Untold,
            redact: Vec::new(),
        }
    }

    /// Resolves when the whole run's time is over; never where it has no limit.
    pub async fn deadline(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

fn failed(event: &RunEvent) -> bool {
    matches!(
        event,
        RunEvent::HostEnded(HostReport {
            end: HostEnd::Failed
                | HostEnd::TakenBack(_)
                | HostEnd::Unreachable(_)
                | HostEnd::Invalid(_)
                | HostEnd::Refused(_),
            ..
        })
    )
}

/// Runs all hosts; returns when each has ended. Every host ends with one [`RunEvent::HostEnded`].
pub async fn run(run: Run, stop: Stop, events: EventSender) {
    let (stages, shared) = Shared::of(run, stop, events);
    let needs_all = shared.planner.as_ref().is_some_and(|planner| planner.needs_other_facts());
    if needs_all && stages.len() > 1 {
        gather_facts(&shared, stages.iter().skip(1).flatten().cloned()).await;
    }
    for stage in stages {
        let mut hosts = JoinSet::new();
        for target in stage {
            // Never closed.
            let Ok(permit) = Arc::clone(&shared.forks).acquire_owned().await else { break };
            hosts.spawn(executor::run_host(target, Arc::clone(&shared), permit));
        }
        while hosts.join_next().await.is_some() {}
    }
}

/// Asks hosts of later stages for their facts first, since templates of the first stage may look at them.
async fn gather_facts(shared: &Arc<Shared>, targets: impl Iterator<Item = HostTarget>) {
    let mut hosts = JoinSet::new();
    for target in targets {
        let Ok(permit) = Arc::clone(&shared.forks).acquire_owned().await else { break };
        hosts.spawn(executor::ask_facts(target, Arc::clone(shared), permit));
    }
    while hosts.join_next().await.is_some() {}
}
