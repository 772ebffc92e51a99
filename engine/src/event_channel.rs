//! The way of events to whoever shows and stores them, bounded by what they weigh: hosts wait when a
//! terminal or disk cannot keep up, and large results of many hosts cannot pile up meanwhile.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{RunEvent, bounds};

/// Events on the way at most.
const EVENTS: usize = 4096;
/// What they weigh together at most, in units of [`UNIT`] bytes: 64 MiB. A single event may weigh more; then
/// it travels alone.
const ROOM: usize = 65_536;
/// Weights are counted in these, in bytes.
const UNIT: usize = 1024;

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub struct EventSender {
    events: mpsc::Sender<Weighed>,
    room: Arc<Semaphore>,
}

/// The receiving end.
#[derive(Debug)]
pub struct EventReceiver(mpsc::Receiver<Weighed>);

type Weighed = (RunEvent, OwnedSemaphorePermit);

/// Makes the two ends.
#[must_use]
pub fn event_channel() -> (EventSender, EventReceiver) {
    let (events, receiver) = mpsc::channel(EVENTS);
    (EventSender { events, room: Arc::new(Semaphore::new(ROOM)) }, EventReceiver(receiver))
}

impl EventSender {
    /// Sends an event; waits while there is no room. One that nobody will receive is dropped.
    pub async fn send(&self, event: RunEvent) {
        let units = (weight(&event) / UNIT + 1).min(ROOM);
        let room = Arc::clone(&self.room);
        // Within u32: at most ROOM. The semaphore is never closed.
        let Ok(permit) = room.acquire_many_owned(units as u32).await else { return };
        let _ = self.events.send((event, permit)).await;
    }
}

impl EventReceiver {
    /// The next event; none when all senders are gone.
    pub async fn recv(&mut self) -> Option<RunEvent> {
        self.0.recv().await.map(|(event, _)| event)
    }
}

/// About how much memory an event takes, in bytes.
fn weight(event: &RunEvent) -> usize {
    match event {
        RunEvent::TaskEnded { result, .. } => bounds::weight(result),
        RunEvent::Output { text, .. } | RunEvent::Note { text, .. } => text.len(),
        RunEvent::Waiting { holder, .. } => holder.len(),
        RunEvent::HostEnded(report) => report.results.iter().map(bounds::weight).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn note(size: usize) -> RunEvent {
        RunEvent::Note { host: "a".into(), text: "x".repeat(size) }
    }

    #[tokio::test]
    async fn what_is_on_the_way_is_bounded_by_weight() {
        let (sender, mut receiver) = event_channel();
        let half = ROOM * UNIT / 2;
        sender.send(note(half - UNIT)).await;
        sender.send(note(half - UNIT)).await;
        let third = tokio::time::timeout(Duration::from_millis(20), sender.send(note(UNIT * 4))).await;
        assert!(third.is_err(), "it must wait");
        assert!(receiver.recv().await.is_some());
        sender.send(note(UNIT * 4)).await;
        // One that is larger than all the room travels alone instead of never.
        let (lone, mut receiver) = event_channel();
        lone.send(note(ROOM * UNIT * 2)).await;
        assert!(receiver.recv().await.is_some());
        drop(lone);
        assert!(receiver.recv().await.is_none());
    }
}
