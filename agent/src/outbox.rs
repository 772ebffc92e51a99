//! What the agent says, in order, from any thread; written by one thread so that nobody waits for the wire.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use cm_wire::{AGENT_MARK, Change, Event, FromAgent, Redactor, Touched, encode};

/// Messages go out at least this often once something was asked, so that silence means a broken link. Not before: what
/// asks might never arrive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Bytes of the buffer that stay between messages.
const KEPT: usize = 64 * 1024;

/// The sending half; cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    sender: Sender<Vec<FromAgent>>,
    pace: Arc<Pace>,
}

/// Whether signs of life go out.
#[derive(Default)]
struct Pace {
    asked: AtomicBool,
    resting: AtomicBool,
}

impl Outbox {
    /// Starts the writing thread, which says that an agent is here before all else. `gone` is set when the other
    /// side no longer reads.
    ///
    /// # Errors
    /// When the node has no room for a thread.
    pub fn start(
        output: impl Write + Send + 'static,
        gone: Arc<AtomicBool>,
    ) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let pace = Arc::new(Pace::default());
        let paced = Arc::clone(&pace);
        let writer =
            std::thread::Builder::new().spawn(move || write_all(output, &receiver, &gone, &paced))?;
        Ok((Self { sender, pace }, writer))
    }

    /// One that nobody reads.
    #[must_use]
    pub fn to_nobody() -> Self {
        Self { sender: channel().0, pace: Arc::default() }
    }

    /// The other side waits for an answer.
    pub fn asked(&self) {
        self.pace.asked.store(true, Ordering::SeqCst);
    }

    /// From the next message on nothing goes out but what is sent, or again a sign of life every few seconds.
    pub fn rest(&self, rests: bool) {
        self.pace.resting.store(rests, Ordering::SeqCst);
    }

    /// Queues a message; one that nobody will read is dropped.
    pub fn send(&self, message: FromAgent) {
        self.send_together(vec![message]);
    }

    /// Queues messages that go out in one write, as far as they fit.
    pub fn send_together(&self, messages: Vec<FromAgent>) {
        let _ = self.sender.send(messages);
    }
}

/// Takes secrets out of everything an event says.
pub fn redact(event: Event, redactor: &Redactor) -> Event {
    if redactor.is_empty() {
        return event;
    }
    let clean = |text: String| redactor.apply(&text).into_owned();
    let clean_changes = |changes: &mut Vec<Change>| {
        for change in changes {
            // Named by a module of the repository, it may be anything.
            change.attribute = clean(std::mem::take(&mut change.attribute));
            change.before = change.before.take().map(clean);
            change.after = change.after.take().map(clean);
            change.diff = change.diff.take().map(clean);
        }
    };
    match event {
        Event::Output { task, stream, text } => Event::Output { task, stream, text: clean(text) },
        Event::Note(text) => Event::Note(clean(text)),
        Event::Ended(mut result) => {
            clean_changes(&mut result.changes);
            if let Some(output) = &mut result.output {
                output.stdout = clean(std::mem::take(&mut output.stdout));
                output.stderr = clean(std::mem::take(&mut output.stderr));
            }
            if let cm_wire::Outcome::Failed { error, hint } = &mut result.outcome {
                *error = clean(std::mem::take(error));
                *hint = hint.take().map(clean);
            }
            Event::Ended(result)
        }
        Event::Standing { task, mut standing } => {
            if let Touched::Yes(changes) = &mut standing.touched {
                clean_changes(changes);
            }
            for trace in &mut standing.traces {
                trace.log = trace.log.take().map(clean);
            }
            Event::Standing { task, standing }
        }
        other @ (Event::Waiting { .. } | Event::Started { .. } | Event::Orphan { .. }) => other,
    }
}

fn write_all(mut output: impl Write, receiver: &Receiver<Vec<FromAgent>>, gone: &AtomicBool, pace: &Pace) {
    let mut bytes = AGENT_MARK.to_vec();
    loop {
        let next = if pace.resting.load(Ordering::SeqCst) {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(HEARTBEAT)
        };
        let mut messages = match next {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) if !pace.asked.load(Ordering::SeqCst) => continue,
            Err(RecvTimeoutError::Timeout) => vec![FromAgent::Alive],
            Err(RecvTimeoutError::Disconnected) => return,
        };
        messages.extend(receiver.try_iter().flatten());
        join(messages, &mut bytes);
        if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
            gone.store(true, Ordering::SeqCst);
            return;
        }
        bytes.clear();
        bytes.shrink_to(KEPT);
    }
}

/// Encodes messages; neighbouring events share a frame, up to a size that keeps frames far below the limit.
fn join(messages: Vec<FromAgent>, bytes: &mut Vec<u8>) {
    const EVENTS_IN_A_FRAME: usize = 64;
    let mut events: Vec<Event> = Vec::new();
    let flush = |events: &mut Vec<Event>, bytes: &mut Vec<u8>| {
        if !events.is_empty() {
            push(bytes, FromAgent::Events(std::mem::take(events)));
        }
    };
    for message in messages {
        match message {
            FromAgent::Events(more) => {
                for event in more {
                    events.push(event);
                    if events.len() == EVENTS_IN_A_FRAME {
                        flush(&mut events, bytes);
                    }
                }
            }
            other => {
                flush(&mut events, bytes);
                push(bytes, other);
            }
        }
    }
    flush(&mut events, bytes);
}

/// Appends a frame; events that are too large together go apart, one that is too large alone goes without its texts.
fn push(bytes: &mut Vec<u8>, message: FromAgent) {
    match encode(&message) {
        Ok(frame) => bytes.extend(frame),
        Err(_) => {
            let FromAgent::Events(mut events) = message else { return };
            if events.len() > 1 {
                let rest = events.split_off(events.len() / 2);
                push(bytes, FromAgent::Events(events));
                push(bytes, FromAgent::Events(rest));
            } else if let Some(Event::Ended(mut result)) = events.pop() {
                result.output = None;
                result.changes.iter_mut().for_each(|change| change.diff = None);
                result.changes.truncate(100);
                if let Ok(frame) = encode(&FromAgent::Events(vec![Event::Ended(result)])) {
                    bytes.extend(frame);
                }
            }
        }
    }
}
