//! What is said to an agent: the catalog, the contents it asks for, and that somebody is still there.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use cm_plan::ContentSource;
use cm_wire::{Begin, Digest, Task, ToAgent, Watch};
use tokio::{io::AsyncReadExt, sync::mpsc, time::interval};

use crate::{dispatcher::Shared, session::ToNode};

/// Contents travel in pieces of this many bytes.
const PIECE: usize = 128 * 1024;
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
