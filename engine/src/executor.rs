//! One host's part of a run: connect, hear its facts, send its catalog, serve its contents, collect its results.

mod confirm;
mod judging;
mod link;
mod numbers;
mod outgoing;
mod reboot;
mod say;
mod trouble;
mod watching;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use cm_plan::{ContentSource, Waivers};
use cm_transport::Connection;
use cm_wire::{
    AddedTask, Begin, Change, Digest, Done, Event, Facts, FromAgent, Looks, Mode, Outcome, Resumed, Task,
    TaskResult,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinSet,
    time::{Duration, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    HostCatalog, HostEnd, HostReport, NodeLedger, Orphan, Planner, Promise, Promises, RunEvent, TaskLabel,
    Trouble,
    bounds::{Bounds, Excess},
    dispatcher::Shared,
    ledger, promise,
    session::{AgentError, FromNode},
    target::HostTarget,
};

use self::{
    confirm::{Confirmation, confirm},
    judging::{Judging, changed_all_the_same},
    link::Link,
    numbers::Numbers,
    say::{send_catalog, speak},
    trouble::{LOST, refused, told},
};

/// A host that is restarted is gone after this much silence; its agent says something every five seconds.
const GOING_DOWN: Duration = Duration::from_secs(15);
/// Time that a node has to take what was being sent to it when its run ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The longest that a new connection is tried for, whatever the node says, in seconds.
const LONGEST_GUARD: u32 = 3600;
/// The module whose tasks restart the host.
const REBOOT: &str = "reboot";

pub(crate) use watching::watch_host;

/// Runs one host to its end.
pub(crate) async fn run_host(target: HostTarget, shared: Arc<Shared>, permit: OwnedSemaphorePermit) {
    let start = Instant::now();
    let host = Arc::clone(&target.name);
    let mut work = Work::new(&host, &shared);
    let run = work.run(&target, permit, start);
    let end = tokio::select! {
        end = run => end,
        () = shared.stop_now.cancelled() => HostEnd::Cancelled,
        () = shared.deadline() => HostEnd::Unreachable(
            Trouble::new("gave up on", format!("it was not done within the {} s of --timeout", shared.options.timeout.map_or(0, |limit| limit.as_secs())))
                .hint(Some("its agent stops by itself after the tasks that run; the next run goes on".into())),
        ),
    };
    // A host that ends without having told its facts must not keep others waiting.
    shared.facts.give(&host, work.facts.clone()).await;
    let report = HostReport {
        host,
        end,
        labels: work.labels,
        results: work.results,
        verdicts: work.judging.verdicts,
        orphans: work.orphans,
        ledger: work.remembers,
        took: start.elapsed().as_micros() as u64,
        facts: work.facts,
    };
    shared.tell(RunEvent::HostEnded(report)).await;
}

/// Only asks a host for its facts, ahead of its turn; whether it can be reached is told at its turn.
pub(crate) async fn ask_facts(target: HostTarget, shared: Arc<Shared>, _permit: OwnedSemaphorePermit) {
    let ask = async {
        let link = Link::open(&target, &shared).await.ok()?;
        let facts = Arc::clone(&link.facts);
        link.close().await;
        Some(facts)
    };
    let facts = tokio::select! {
        facts = ask => facts,
        () = shared.stop.cancelled() => None,
        () = shared.deadline() => None,
    };
    shared.facts.give(&target.name, facts).await;
}

struct Work {
    host: Arc<str>,
    shared: Arc<Shared>,
    labels: Arc<[TaskLabel]>,
    results: Vec<TaskResult>,
    facts: Option<Arc<Facts>>,
    orphans: Vec<Orphan>,
    remembers: Option<NodeLedger>,
    /// Roles whose orphans this run takes back.
    pruned: Vec<String>,
    guarded: Guarded,
    /// The digest of its tasks, where a promise is asked for.
    catalog: Option<Digest>,
    judging: Judging,
}

/// What is asked of a host.
struct Catalog {
    begin: Begin,
    tasks: Vec<Task>,
    contents: Arc<HashMap<Digest, ContentSource>>,
}

/// Guarded changes and the proofs that they did no harm.
#[derive(Default)]
struct Guarded {
    /// Tasks that are guarded.
    tasks: HashSet<u32>,
    /// How often the node has asked for a new connection.
    asked: usize,
    /// Seconds it gave for the last.
    limit: u32,
    confirming: JoinSet<Confirmation>,
}

impl Guarded {
    fn of(tasks: &[Task]) -> Self {
        let guarded = tasks.iter().enumerate().filter(|(_, task)| task.guard > 0);
        Self { tasks: guarded.map(|(index, _)| index as u32).collect(), ..Self::default() }
    }
}

/// How a session came to its end.
enum Heard {
    /// With the host's part of the run.
    Ended(HostEnd),
    /// A task restarts the host; it will report these changes.
    Rebooting { task: u32, changes: Vec<Change> },
}

impl Work {
    fn new(host: &Arc<str>, shared: &Arc<Shared>) -> Self {
        Self {
            host: Arc::clone(host),
            shared: Arc::clone(shared),
            labels: Vec::new().into(),
            results: Vec::new(),
            facts: None,
            orphans: Vec::new(),
            remembers: None,
            pruned: Vec::new(),
            guarded: Guarded::default(),
            catalog: None,
            judging: Judging::default(),
        }
    }

    async fn run(&mut self, target: &HostTarget, permit: OwnedSemaphorePermit, start: Instant) -> HostEnd {
        if self.shared.stop.is_cancelled() {
            return HostEnd::Cancelled;
        }
        self.shared.tell(RunEvent::Connecting { host: Arc::clone(&self.host) }).await;
        match link::connect(target, &self.shared).await {
            Ok(connection) => self.serve(connection, target, permit, start).await,
            Err(trouble) => HostEnd::Unreachable(trouble),
        }
    }

    /// All that comes after the connection.
    async fn serve(
        &mut self,
        connection: Connection,
        target: &HostTarget,
        permit: OwnedSemaphorePermit,
        start: Instant,
    ) -> HostEnd {
        let mut link = match Link::over(connection, target, &self.shared).await {
            Ok(link) => link,
            Err(trouble) => return HostEnd::Unreachable(trouble),
        };
        self.facts = Some(Arc::clone(&link.facts));
        let connected = RunEvent::Connected {
            host: Arc::clone(&self.host),
            agent_sent: link.sent,
            took: start.elapsed().as_micros() as u64,
            facts: Arc::clone(&link.facts),
            host_key: link.host_key.clone(),
        };
        self.shared.tell(connected).await;
        self.shared.facts.give(&self.host, Some(Arc::clone(&link.facts))).await;
        let (end, mut link) = match self.catalog(&mut link, permit).await {
            Ok((catalog, permit)) => {
                let done = self.work(link, target, catalog).await;
                drop(permit);
                done
            }
            Err(end) => (end, Some(link)),
        };
        let end = self.settled(end, target).await;
        let took_back =
            self.shared.options.mode == Mode::Apply && self.labels.iter().any(|label| label.added);
        if let Some(link) = link.as_mut().filter(|_| took_back) {
            // Without an answer the record keeps what it knew.
            self.remembers = self.ledger(link).await.ok();
        }
        if let Some(link) = link {
            link.close().await;
        }
        end
    }

    /// Makes the host's catalog; an end where there is none to run.
    async fn catalog(
        &mut self,
        link: &mut Link,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Catalog, Option<OwnedSemaphorePermit>), HostEnd> {
        let Some(planner) = self.shared.planner.clone() else {
            if self.shared.options.ledger {
                let ledger = self.ledger(link).await?;
                self.shared.tell(RunEvent::Ledger { host: Arc::clone(&self.host), ledger }).await;
            }
            return Err(HostEnd::Ok);
        };
        let permit = if planner.needs_other_facts() {
            // Waiting for others must not keep them from starting.
            drop(permit);
            self.shared.facts.complete().await;
            Arc::clone(&self.shared.forks).acquire_owned().await.ok()
        } else {
            Some(permit)
        };
        let ledger = if planner.needs_ledger() { self.ledger(link).await? } else { NodeLedger::default() };
        let others = self.shared.facts.known().await;
        let catalog = planner.catalog_with(&self.host, &link.facts, &others, &ledger).map_err(|failure| {
            HostEnd::Invalid(Trouble::new("could not compile the roles of", failure.text))
        })?;
        drop(others);
        let HostCatalog { tasks, labels, contents, redact, whole_roles, prune, notes } = catalog;
        self.labels = labels.into();
        if self.shared.options.mode != Mode::Verify {
            self.pruned.clone_from(&prune);
        }
        for text in notes {
            self.shared.tell(RunEvent::Note { host: Arc::clone(&self.host), text }).await;
        }
        self.shared
            .tell(RunEvent::Planned { host: Arc::clone(&self.host), labels: Arc::clone(&self.labels) })
            .await;
        let looks = self.looks(&tasks)?;
        let begin = Begin { redact, whole_roles, prune, looks, ..self.shared.begin() };
        Ok((Catalog { begin, tasks, contents: Arc::new(contents) }, permit))
    }

    /// What the node is to do with what its first look finds; an end where the catalog is not the promised one.
    fn looks(&mut self, tasks: &[Task]) -> Result<Looks, HostEnd> {
        let held = match &self.shared.options.promises {
            Promises::None => return Ok(Looks::Untold),
            Promises::Told => {
                self.catalog = Some(promise::digest(tasks, &self.labels));
                return Ok(Looks::Told);
            }
            Promises::Held(held) => held,
        };
        let refused = |why: &str| HostEnd::Refused(trouble::moved(why, Vec::new()));
        let promise = held.get(&*self.host).ok_or_else(|| refused("it is not part of the plan"))?;
        if promise.catalog != promise::digest(tasks, &self.labels) {
            return Err(refused(
                "what is wanted of it is not what was planned: the repository, variables or facts have changed",
            ));
        }
        Ok(Looks::Expected(promise.looks.clone()))
    }

    async fn ledger(&self, link: &mut Link) -> Result<NodeLedger, HostEnd> {
        let Some(to) = &mut link.to else { return Ok(NodeLedger::default()) };
        ledger::ask(to, &mut link.from).await.map_err(|error| HostEnd::Unreachable(told(&error)))
    }

    /// Runs the catalog to its end, over further connections where its tasks restart the host.
    async fn work(
        &mut self,
        mut link: Link,
        target: &HostTarget,
        mut catalog: Catalog,
    ) -> (HostEnd, Option<Link>) {
        // Labels, and so tasks, are numbered in u32 on the wire.
        let mut numbers = Numbers {
            labelled: self.labels.len() as u32,
            sent: catalog.tasks.len() as u32,
            added_at: self.labels.len() as u32,
        };
        self.guarded = Guarded::of(&catalog.tasks);
        let restarts = catalog.tasks.iter().any(|task| task.module == REBOOT);
        let mut bounds = Bounds::new(self.labels.len(), catalog.contents.len());
        let mut restarted = HashSet::new();
        loop {
            let tasks = if restarts { catalog.tasks.clone() } else { std::mem::take(&mut catalog.tasks) };
            let heard = self.session(&mut link, target, &catalog, tasks, numbers, &mut bounds).await;
            let (task, changes) = match heard {
                Heard::Ended(end) => return (end, Some(link)),
                Heard::Rebooting { task, changes } => (task, changes),
            };
            let restarting = catalog.tasks.get(task as usize).filter(|task| task.module == REBOOT);
            let Some(restarting) = restarting.filter(|_| restarted.insert(task)) else {
                return (HostEnd::Unreachable(told(&Excess::Restarts(task).into())), Some(link));
            };
            let limit = reboot::limit(restarting.timeout);
            let boot_id = link.facts.boot_id.clone();
            link.close().await;
            if let Some(task) = self.labels.get(task as usize).cloned() {
                self.shared.tell(RunEvent::Restarting { host: Arc::clone(&self.host), task, limit }).await;
            }
            let gone = Instant::now();
            let back = tokio::select! {
                back = reboot::come_back(target, &self.shared, &boot_id, limit) => back,
                () = self.shared.stop.cancelled() => return (HostEnd::Cancelled, None),
            };
            link = match back {
                Ok(link) => link,
                Err(trouble) => return (HostEnd::Unreachable(trouble), None),
            };
            let took = gone.elapsed().as_micros() as u64;
            self.shared.tell(RunEvent::Back { host: Arc::clone(&self.host), took }).await;
            self.facts = Some(Arc::clone(&link.facts));
            catalog.begin.resumed = Some(Resumed { task, boot_id, changes, done: self.done(numbers) });
            bounds.resume(self.forget_unfinished(numbers));
            numbers.added_at = self.labels.len() as u32;
        }
    }

    /// How the catalog's own tasks have ended so far.
    fn done(&self, numbers: Numbers) -> Vec<(u32, Done)> {
        let ended = |result: &TaskResult| {
            Some(match &result.outcome {
                Outcome::Ok => Done::Ok,
                Outcome::Changed | Outcome::Unknown { .. } => Done::Changed,
                Outcome::Failed { .. } | Outcome::Skipped { .. } => Done::Failed,
                Outcome::Cancelled => return None,
            })
        };
        let own = self.results.iter().filter(|result| result.task < numbers.labelled);
        own.filter_map(|result| Some((result.task, ended(result)?))).collect()
    }

    /// Forgets tasks that the node made itself and has not ended: it makes them again. Also what was cancelled
    /// since the host went down. Tells of each task whether it has ended.
    fn forget_unfinished(&mut self, numbers: Numbers) -> Vec<bool> {
        self.results.retain(|result| result.outcome != Outcome::Cancelled);
        let mut ended = vec![false; self.labels.len()];
        for result in &self.results {
            ended[result.task as usize] = true;
        }
        let mut place = vec![0; ended.len()];
        let mut labels = Vec::with_capacity(ended.len());
        for (index, label) in self.labels.iter().enumerate() {
            place[index] = labels.len() as u32;
            if ended[index] || index < numbers.labelled as usize {
                labels.push(label.clone());
            }
        }
        for result in &mut self.results {
            result.task = place[result.task as usize];
        }
        self.labels = labels.into();
        let mut ended = vec![false; self.labels.len()];
        for result in &self.results {
            ended[result.task as usize] = true;
        }
        ended
    }

    /// All that happens over one connection.
    async fn session(
        &mut self,
        link: &mut Link,
        target: &HostTarget,
        catalog: &Catalog,
        tasks: Vec<Task>,
        numbers: Numbers,
        bounds: &mut Bounds,
    ) -> Heard {
        let Some(mut to) = link.to.take() else { return Heard::Ended(HostEnd::Cancelled) };
        if let Err(error) = send_catalog(&mut to, catalog.begin.clone(), tasks).await {
            return Heard::Ended(self.lost(&mut link.from, &error).await);
        }
        // Its length is bounded by how often a node may ask.
        let (needs, wanted) = mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let shared = Arc::clone(&self.shared);
        let contents = Arc::clone(&catalog.contents);
        let hear = async {
            let heard = self.hear(&mut link.from, target, needs, numbers, bounds).await;
            over.cancel();
            heard
        };
        // The speaker ends when the hearer drops its end of the channel, but it may be at sending something to
        // a node that does not read.
        let speak = async {
            tokio::select! {
                to = speak(to, wanted, contents, shared) => to,
                () = async { over.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => None,
            }
        };
        let (heard, to) = tokio::join!(hear, speak);
        link.to = to;
        heard
    }

    /// The end of a host's part of the run, once it is known whether guarded changes stand.
    async fn settled(&mut self, end: HostEnd, target: &HostTarget) -> HostEnd {
        let mut taken_back = None;
        while let Some(confirmed) = self.guarded.confirming.join_next().await {
            // A confirmation that broke down has confirmed nothing.
            match confirmed {
                Ok(Confirmation::Kept) => {}
                Ok(Confirmation::TakenBack(why)) => taken_back = Some(why),
                Err(error) => taken_back = Some(error.to_string()),
            }
        }
        let Some(why) = taken_back else { return end };
        let changed: Vec<String> = self
            .results
            .iter()
            .filter(|result| self.guarded.tasks.contains(&result.task) && result.outcome != Outcome::Ok)
            .filter_map(|result| Some(format!("`{}`", self.labels.get(result.task as usize)?.id)))
            .collect();
        let changed = if changed.is_empty() { "a guarded task".into() } else { changed.join(", ") };
        let limit = self.guarded.limit;
        let (trouble, remembers) = confirm::lost(target, &self.shared, limit, &changed, &why).await;
        self.remembers = remembers;
        HostEnd::TakenBack(trouble)
    }

    async fn lost(&self, from: &mut FromNode, error: &std::io::Error) -> HostEnd {
        match from.next().await {
            Err(agent) => HostEnd::Unreachable(told(&agent)),
            Ok(FromAgent::Refused(refusal)) => HostEnd::Refused(refused(refusal)),
            Ok(_) => HostEnd::Unreachable(Trouble::new(LOST, error.to_string())),
        }
    }

    /// Reads what the agent says until the run has ended there.
    async fn hear(
        &mut self,
        from: &mut FromNode,
        target: &HostTarget,
        needs: mpsc::UnboundedSender<Digest>,
        numbers: Numbers,
        bounds: &mut Bounds,
    ) -> Heard {
        let broken = |excess: Excess| Heard::Ended(HostEnd::Unreachable(told(&excess.into())));
        // Where a task restarts the host the link ends, by its end or by silence; or the task says why it could not.
        let mut restarting: Option<(u32, Vec<Change>)> = None;
        loop {
            let next = match &restarting {
                None => from.next().await,
                Some(_) => match timeout(GOING_DOWN, from.next()).await {
                    Ok(next) => next,
                    Err(_) => Err(AgentError::Silent { limit: GOING_DOWN, during: "it went down" }),
                },
            };
            match next {
                Ok(FromAgent::Events(events)) => {
                    let mut told = Vec::with_capacity(events.len());
                    for mut event in events {
                        numbers.settle(&mut event);
                        if let Event::Ended(result) = &event
                            && restarting.as_ref().is_some_and(|(task, _)| *task == result.task)
                        {
                            restarting = None;
                        }
                        match bounds.admit(event) {
                            Ok(Some(event)) => self.event(event, bounds, &mut told),
                            Ok(None) => {}
                            Err(excess) => {
                                self.shared.tell_together(told).await;
                                return broken(excess);
                            }
                        }
                    }
                    self.shared.tell_together(told).await;
                }
                Ok(FromAgent::Need(digests)) => {
                    if let Err(excess) = bounds.asked(digests.len()) {
                        return broken(excess);
                    }
                    // The speaker is gone only when the link is; then the next read says so.
                    for digest in digests {
                        let _ = needs.send(digest);
                    }
                }
                Ok(FromAgent::Added(tasks)) => {
                    if let Err(excess) = bounds.added(&tasks) {
                        return broken(excess);
                    }
                    let known = self.labels.len();
                    let label = |task: AddedTask| TaskLabel {
                        id: task.id.into(),
                        role: task.role.into(),
                        place: "the node's journal".into(),
                        check: false,
                        added: true,
                    };
                    self.labels = self.labels.iter().cloned().chain(tasks.into_iter().map(label)).collect();
                    let (host, labels) = (Arc::clone(&self.host), Arc::clone(&self.labels));
                    self.shared.tell(RunEvent::Added { host, labels, from: known }).await;
                }
                Ok(FromAgent::Looked(looks)) => {
                    // Once, and only where it was asked.
                    if let Some(catalog) = self.catalog.take() {
                        let host = Arc::clone(&self.host);
                        let promise = Promise { catalog, looks };
                        self.shared.tell(RunEvent::Promised { host, promise }).await;
                    }
                }
                // A node asks once for each guarded task at most; more would be an endless number of connections.
                Ok(FromAgent::ConfirmWanted { limit }) if self.guarded.asked < self.guarded.tasks.len() => {
                    self.guarded.asked += 1;
                    self.guarded.limit = limit;
                    let host = Arc::clone(&self.host);
                    self.shared.tell(RunEvent::Confirming { host, limit }).await;
                    let wait = Duration::from_secs(u64::from(limit.min(LONGEST_GUARD)));
                    self.guarded.confirming.spawn(confirm(target.clone(), Arc::clone(&self.shared), wait));
                }
                Ok(FromAgent::Rebooting { task, changes }) => restarting = Some((task, changes)),
                Ok(FromAgent::Done) => return Heard::Ended(self.verdict()),
                Ok(FromAgent::Refused(refusal)) => return Heard::Ended(HostEnd::Refused(refused(refusal))),
                // Answers to what is asked elsewhere.
                Ok(
                    FromAgent::Alive
                    | FromAgent::ConfirmWanted { .. }
                    | FromAgent::Confirmed(_)
                    | FromAgent::Ledger { .. }
                    | FromAgent::Watched(_),
                ) => {}
                Ok(FromAgent::Hello(_)) => return broken(Excess::Hello),
                Err(error) => {
                    return match restarting {
                        Some((task, changes)) => Heard::Rebooting { task, changes },
                        None => Heard::Ended(HostEnd::Unreachable(told(&error))),
                    };
                }
            }
        }
    }

    /// Takes an event in, and adds what is to be told of it.
    fn event(&mut self, event: Event, bounds: &mut Bounds, told: &mut Vec<RunEvent>) {
        let host = Arc::clone(&self.host);
        let label = |task: u32| self.labels.get(task as usize).cloned();
        let event = match event {
            Event::Waiting { holder } => Some(RunEvent::Waiting { host, holder }),
            Event::Started { task } => label(task).map(|task| RunEvent::TaskStarted { host, task }),
            Event::Output { task, stream, text } => {
                label(task).map(|task| RunEvent::Output { host, task, stream, text })
            }
            Event::Note(text) => Some(RunEvent::Note { host, text }),
            Event::Orphan { item, task, role } => {
                let pruned = self.pruned.contains(&role);
                let orphan = Orphan { item, task, role, pruned };
                // Bounded like all notices.
                self.orphans.push(orphan.clone());
                Some(RunEvent::Orphan { host, orphan })
            }
            Event::Standing { task, mut standing } => {
                bounds.keep_standing(&mut standing);
                self.judging.hear(task, *standing);
                None
            }
            Event::Ended(result) => {
                self.results.push(bounds.keep(&result));
                let task = label(result.task);
                if let Some(task) = &task
                    && let Some(text) =
                        changed_all_the_same(self.shared.options.mode, &host, task, &result, self.waivers())
                {
                    told.push(RunEvent::Note { host: Arc::clone(&host), text });
                }
                task.map(|task| {
                    let waivers = self.shared.planner.as_deref().and_then(Planner::waivers);
                    let verdict = self.judging.judge(&host, &task, &result, waivers);
                    RunEvent::TaskEnded { host, task, result, verdict }
                })
            }
        };
        told.extend(event);
    }

    /// Drift that is known and let be.
    fn waivers(&self) -> Option<&Waivers> {
        self.shared.planner.as_deref().and_then(Planner::waivers)
    }

    fn verdict(&self) -> HostEnd {
        let mut end = HostEnd::Ok;
        let mut cancelled = self.results.len() < self.labels.len();
        for result in &self.results {
            match &result.outcome {
                Outcome::Failed { .. } => return HostEnd::Failed,
                // What is known and let be is as it may be.
                Outcome::Changed if self.judging.is_waived(result.task) => {}
                Outcome::Changed | Outcome::Unknown { .. } => end = HostEnd::Changed,
                Outcome::Cancelled => cancelled = true,
                Outcome::Ok | Outcome::Skipped { .. } => {}
            }
        }
        if cancelled { HostEnd::Cancelled } else { end }
    }
}

#[cfg(test)]
mod hostile;
