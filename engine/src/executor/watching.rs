//! One host of a watch: connect, look at everything, hear what changes; and again when it was lost.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cm_wire::{Digest, Event, FromAgent, Outcome, TaskResult, Told, Watch, Watched};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Catalog, LAST_WORDS, Link, Work, confirm::once, refused, say, speak, told};
use crate::{
    HostEnd, Planner, Trouble, WatchEvent,
    allowance::Allowance,
    bounds::{Bounds, Excess},
    dispatcher::Shared,
    session::FromNode,
    target::HostTarget,
};

/// A host that was lost is tried again after this time, then after twice of it, and so on …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What an agent may say at once and then each second; it tells a few times a second at most.
const WORDS: (usize, usize) = (1000, 20);
/// Contents it may ask for at once and then each second, for its diffs.
const ASKS: (usize, usize) = (1000, 50);

/// How a connection came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The watch is over.
    Stopped,
    /// For this reason.
    Lost(Trouble),
}

/// Watches one host until the watch is over.
pub(crate) async fn watch_host(
    target: HostTarget,
    shared: Arc<Shared>,
    look_every: Duration,
    events: mpsc::Sender<WatchEvent>,
) {
    let host = Arc::clone(&target.name);
    let mut watching = Watching::new(target, look_every, events);
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let end = tokio::select! {
            end = watching.connection(&shared) => end,
            () = shared.stop_now.cancelled() => End::Stopped,
        };
        // Others wait for the facts of a host only as long as it may still tell them.
        shared.facts.give(&host, None).await;
        let trouble = match end {
            End::Stopped => return,
            End::Lost(trouble) => trouble,
        };
        if begun.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        watching.tell(WatchEvent::Lost { host: Arc::clone(&host), trouble, again_in: pause }).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.stop.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        // The pause stands for further attempts.
        watching.target = once(&watching.target);
    }
}

/// What is known of a host over all its connections.
pub(super) struct Watching {
    target: HostTarget,
    look_every: u32,
    events: mpsc::Sender<WatchEvent>,
    /// What was told last of tasks that are not as wanted, by id.
    differing: HashMap<Arc<str>, Digest>,
    /// It was watched before.
    stood: bool,
}

impl Watching {
    /// A host that was not watched before.
    pub(super) fn new(target: HostTarget, look_every: Duration, events: mpsc::Sender<WatchEvent>) -> Self {
        let look_every = u32::try_from(look_every.as_secs()).unwrap_or(u32::MAX);
        Self { target, look_every, events, differing: HashMap::new(), stood: false }
    }

    async fn tell(&self, event: WatchEvent) {
        // Who no longer listens is stopping.
        let _ = self.events.send(event).await;
    }

    /// One connection from its beginning to its end.
    async fn connection(&mut self, shared: &Arc<Shared>) -> End {
        let permit = tokio::select! {
            permit = Arc::clone(&shared.forks).acquire_owned() => permit.ok(),
            () = shared.stop.cancelled() => return End::Stopped,
        };
        let Some(permit) = permit else { return End::Stopped };
        let opened = tokio::select! {
            opened = Link::open(&self.target, shared) => opened,
            () = shared.stop.cancelled() => return End::Stopped,
        };
        match opened {
            Ok(link) => self.over(link, shared, permit).await,
            Err(trouble) => End::Lost(trouble),
        }
    }

    /// All that comes after the agent was started.
    pub(super) async fn over(
        &mut self,
        mut link: Link,
        shared: &Arc<Shared>,
        permit: OwnedSemaphorePermit,
    ) -> End {
        shared.facts.give(&self.target.name, Some(Arc::clone(&link.facts))).await;
        let mut work = Work::new(&self.target.name, shared);
        let end = match work.catalog(&mut link, permit).await {
            Ok((catalog, permit)) => self.session(work, &mut link, catalog, permit).await,
            Err(HostEnd::Invalid(trouble) | HostEnd::Unreachable(trouble) | HostEnd::Refused(trouble)) => {
                End::Lost(trouble)
            }
            Err(_) => End::Stopped,
        };
        link.close().await;
        end
    }

    async fn session(
        &mut self,
        work: Work,
        link: &mut Link,
        catalog: Catalog,
        permit: Option<OwnedSemaphorePermit>,
    ) -> End {
        let Some(mut to) = link.to.take() else { return End::Stopped };
        let Catalog { begin, tasks, contents } = catalog;
        let watch = Watch { look_every: self.look_every };
        if let Err(error) = say::send_watch(&mut to, begin, tasks, watch).await {
            return match work.lost(&mut link.from, &error).await {
                HostEnd::Refused(trouble) | HostEnd::Unreachable(trouble) => End::Lost(trouble),
                _ => End::Stopped,
            };
        }
        let (needs, wanted) = mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let shared = Arc::clone(&work.shared);
        let hear = async {
            let end = self.hear(work, &mut link.from, needs, permit).await;
            over.cancel();
            end
        };
        let speak = async {
            tokio::select! {
                to = speak(to, wanted, contents, shared) => to,
                () = async { over.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => None,
            }
        };
        let (end, to) = tokio::join!(hear, speak);
        link.to = to;
        end
    }

    async fn hear(
        &mut self,
        mut work: Work,
        from: &mut FromNode,
        needs: mpsc::UnboundedSender<Digest>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> End {
        let broken = |excess: Excess| End::Lost(told(&excess.into()));
        let mut permit = permit;
        let mut bounds = Bounds::new(work.labels.len(), 0);
        let mut words = Allowance::new(WORDS.0 + work.labels.len(), WORDS.1);
        let mut asks = Allowance::new(ASKS.0 + work.labels.len(), ASKS.1);
        loop {
            let next = tokio::select! {
                next = from.next() => next,
                () = work.shared.stop.cancelled() => return End::Stopped,
            };
            match next {
                Ok(FromAgent::Events(events)) => {
                    for event in events {
                        match bounds.admit(event) {
                            Ok(Some(event)) => self.event(&mut work, event, true).await,
                            Ok(None) => {}
                            Err(excess) => return broken(excess),
                        }
                    }
                }
                Ok(FromAgent::Need(digests)) => {
                    if !asks.take(digests.len().max(1)) {
                        return broken(Excess::Needs);
                    }
                    // The speaker is gone only when the link is; then the next read says so.
                    for digest in digests {
                        let _ = needs.send(digest);
                    }
                }
                Ok(FromAgent::Watched(watched)) => {
                    if !words.take(1) {
                        return broken(Excess::Notices);
                    }
                    permit = permit.filter(|_| !matches!(watched, Watched::Standing { .. }));
                    if let Err(excess) = self.watched(&mut work, watched).await {
                        return broken(excess);
                    }
                }
                Ok(FromAgent::Refused(refusal)) => return End::Lost(refused(refusal)),
                Ok(FromAgent::Hello(_)) => return broken(Excess::Hello),
                Ok(_) => {}
                Err(error) => return End::Lost(told(&error)),
            }
        }
    }

    async fn watched(&mut self, work: &mut Work, watched: Watched) -> Result<(), Excess> {
        let host = Arc::clone(&work.host);
        // Of each message by itself: how many there may be is bounded elsewhere.
        let mut bounds = Bounds::new(work.labels.len(), 0);
        match watched {
            Watched::Standing { unseen } => {
                let id = |task: u32| Some(Arc::clone(&work.labels.get(task as usize)?.id));
                let unseen = unseen.into_iter().filter_map(id).collect();
                let again = std::mem::replace(&mut self.stood, true);
                let labels = Arc::clone(&work.labels);
                self.tell(WatchEvent::Standing { host, labels, unseen, again }).await;
            }
            Watched::Verdicts(all) => {
                for Told { result, standing } in all {
                    let task = result.task;
                    let standing = standing.map(|standing| Event::Standing { task, standing });
                    for event in standing.into_iter().chain([Event::Ended(result)]) {
                        if let Some(event) = bounds.admit(event)? {
                            self.event(work, event, false).await;
                        }
                    }
                }
            }
            Watched::Note(text) => {
                if let Some(Event::Note(text)) = bounds.admit(Event::Note(text))? {
                    self.tell(WatchEvent::Note { host, text }).await;
                }
            }
        }
        Ok(())
    }

    async fn event(&mut self, work: &mut Work, event: Event, at_start: bool) {
        let host = Arc::clone(&work.host);
        match event {
            Event::Standing { task, standing } => work.judging.hear(task, *standing),
            Event::Note(text) => self.tell(WatchEvent::Note { host, text }).await,
            Event::Ended(result) => {
                let Some(task) = work.labels.get(result.task as usize).cloned() else { return };
                let planner = work.shared.planner.as_deref();
                let waivers = planner.and_then(Planner::waivers);
                let verdict = work.judging.judge(&host, &task, &result, waivers);
                work.judging.verdicts.clear();
                if self.is_news(&task.id, &result) {
                    self.tell(WatchEvent::Verdict { host, task, result, verdict, at_start }).await;
                }
            }
            _ => {}
        }
    }

    /// Whether a result says something that was not told; it counts as told from here on.
    fn is_news(&mut self, task: &Arc<str>, result: &TaskResult) -> bool {
        if result.outcome == Outcome::Ok {
            return self.differing.remove(task).is_some();
        }
        if result.outcome == Outcome::Cancelled {
            return false;
        }
        let new = Digest::of(format!("{:?}{:?}", result.outcome, result.changes).as_bytes());
        self.differing.insert(Arc::clone(task), new) != Some(new)
    }
}
