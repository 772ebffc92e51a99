//! Watches hosts for drift: one idle connection a host, and what their agents tell of what changes.

use std::{sync::Arc, time::Duration};

use cm_wire::TaskResult;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{Run, RunEvent, Stop, TaskLabel, Trouble, Verdict, dispatcher::Shared, event_channel, executor};

/// What a watch tells.
#[derive(Debug)]
pub enum WatchEvent {
    /// Everything was looked at once, and from here on a host is watched.
    Standing {
        /// The host.
        host: Arc<str>,
        /// Its tasks.
        labels: Arc<[TaskLabel]>,
        /// Tasks whose changes no event tells of: only a look at everything sees them.
        unseen: Vec<Arc<str>>,
        /// It was watched before, and lost in between.
        again: bool,
    },
    /// A task is not as it was when it was last told of; at first each is as wanted.
    Verdict {
        /// The host.
        host: Arc<str>,
        /// The task.
        task: TaskLabel,
        /// What the look found: `Ok` is right again.
        result: TaskResult,
        /// Why it differs.
        verdict: Option<Arc<Verdict>>,
        /// It was found so by the first look of a connection, and not told by an event.
        at_start: bool,
    },
    /// Something a person should know.
    Note {
        /// The host.
        host: Arc<str>,
        /// What.
        text: String,
    },
    /// A host cannot be watched now.
    Lost {
        /// The host.
        host: Arc<str>,
        /// Why.
        trouble: Trouble,
        /// When it is tried again.
        again_in: Duration,
    },
}

/// Watches all hosts of a run until it is stopped. The run's stages are of no account; its forks say how many hosts
/// are looked at for the first time at once. `look_every` is the time between looks at everything, which see what
/// no event tells of; zero: never.
pub async fn watch(run: Run, look_every: Duration, stop: Stop, events: mpsc::Sender<WatchEvent>) {
    let (sender, mut told) = event_channel();
    let (stages, shared) = Shared::of(run, stop, sender);
    let mut hosts = JoinSet::new();
    for target in stages.into_iter().flatten() {
        hosts.spawn(executor::watch_host(target, Arc::clone(&shared), look_every, events.clone()));
    }
    drop(shared);
    // What the making of a catalog has to say; it ends with the last host.
    while let Some(event) = told.recv().await {
        if let RunEvent::Note { host, text } = event {
            // Who no longer listens is stopping.
            let _ = events.send(WatchEvent::Note { host, text }).await;
        }
    }
    while hosts.join_next().await.is_some() {}
}
