//! One session with a controller: facts out, a catalog in, events out.

use std::{
    io::{Read, Write},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use cm_modules::{Node, Overlay, Real, gather_facts};
use cm_wire::{
    AGENT_MARK, AddedTask, Begin, Event, FromAgent, Mode, Piece, Redactor, Refusal, Task, ToAgent, decode,
};

use crate::{
    boot,
    contents::{ContentStore, FromJournal},
    guard::Guard,
    inbox::Inbox,
    journal::Journal,
    lock::{LockError, RunLock},
    memory,
    outbox::{Outbox, redact},
    restart,
    runner::{self, CatalogError, Surroundings},
    state_dir::StateDir,
    watch::{Bell, Watcher},
};

/// After this much silence the controller counts as gone: it pings every ten seconds.
const SILENCE: Duration = Duration::from_secs(90);
/// The same before the first catalog: a controller that waits for the facts of other hosts does not ping.
const SILENCE_BEFORE: Duration = Duration::from_secs(3600);

/// Tasks that the node made itself are told in messages of at most this many.
const ADDED_IN_A_FRAME: usize = 500;

/// What the threads of a session share.
struct Link {
    gone: Arc<AtomicBool>,
    cancelled: AtomicBool,
    start: Instant,
    /// Milliseconds after `start` when the controller was last heard.
    heard: AtomicU64,
    /// A catalog has begun to come.
    begun: AtomicBool,
    /// The node is watched: nothing is done on time, and each sign of life of the controller is answered by one.
    watching: AtomicBool,
    /// The controller has said something that ends a watch.
    called: AtomicBool,
    /// Wakes the watch.
    bell: Bell,
}

impl Link {
    fn hear(&self) {
        self.heard.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether nothing was heard for so long that nobody is there.
    fn silent(&self) -> bool {
        let silence =
            self.start.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)));
        silence > if self.begun.load(Ordering::Relaxed) { SILENCE } else { SILENCE_BEFORE }
    }

    fn stopping(&self) -> bool {
        self.gone.load(Ordering::SeqCst) || self.cancelled.load(Ordering::SeqCst) || self.silent()
    }

    /// Wakes the watch, which sees what there is to see.
    fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// How long the controller may still be silent, in a watch; otherwise how often that is asked.
    fn patience(&self) -> Duration {
        if !self.watching.load(Ordering::SeqCst) {
            return Duration::from_secs(1);
        }
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        // A little more, so that the silence is over the limit then.
        (heard + SILENCE + Duration::from_millis(100)).saturating_sub(self.start.elapsed())
    }

    /// Ends a session whose controller has fallen silent: a link that is cut says nothing, and whoever waits
    /// for a message or a content would wait until the kernel gives the connection up.
    fn watch(&self, contents: &Weak<ContentStore>, to_main: &Sender<Result<ToAgent, String>>) {
        while !self.gone.load(Ordering::SeqCst) {
            if self.silent() {
                self.gone.store(true, Ordering::SeqCst);
                if let Some(contents) = contents.upgrade() {
                    contents.close();
                }
                // The main thread has gone where nobody takes this.
                let _ = to_main.send(Ok(ToAgent::Bye));
                self.call();
            }
            std::thread::sleep(self.patience());
        }
    }
}

/// Serves one controller until it says good-bye or goes away. Returns when the work has ended; threads
/// that hang on the dead link may remain.
pub fn serve(input: impl Read + Send + 'static, mut output: impl Write + Send + 'static, state: StateDir) {
    let gone = Arc::new(AtomicBool::new(false));
    // Without a file number to spare nothing else would work either.
    let Ok(bell) = Bell::new() else { return };
    let link = Arc::new(Link {
        gone: Arc::clone(&gone),
        cancelled: AtomicBool::new(false),
        start: Instant::now(),
        heard: AtomicU64::new(0),
        begun: AtomicBool::new(false),
        watching: AtomicBool::new(false),
        called: AtomicBool::new(false),
        bell,
    });
    if output.write_all(AGENT_MARK).is_err() {
        return;
    }
    let (outbox, writer) = Outbox::start(output, gone);
    outbox.send(FromAgent::Hello(Box::new(gather_facts())));
    let contents = Arc::new(ContentStore::new(state.spool(), outbox.clone()));
    let (to_main, messages) = channel();
    {
        let (link, contents) = (Arc::clone(&link), Arc::clone(&contents));
        // A session that has ended well must not wait for this thread to let go of the contents.
        let watched = (Arc::clone(&link), Arc::downgrade(&contents), to_main.clone());
        // Without it the kernel notices a link that is cut, later.
        let _ = std::thread::Builder::new().spawn(move || watched.0.watch(&watched.1, &watched.2));
        let answers = outbox.clone();
        std::thread::spawn(move || {
            read_all(input, &link, &contents, &to_main, &answers);
            link.gone.store(true, Ordering::SeqCst);
            contents.close();
            let _ = to_main.send(Ok(ToAgent::Bye));
            link.call();
        });
    }
    converse(&messages, &outbox, &contents, &link, &state);
    contents.sweep();
    let hung_up = link.gone.load(Ordering::SeqCst);
    drop((outbox, contents));
    if !hung_up {
        let _ = writer.join();
    }
}

/// Reads frames until the end; contents go straight to the store, so that a run waiting for one gets it.
fn read_all(
    mut input: impl Read,
    link: &Link,
    contents: &ContentStore,
    to_main: &Sender<Result<ToAgent, String>>,
    answers: &Outbox,
) {
    let mut inbox = Inbox::default();
    loop {
        loop {
            if let Some((piece, used)) = Piece::at(inbox.waiting()) {
                contents.receive(piece.digest, piece.bytes, piece.last);
                inbox.take(used);
                continue;
            }
            match decode::<ToAgent>(inbox.waiting()) {
                Ok(Some((message, used))) => {
                    inbox.take(used);
                    match message {
                        ToAgent::Content { digest, bytes, last } => contents.receive(digest, &bytes, last),
                        ToAgent::NoContent { digest, reason } => contents.refuse(digest, reason),
                        ToAgent::Ping => {
                            if link.watching.load(Ordering::SeqCst) {
                                answers.send(FromAgent::Alive);
                            }
                        }
                        ToAgent::Cancel => {
                            link.cancelled.store(true, Ordering::SeqCst);
                            link.bell.ring();
                        }
                        other => {
                            link.begun.fetch_or(matches!(other, ToAgent::Begin(_)), Ordering::Relaxed);
                            let opens = matches!(other, ToAgent::Watch(_));
                            // What ends a watch comes after what opens it.
                            link.called.fetch_and(!opens, Ordering::SeqCst);
                            if to_main.send(Ok(other)).is_err() {
                                return;
                            }
                            if !opens {
                                link.call();
                            }
                        }
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = to_main.send(Err(error.to_string()));
                    return;
                }
            }
        }
        match inbox.read_from(&mut input) {
            Ok(0) => return,
            Ok(_) => link.hear(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn converse(
    messages: &Receiver<Result<ToAgent, String>>,
    outbox: &Outbox,
    contents: &Arc<ContentStore>,
    link: &Link,
    state: &StateDir,
) {
    let mut begin: Option<Begin> = None;
    let mut tasks: Vec<Task> = Vec::new();
    let refuse =
        |reason: &str| outbox.send(FromAgent::Refused(Refusal::Protocol { reason: reason.to_owned() }));
    for message in messages {
        match message {
            Ok(ToAgent::Begin(next)) if begin.is_none() => begin = Some(next),
            Ok(ToAgent::Tasks(more)) if begin.is_some() => tasks.extend(more),
            Ok(ToAgent::Seal) => {
                let Some(begin) = begin.take() else { return refuse("a catalog without a beginning") };
                match run(&begin, std::mem::take(&mut tasks), outbox, contents, link, state) {
                    Ok(()) => outbox.send(FromAgent::Done),
                    Err(refusal) => outbox.send(FromAgent::Refused(refusal)),
                }
            }
            Ok(ToAgent::Watch(wanted)) => {
                let Some(begin) = begin.take() else { return refuse("a catalog without a beginning") };
                link.watching.store(true, Ordering::SeqCst);
                let watcher = Watcher {
                    begin: &begin,
                    outbox,
                    store: contents,
                    state,
                    bell: &link.bell,
                    over: &|| link.stopping() || link.called.load(Ordering::SeqCst),
                };
                let ended = watcher.run(wanted, std::mem::take(&mut tasks));
                link.watching.store(false, Ordering::SeqCst);
                if let Err(refusal) = ended {
                    outbox.send(FromAgent::Refused(refusal));
                }
            }
            Ok(ToAgent::Confirm { run }) if begin.is_none() => {
                outbox.send(FromAgent::Confirmed(Guard::of(state, &run).confirm()));
            }
            Ok(ToAgent::Ledger) if begin.is_none() => match memory::tell(state, outbox) {
                Ok(()) => outbox.send(FromAgent::Done),
                Err(refusal) => outbox.send(FromAgent::Refused(refusal)),
            },
            Ok(ToAgent::Bye) => return,
            Ok(_) => return refuse("a message out of order"),
            Err(reason) => return refuse(&reason),
        }
    }
}

fn run(
    begin: &Begin,
    tasks: Vec<Task>,
    outbox: &Outbox,
    contents: &Arc<ContentStore>,
    link: &Link,
    state: &StateDir,
) -> Result<(), Refusal> {
    let redactor = Redactor::new(&begin.redact);
    // One place orders events as they happen, whichever thread they come from.
    let out = Mutex::new(outbox);
    let send = |event: Event| {
        let event = redact(event, &redactor);
        out.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(FromAgent::Events(vec![event]));
    };
    let stopping = || link.stopping();
    let real = Real::remembering(state.digests(), !begin.paranoid);
    let unusable = |error: std::io::Error| Refusal::State {
        reason: format!("{} cannot be used: {error}", state.path().display()),
    };
    let prepared = state.prepare();
    let lock = if begin.mode == Mode::Apply {
        prepared.map_err(unusable)?;
        Some(take_lock(begin, state, &send, &stopping)?)
    } else {
        None
    };
    let journal = match Journal::open(state, begin.journal_limit) {
        Ok(journal) => journal,
        Err(error) if begin.mode == Mode::Apply || begin.undo.is_some() => return Err(unusable(error)),
        Err(_) => Journal::empty(state),
    };
    if begin.mode == Mode::Apply {
        journal.begin(&begin.run, &begin.holder, boot::seconds());
        let left = |reason| Refusal::State { reason: format!("what the last run left: {reason}") };
        Guard::untold(state).into_iter().for_each(|said| send(Event::Note(said)));
        if let Some(done) = runner::read_units(&journal, &real).map_err(left)? {
            send(Event::Note(done));
        }
    }
    let overlay;
    let node: &dyn Node = if begin.mode == Mode::Plan {
        overlay = Overlay::new(&real);
        &overlay
    } else {
        &real
    };
    let announce = |added: Vec<AddedTask>| {
        for some in added.chunks(ADDED_IN_A_FRAME) {
            outbox.send(FromAgent::Added(some.to_vec()));
        }
    };
    let guard = Guard::of(state, &begin.run);
    contents.expect(&tasks);
    let store: &ContentStore = contents;
    let contents = FromJournal { journal: &journal, store };
    let around = Surroundings {
        node,
        journal: &journal,
        contents: &contents,
        store,
        send: &send,
        announce: &announce,
        guard: (begin.mode == Mode::Apply).then_some(&guard),
        looked: &|looks| outbox.send(FromAgent::Looked(looks)),
        confirm: &|limit| outbox.send(FromAgent::ConfirmWanted { limit }),
        restart: &|task, changes| restart::restart_host(outbox, task, changes, &stopping),
        stopping: &stopping,
    };
    let outcome = runner::run(begin, tasks, around).map_err(|error| match error {
        CatalogError::Undo(reasons) => Refusal::Undo {
            reasons: reasons.iter().map(|reason| redactor.apply(reason).into_owned()).collect(),
            hint: Some(
                "`--force` takes back what can be all the same, and keeps changed files as NAME.cm-kept"
                    .into(),
            ),
        },
        CatalogError::Moved(tasks) => Refusal::Moved { tasks },
        other => Refusal::Protocol { reason: other.to_string() },
    });
    if begin.mode == Mode::Apply {
        if let Err(error) = journal.finish(&begin.run) {
            send(Event::Note(format!("the journal cannot be written: {error}")));
        }
        journal.sweep_programs();
    }
    // What cannot be kept is hashed again the next time.
    let _ = real.keep_digests();
    drop(lock);
    if outcome? {
        for said in guard.fire() {
            send(Event::Note(said));
        }
    }
    Ok(())
}

fn take_lock(
    begin: &Begin,
    state: &StateDir,
    send: &dyn Fn(Event),
    stopping: &dyn Fn() -> bool,
) -> Result<RunLock, Refusal> {
    let wait = Duration::from_secs(u64::from(begin.lock_wait));
    let holder = format!("run {} of {}", begin.run, begin.holder);
    let waiting = |holder: &str| send(Event::Waiting { holder: holder.to_owned() });
    RunLock::take(&state.lock(), &holder, wait, waiting, stopping).map_err(|error| match error {
        LockError::Held(holder) => Refusal::Locked { holder },
        LockError::Io(error) => {
            Refusal::State { reason: format!("{} cannot be locked: {error}", state.lock().display()) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an agent says to a controller that says this and hangs up.
    fn answers(said: Vec<u8>) -> Vec<FromAgent> {
        let folder = tempfile::tempdir().unwrap();
        let (heard, output) = std::io::pipe().unwrap();
        let listener = std::thread::spawn(move || {
            let mut heard = heard;
            let mut bytes = Vec::new();
            heard.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let state = StateDir::at(folder.path().join("cm"));
        serve(std::io::Cursor::new(said), output, state);
        let bytes = listener.join().unwrap();
        let mut rest = bytes.strip_prefix(AGENT_MARK).unwrap();
        let mut answers = Vec::new();
        while let Some((message, used)) = decode(rest).unwrap() {
            answers.push(message);
            rest = &rest[used..];
        }
        answers
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_and_nothing_of_its_size_is_stored() {
        let mut said = (cm_wire::FRAME_LIMIT as u32 + 1).to_le_bytes().to_vec();
        said.extend([0; 100]);
        let answers = answers(said);
        let Some(FromAgent::Refused(Refusal::Protocol { reason })) = answers.get(1) else {
            panic!("{answers:?}")
        };
        assert!(reason.contains("over the limit"), "{reason}");
    }

    #[test]
    fn messages_out_of_order_are_refused() {
        let answers = answers(cm_wire::encode(&ToAgent::Seal).unwrap());
        assert!(matches!(answers.get(1), Some(FromAgent::Refused(Refusal::Protocol { .. }))), "{answers:?}");
    }
}
