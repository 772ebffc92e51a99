//! The controller's half of the dead-man switch: comes back over a new connection and says so, or tells why it
//! could not. The node takes guarded changes back by itself; nothing here does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cm_wire::{FromAgent, ToAgent};

use super::link::Link;
use crate::{
    NodeLedger, RunEvent, Trouble,
    dispatcher::Shared,
    ledger,
    target::{HostTarget, Reach},
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// What the node may take, once the limit is over, to put everything back and let somebody in again.
const TAKING_BACK: Duration = Duration::from_secs(20);

/// How it came out.
pub(super) enum Confirmation {
    /// The changes stay.
    Kept,
    /// They do not, since nobody came in time.
    TakenBack(String),
}

/// Comes back within `limit` and confirms what the run has changed.
pub(super) async fn confirm(target: HostTarget, shared: Arc<Shared>, limit: Duration) -> Confirmation {
    let until = Instant::now() + limit;
    let mut why = format!("no answer within {} s", limit.as_secs());
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Confirmation::TakenBack(why);
        }
        match tokio::time::timeout(left, attempt(&target, &shared)).await {
            Ok(Ok(true)) => {
                shared.tell(RunEvent::Confirmed { host: Arc::clone(&target.name) }).await;
                return Confirmation::Kept;
            }
            Ok(Ok(false)) => return Confirmation::TakenBack("it was taken back already".into()),
            Ok(Err(reason)) => why = reason,
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
    }
}

/// One new connection; whether there was something to confirm.
async fn attempt(target: &HostTarget, shared: &Shared) -> Result<bool, String> {
    let mut link = Link::open(&once(target), shared).await.map_err(|trouble| trouble.causes.join(": "))?;
    let answer = match &mut link.to {
        Some(to) => to.send(&ToAgent::Confirm { run: shared.options.run.clone() }).await,
        None => Ok(()),
    };
    let answer = match answer {
        Ok(()) => loop {
            match link.from.next().await {
                Ok(FromAgent::Confirmed(kept)) => break Ok(kept),
                Ok(FromAgent::Alive) => {}
                Ok(_) => break Err("the agent did not understand that it was confirmed".to_owned()),
                Err(error) => break Err(error.to_string()),
            }
        },
        Err(error) => Err(error.to_string()),
    };
    link.close().await;
    answer
}

/// The same host with a single attempt a connection: attempts are made here.
pub(super) fn once(target: &HostTarget) -> HostTarget {
    let mut target = target.clone();
    if let Reach::Ssh(reach) = &mut target.reach {
        reach.wanted.attempts = Some(1);
    }
    target
}

/// What the node remembers now that it has taken something back.
async fn ask_ledger(mut link: Link) -> Option<NodeLedger> {
    let ledger = match &mut link.to {
        Some(to) => ledger::ask(to, &mut link.from).await.ok(),
        None => None,
    };
    link.close().await;
    ledger
}

/// Why a host's part of the run does not stand, and whether the host can be reached again.
pub(super) async fn lost(
    target: &HostTarget,
    shared: &Shared,
    limit: u32,
    changed: &str,
    why: &str,
) -> (Trouble, Option<NodeLedger>) {
    let until = Instant::now() + TAKING_BACK;
    let mut remembers = None;
    let back = loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        if let Ok(Ok(link)) = tokio::time::timeout(left, Link::open(&once(target), shared)).await {
            remembers = ask_ledger(link).await;
            break true;
        }
        tokio::time::sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
    };
    let cause = format!(
        "the host could not be reached over a new connection within {limit} s after {changed} changed; the node takes it \
         back by itself ({why})"
    );
    let hint = if back {
        "the host can be reached again: what was changed under guard is as it was before"
    } else {
        "the host cannot be reached yet: look at its console; the node's agent goes on taking the change back"
    };
    (Trouble::new("a guarded change did not stand on", cause).hint(Some(hint.into())), remembers)
}
