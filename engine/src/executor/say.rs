//! What is said to an agent: the catalog, the contents it asks for, and that somebody is still there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cm_plan::ContentSource;
use cm_wire::{Begin, Digest, Task, ToAgent, Watch};
use tokio::{sync::mpsc, time::interval};

use super::outgoing::Outgoing;
use crate::{dispatcher::Shared, session::ToNode};

/// The agent counts the controller as gone after 90 s without a word.
const PING: Duration = Duration::from_secs(10);
/// Tasks are sent in frames of at most this many.
const TASKS_IN_A_FRAME: usize = 200;

pub(super) async fn send_catalog(to: &mut ToNode, begin: Begin, tasks: Vec<Task>) -> std::io::Result<()> {
    to.send_together(std::iter::once(ToAgent::Begin(begin)).chain(frames(tasks)).chain([ToAgent::Seal])).await
}

/// The same, to be watched.
pub(super) async fn send_watch(
    to: &mut ToNode,
    begin: Begin,
    tasks: Vec<Task>,
    watch: Watch,
) -> std::io::Result<()> {
    let end = ToAgent::Watch(watch);
    to.send_together(std::iter::once(ToAgent::Begin(begin)).chain(frames(tasks)).chain([end])).await
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
pub(super) async fn speak(
    mut to: ToNode,
    mut wanted: mpsc::UnboundedReceiver<Digest>,
    contents: Arc<HashMap<Digest, ContentSource>>,
    shared: Arc<Shared>,
) -> Option<ToNode> {
    let mut ping = interval(PING);
    ping.tick().await;
    let mut told_to_stop = false;
    let mut outgoing = Outgoing::of(contents);
    loop {
        let sent = tokio::select! {
            biased;
            () = shared.stop.cancelled(), if !told_to_stop => {
                told_to_stop = true;
                to.send(&ToAgent::Cancel).await
            }
            _ = ping.tick() => to.send(&ToAgent::Ping).await,
            digest = wanted.recv() => match digest {
                Some(digest) => {
                    outgoing.ask(digest);
                    continue;
                }
                None => return Some(to),
            },
            // Whatever else there is to say comes between two pieces.
            () = std::future::ready(()), if !outgoing.is_empty() => {
                match fill(outgoing).await {
                    Ok(filled) => outgoing = filled,
                    Err(_) => return hold(wanted).await,
                }
                to.send_frames(&outgoing.frames).await
            }
        };
        if sent.is_err() {
            return hold(wanted).await;
        }
    }
}

/// Nothing can be said any more. The hearer learns why; the channel stays open until it does.
async fn hold(mut wanted: mpsc::UnboundedReceiver<Digest>) -> Option<ToNode> {
    while wanted.recv().await.is_some() {}
    None
}

/// Makes the next frames, where no other host waits for this one's disk.
async fn fill(mut outgoing: Outgoing) -> std::io::Result<Outgoing> {
    if !outgoing.reads() {
        outgoing.fill()?;
        return Ok(outgoing);
    }
    tokio::task::spawn_blocking(move || outgoing.fill().map(|()| outgoing))
        .await
        .map_err(std::io::Error::other)?
}
