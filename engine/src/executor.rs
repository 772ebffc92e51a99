//! One host's part of a run: connect, hear its facts, send its catalog, serve its contents, collect its results.

use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

use cm_plan::ContentSource;
use cm_transport::Connection;
use cm_wire::{
    AddedTask, Begin, Digest, Event, Facts, FromAgent, Outcome, Refusal, Task, TaskResult, ToAgent,
};
use tokio::{
    io::AsyncReadExt,
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Duration, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    HostCatalog, HostEnd, HostReport, RunEvent, TaskLabel, Trouble,
    bounds::{Bounds, Excess, cut},
    dispatcher::Shared,
    session::{self, AgentError, FromNode, Start, ToNode},
    target::{HostTarget, Reach},
};

/// Contents travel in pieces of this many bytes.
const PIECE: usize = 128 * 1024;
/// The agent counts the controller as gone after 90 s without a word.
const PING: Duration = Duration::from_secs(10);
/// Tasks are sent in frames of at most this many.
const TASKS_IN_A_FRAME: usize = 200;

/// Time that a node has to take what was being sent to it when its run ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The longest reason of a refusal that is told, in bytes.
const REASON: usize = 4096;

const REACH: &str = "could not reach";
const LOST: &str = "lost the agent on";
const REFUSED: &str = "nothing was changed on";

/// Runs one host to its end.
pub(crate) async fn run_host(target: HostTarget, shared: Arc<Shared>, permit: OwnedSemaphorePermit) {
    let start = Instant::now();
    let host = Arc::clone(&target.name);
    let mut work = Work {
        host: Arc::clone(&host),
        shared: Arc::clone(&shared),
        labels: Vec::new().into(),
        results: Vec::new(),
        facts: None,
    };
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
        took: start.elapsed().as_micros() as u64,
        facts: work.facts,
    };
    shared.tell(RunEvent::HostEnded(report)).await;
}

/// Only asks a host for its facts, ahead of its turn; whether it can be reached is told at its turn.
pub(crate) async fn ask_facts(target: HostTarget, shared: Arc<Shared>, _permit: OwnedSemaphorePermit) {
    let work = Work {
        host: Arc::clone(&target.name),
        shared: Arc::clone(&shared),
        labels: Vec::new().into(),
        results: Vec::new(),
        facts: None,
    };
    let ask = async {
        let mut connection = work.connect(&target).await.ok()?;
        let how = Start {
            programs: &shared.programs,
            rights: target.rights,
            password: target.become_password.as_ref(),
        };
        let started = session::start(&mut connection, &how).await.ok()?;
        started.to.close().await;
        Some(Arc::from(started.facts))
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
}

impl Work {
    async fn run(&mut self, target: &HostTarget, permit: OwnedSemaphorePermit, start: Instant) -> HostEnd {
        if self.shared.stop.is_cancelled() {
            return HostEnd::Cancelled;
        }
        self.shared.tell(RunEvent::Connecting { host: Arc::clone(&self.host) }).await;
        match self.connect(target).await {
            Ok(connection) => self.serve(connection, target, permit, start).await,
            Err(trouble) => HostEnd::Unreachable(trouble),
        }
    }

    /// All that happens over one connection.
    async fn serve(
        &mut self,
        mut connection: Connection,
        target: &HostTarget,
        permit: OwnedSemaphorePermit,
        start: Instant,
    ) -> HostEnd {
        let host_key = connection.host_key_fingerprint().map(str::to_owned);
        let how = Start {
            programs: &self.shared.programs,
            rights: target.rights,
            password: target.become_password.as_ref(),
        };
        let started = match session::start(&mut connection, &how).await {
            Ok(started) => started,
            Err(error) => return HostEnd::Unreachable(told(&error)),
        };
        let facts: Arc<Facts> = Arc::from(started.facts);
        self.facts = Some(Arc::clone(&facts));
        let connected = RunEvent::Connected {
            host: Arc::clone(&self.host),
            agent_sent: started.sent,
            took: start.elapsed().as_micros() as u64,
            facts: Arc::clone(&facts),
            host_key,
        };
        self.shared.tell(connected).await;
        self.shared.facts.give(&self.host, Some(Arc::clone(&facts))).await;
        let (end, to) = self.converse(&facts, started.to, started.from, permit).await;
        if let Some(to) = to {
            to.close().await;
        }
        // A link that no longer answers must not hold up the end of the run.
        let _ = tokio::time::timeout(Duration::from_secs(2), connection.close()).await;
        end
    }

    async fn connect(&self, target: &HostTarget) -> Result<Connection, Trouble> {
        let reach = match &target.reach {
            Reach::Local => return Ok(cm_transport::local::connect()),
            Reach::Ssh(reach) => reach,
        };
        let endpoint = reach.endpoint().await.map_err(|error| Trouble {
            what: REACH,
            headline: None,
            causes: chain(&error),
            details: Vec::new(),
            hints: target.place_hint(),
        })?;
        self.shared.connector.connect(&endpoint).await.map_err(|error| {
            let mut hints: Vec<String> = error.hint().into_iter().collect();
            if error.is_temporary() {
                hints.extend(target.place_hint());
            }
            // The standard headline is written by the report, so that hosts with one cause are told together.
            let standard = format!("{REACH} `{}`", self.host);
            let headline = Some(error.to_string()).filter(|text| *text != standard);
            Trouble {
                what: REACH,
                headline,
                causes: chain(&error).into_iter().skip(1).collect(),
                details: error.details(),
                hints,
            }
        })
    }

    async fn converse(
        &mut self,
        facts: &Arc<Facts>,
        mut to: ToNode,
        from: FromNode,
        permit: OwnedSemaphorePermit,
    ) -> (HostEnd, Option<ToNode>) {
        let Some(planner) = self.shared.planner.clone() else { return (HostEnd::Ok, Some(to)) };
        let permit = if planner.needs_other_facts() {
            // Waiting for others must not keep them from starting.
            drop(permit);
            self.shared.facts.complete().await;
            Arc::clone(&self.shared.forks).acquire_owned().await.ok()
        } else {
            Some(permit)
        };
        let others = self.shared.facts.known().await;
        let catalog = match planner.catalog(&self.host, facts, &others) {
            Ok(catalog) => catalog,
            Err(failure) => {
                return (
                    HostEnd::Invalid(Trouble::new("could not compile the roles of", failure.text)),
                    Some(to),
                );
            }
        };
        drop(others);
        let HostCatalog { tasks, labels, contents, redact } = catalog;
        self.labels = labels.into();
        self.shared
            .tell(RunEvent::Planned { host: Arc::clone(&self.host), labels: Arc::clone(&self.labels) })
            .await;
        let begin = Begin { redact, ..self.shared.begin() };
        if let Err(error) = send_catalog(&mut to, begin, tasks).await {
            return (self.lost(from, &error).await, None);
        }
        let mut bounds = Bounds::new(self.labels.len(), contents.len());
        // Its length is bounded by how often a node may ask.
        let (needs, wanted) = mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let shared = Arc::clone(&self.shared);
        let hear = async {
            let end = self.hear(from, needs, &mut bounds).await;
            over.cancel();
            end
        };
        // The speaker ends when the hearer drops its end of the channel, but it may be at sending something to
        // a node that does not read.
        let speak = async {
            tokio::select! {
                to = speak(to, wanted, contents, shared) => to,
                () = async { over.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => None,
            }
        };
        let (end, to) = tokio::join!(hear, speak);
        drop(permit);
        (end, to)
    }

    async fn lost(&self, mut from: FromNode, error: &std::io::Error) -> HostEnd {
        match from.next().await {
            Err(agent) => HostEnd::Unreachable(told(&agent)),
            Ok(FromAgent::Refused(refusal)) => HostEnd::Refused(refused(refusal)),
            Ok(_) => HostEnd::Unreachable(Trouble::new(LOST, error.to_string())),
        }
    }

    /// Reads what the agent says until the run has ended there.
    async fn hear(
        &mut self,
        mut from: FromNode,
        needs: mpsc::UnboundedSender<Digest>,
        bounds: &mut Bounds,
    ) -> HostEnd {
        loop {
            match from.next().await {
                Ok(FromAgent::Events(events)) => {
                    for event in events {
                        match bounds.admit(event) {
                            Ok(Some(event)) => self.event(event, bounds).await,
                            Ok(None) => {}
                            Err(excess) => return HostEnd::Unreachable(told(&excess.into())),
                        }
                    }
                }
                Ok(FromAgent::Need(digests)) => {
                    if let Err(excess) = bounds.asked(digests.len()) {
                        return HostEnd::Unreachable(told(&excess.into()));
                    }
                    // The speaker is gone only when the link is; then the next read says so.
                    for digest in digests {
                        let _ = needs.send(digest);
                    }
                }
                Ok(FromAgent::Added(tasks)) => {
                    if let Err(excess) = bounds.added(&tasks) {
                        return HostEnd::Unreachable(told(&excess.into()));
                    }
                    let label = |task: AddedTask| TaskLabel {
                        id: task.id.into(),
                        role: task.role.into(),
                        place: "the node's journal".into(),
                        check: false,
                    };
                    self.labels = self.labels.iter().cloned().chain(tasks.into_iter().map(label)).collect();
                }
                Ok(FromAgent::Done) => return self.verdict(),
                Ok(FromAgent::Refused(refusal)) => return HostEnd::Refused(refused(refusal)),
                // Read where a run asks for them.
                Ok(
                    FromAgent::Alive
                    | FromAgent::ConfirmWanted { .. }
                    | FromAgent::Confirmed(_)
                    | FromAgent::Rebooting { .. }
                    | FromAgent::Ledger { .. },
                ) => {}
                Ok(FromAgent::Hello(_)) => return HostEnd::Unreachable(told(&Excess::Hello.into())),
                Err(error) => return HostEnd::Unreachable(told(&error)),
            }
        }
    }

    async fn event(&mut self, event: Event, bounds: &mut Bounds) {
        let host = Arc::clone(&self.host);
        let label = |task: u32| self.labels.get(task as usize).cloned();
        let event = match event {
            Event::Waiting { holder } => Some(RunEvent::Waiting { host, holder }),
            Event::Started { task } => label(task).map(|task| RunEvent::TaskStarted { host, task }),
            Event::Output { task, stream, text } => {
                label(task).map(|task| RunEvent::Output { host, task, stream, text })
            }
            Event::Note(text) => Some(RunEvent::Note { host, text }),
            Event::Orphan { item, task, role } => Some(RunEvent::Note {
                host,
                text: format!("{item} is orphaned: role {role} has no {task} any more"),
            }),
            Event::Ended(result) => {
                self.results.push(bounds.keep(&result));
                label(result.task).map(|task| RunEvent::TaskEnded { host, task, result })
            }
        };
        if let Some(event) = event {
            self.shared.tell(event).await;
        }
    }

    fn verdict(&self) -> HostEnd {
        let mut end = HostEnd::Ok;
        let mut cancelled = self.results.len() < self.labels.len();
        for result in &self.results {
            match &result.outcome {
                Outcome::Failed { .. } => return HostEnd::Failed,
                Outcome::Changed | Outcome::Unknown { .. } => end = HostEnd::Changed,
                Outcome::Cancelled => cancelled = true,
                Outcome::Ok | Outcome::Skipped { .. } => {}
            }
        }
        if cancelled { HostEnd::Cancelled } else { end }
    }
}

async fn send_catalog(to: &mut ToNode, begin: Begin, tasks: Vec<Task>) -> std::io::Result<()> {
    to.send_together(std::iter::once(ToAgent::Begin(begin)).chain(frames(tasks)).chain([ToAgent::Seal])).await
}

fn frames(mut tasks: Vec<Task>) -> impl Iterator<Item = ToAgent> {
    std::iter::from_fn(move || {
        if tasks.is_empty() {
            return None;
        }
        let rest = tasks.split_off(tasks.len().min(TASKS_IN_A_FRAME));
        Some(ToAgent::Tasks(std::mem::replace(&mut tasks, rest)))
    })
}

/// Sends what the agent asks for, pings, and passes on a stop; ends with the hearer.
async fn speak(
    mut to: ToNode,
    mut wanted: mpsc::UnboundedReceiver<Digest>,
    contents: HashMap<Digest, ContentSource>,
    shared: Arc<Shared>,
) -> Option<ToNode> {
    let mut ping = interval(PING);
    ping.tick().await;
    let mut told_to_stop = false;
    loop {
        let sent = tokio::select! {
            digest = wanted.recv() => match digest {
                Some(digest) => send_content(&mut to, digest, contents.get(&digest)).await,
                None => return Some(to),
            },
            _ = ping.tick() => to.send(&ToAgent::Ping).await,
            () = shared.stop.cancelled(), if !told_to_stop => {
                told_to_stop = true;
                to.send(&ToAgent::Cancel).await
            }
        };
        if sent.is_err() {
            // The hearer learns why; keep the channel open until it does.
            while wanted.recv().await.is_some() {}
            return None;
        }
    }
}

async fn send_content(
    to: &mut ToNode,
    digest: Digest,
    source: Option<&ContentSource>,
) -> std::io::Result<()> {
    match source {
        Some(ContentSource::Bytes(bytes)) => {
            let mut pieces = bytes.chunks(PIECE).peekable();
            if pieces.peek().is_none() {
                return to.send(&ToAgent::Content { digest, bytes: Vec::new(), last: true }).await;
            }
            while let Some(piece) = pieces.next() {
                let last = pieces.peek().is_none();
                to.send(&ToAgent::Content { digest, bytes: piece.to_vec(), last }).await?;
            }
            Ok(())
        }
        Some(ContentSource::File(path)) => send_file(to, digest, path).await,
        None => {
            let reason = "it is not part of this host's catalog".to_owned();
            to.send(&ToAgent::NoContent { digest, reason }).await
        }
    }
}

async fn send_file(to: &mut ToNode, digest: Digest, path: &Path) -> std::io::Result<()> {
    let refuse =
        |error: std::io::Error| ToAgent::NoContent { digest, reason: format!("{}: {error}", path.display()) };
    let mut file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) => return to.send(&refuse(error)).await,
    };
    loop {
        let mut bytes = Vec::with_capacity(PIECE);
        while bytes.len() < PIECE {
            match file.read_buf(&mut bytes).await {
                Ok(0) => return to.send(&ToAgent::Content { digest, bytes, last: true }).await,
                Ok(_) => {}
                Err(error) => return to.send(&refuse(error)).await,
            }
        }
        to.send(&ToAgent::Content { digest, bytes, last: false }).await?;
    }
}

fn told(error: &AgentError) -> Trouble {
    let what = match error {
        AgentError::Died { .. }
        | AgentError::Session(_)
        | AgentError::Silent { .. }
        | AgentError::Protocol(_) => LOST,
        AgentError::Excess(_) => "broke off with",
        _ => "could not start the agent on",
    };
    Trouble::new(what, error.to_string()).hint(error.hint())
}

fn refused(refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Locked { holder } => {
            Trouble::new(REFUSED, format!("{} holds the node", cut(holder, REASON)))
                .hint(Some("wait for it to end; `--lock-wait SECONDS` waits longer".into()))
        }
        Refusal::State { reason } => Trouble::new(REFUSED, cut(reason, REASON))
            .hint(Some("/var/lib/cm must be writable: `df -h /var/lib/cm` and `mount` on the node".into())),
        Refusal::Undo { reasons, hint } => {
            Trouble { hints: hint.into_iter().collect(), ..Trouble::new(REFUSED, reasons.join("; ")) }
        }
        Refusal::Protocol { reason } => {
            Trouble::new(REFUSED, format!("the agent refused the catalog: {}", cut(reason, REASON)))
                .hint(Some("this is a bug of cm; nothing was changed".into()))
        }
    }
}

/// An error and its causes, outermost first.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

#[cfg(test)]
mod hostile;
