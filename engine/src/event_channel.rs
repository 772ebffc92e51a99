//! The way of events to whoever shows and stores them, bounded by what they weigh: hosts wait when a
//! terminal or disk cannot keep up, and large results of many hosts cannot pile up meanwhile. What is told together
//! travels together: whoever shows and stores is woken once for all results of a message, not once for each.

use std::{sync::Arc, vec};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{RunEvent, bounds};

/// Messages on the way at most.
const MESSAGES: usize = 4096;
/// What they weigh together at most, in units of [`UNIT`] bytes: 64 MiB. A single message may weigh more; then
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
pub struct EventReceiver {
    events: mpsc::Receiver<Weighed>,
    /// What is left of the last message.
    here: vec::IntoIter<RunEvent>,
    /// The room that it takes.
    room: Option<OwnedSemaphorePermit>,
}

type Weighed = (Vec<RunEvent>, OwnedSemaphorePermit);

/// Makes the two ends.
#[must_use]
pub fn event_channel() -> (EventSender, EventReceiver) {
    let (events, receiver) = mpsc::channel(MESSAGES);
    let receiver = EventReceiver { events: receiver, here: Vec::new().into_iter(), room: None };
    (EventSender { events, room: Arc::new(Semaphore::new(ROOM)) }, receiver)
}

impl EventSender {
    /// Sends events as one message; waits while there is no room. Those that nobody will receive are dropped.
    pub async fn send(&self, events: Vec<RunEvent>) {
        let units = events.iter().map(|event| weight(event) / UNIT + 1).sum::<usize>().min(ROOM);
        let room = Arc::clone(&self.room);
        // Within u32: at most ROOM. The semaphore is never closed.
        let Ok(permit) = room.acquire_many_owned(units as u32).await else { return };
        let _ = self.events.send((events, permit)).await;
    }
}

impl EventReceiver {
    /// The next event; none when all senders are gone.
    pub async fn recv(&mut self) -> Option<RunEvent> {
        loop {
            if let Some(event) = self.here() {
                return Some(event);
            }
            let (events, room) = self.events.recv().await?;
            self.here = events.into_iter();
            self.room = Some(room);
        }
    }

    /// The next event of the message that has come last, if there is one more in it.
    pub fn here(&mut self) -> Option<RunEvent> {
        let next = self.here.next();
        if self.here.len() == 0 {
            self.room = None;
        }
        next
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

    fn note(size: usize) -> Vec<RunEvent> {
        vec![RunEvent::Note { host: "a".into(), text: "x".repeat(size) }]
    }

    #[tokio::test]
    async fn what_is_told_together_comes_in_order_and_gives_its_room_back_when_all_is_heard() {
        let (sender, mut receiver) = event_channel();
        let free = || sender.room.available_permits();
        sender.send([1, 2 * UNIT, 3].into_iter().flat_map(note).collect()).await;
        assert_eq!((free(), receiver.here().is_none()), (ROOM - 5, true), "nothing has come yet");
        let mut sizes = Vec::new();
        while sizes.len() < 3 {
            assert_eq!(free(), ROOM - 5);
            let Some(RunEvent::Note { text, .. }) = receiver.recv().await else { panic!("a note was sent") };
            sizes.push(text.len());
        }
        assert_eq!(sizes, [1, 2 * UNIT, 3]);
        assert_eq!((free(), receiver.here().is_none()), (ROOM, true));
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
