//! One session with a controller: facts out, a catalog in, events out.

use std::{
    io::Write,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use cm_modules::{Node, Overlay, Real, gather_facts};
use cm_wire::{
    AddedTask, Begin, Event, FromAgent, Mode, Outcome, Piece, Redactor, Refusal, Task, ToAgent, decode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
    settled::Settled,
    state_dir::StateDir,
    watch::{Bell, Watcher},
};

/// After this much silence the controller counts as gone: it pings every ten seconds.
const SILENCE: Duration = Duration::from_secs(90);
/// The same before the first catalog: a controller that waits for the facts of other hosts does not ping.
const SILENCE_BEFORE: Duration = Duration::from_secs(3600);

/// Results that wait for each other at most.
const RESULTS_TOGETHER: usize = 500;
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

    /// Ends a watch, be it one that is only about to begin.
    fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Wakes a watch, which sees what there is to see. One that is about to begin looks before it sleeps.
    fn ring(&self) {
        if self.watching.load(Ordering::SeqCst) {
            self.bell.ring();
        }
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
}

/// Tells what happens in a run, whichever thread it comes from, in one order. Results of tasks that were as wanted wait
/// for the next event or the end: mostly all go in one write.
struct Telling<'a> {
    outbox: &'a Outbox,
    redactor: Redactor,
    waiting: Mutex<Vec<Event>>,
}

impl<'a> Telling<'a> {
    fn new(begin: &Begin, outbox: &'a Outbox) -> Self {
        Self { outbox, redactor: Redactor::new(&begin.redact), waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Event>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, event: Event) {
        let event = redact(event, &self.redactor);
        let may_wait = matches!(&event, Event::Ended(result) if result.outcome == Outcome::Ok);
        let mut waiting = self.waiting();
        waiting.push(event);
        if !may_wait || waiting.len() >= RESULTS_TOGETHER {
            self.outbox.send(FromAgent::Events(std::mem::take(&mut waiting)));
        }
    }

    fn flush(&self) {
        let mut waiting = self.waiting();
        if !waiting.is_empty() {
            self.outbox.send(FromAgent::Events(std::mem::take(&mut waiting)));
        }
    }

    /// Tells what is left, and how it ended.
    fn end(&self, end: FromAgent) {
        self.outbox.send_together(vec![FromAgent::Events(std::mem::take(&mut self.waiting())), end]);
    }
}

/// Serves one controller until it says good-bye or goes away. Returns when the work has ended; threads
/// that hang on the dead link may remain.
///
/// # Errors
/// When the node has no memory, threads or file numbers left for it.
pub fn serve(
    input: impl AsFd + Send + 'static,
    output: impl Write + Send + 'static,
    state: StateDir,
) -> std::io::Result<()> {
    let gone = Arc::new(AtomicBool::new(false));
    let bell = Bell::new()?;
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
    let (outbox, writer) = Outbox::start(output, gone)?;
    outbox.send(FromAgent::Hello(Box::new(gather_facts())));
    let contents = Arc::new(ContentStore::new(state.spool(), outbox.clone()));
    let (to_main, messages) = channel();
    {
        let (link, contents) = (Arc::clone(&link), Arc::clone(&contents));
        let answers = outbox.clone();
        std::thread::Builder::new().spawn(move || {
            read_all(&input, &link, &contents, &to_main, &answers);
            link.gone.store(true, Ordering::SeqCst);
            contents.close();
            // The main thread may have gone where nobody takes this.
            let _ = to_main.send(Ok(vec![ToAgent::Bye]));
            link.call();
        })?;
    }
    converse(&messages, &outbox, &contents, &link, &state);
    contents.sweep();
    let hung_up = link.gone.load(Ordering::SeqCst);
    drop((outbox, contents));
    if !hung_up {
        let _ = writer.join();
    }
    Ok(())
}

/// Messages that came together, or why no more can be understood.
type Heard = Result<Vec<ToAgent>, String>;

/// Reads frames until the end, or until the controller has been silent for so long that nobody is there: a link that is
/// cut says nothing, and whoever waits for a message or a content would wait until the kernel gives the connection up.
/// Contents go straight to the store, so that a run waiting for one gets it.
fn read_all(
    input: &impl AsFd,
    link: &Link,
    contents: &ContentStore,
    to_main: &Sender<Heard>,
    answers: &Outbox,
) {
    let mut inbox = Inbox::default();
    loop {
        let mut heard = Vec::new();
        let damage = loop {
            if let Some((piece, used)) = Piece::at(inbox.waiting()) {
                contents.receive(piece.digest, piece.bytes, piece.last);
                inbox.take(used);
                continue;
            }
            match decode::<ToAgent>(inbox.waiting()) {
                Ok(Some((message, used))) => {
                    inbox.take(used);
                    heard.extend(pass_on(message, link, contents, answers));
                }
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        if !heard.is_empty() && to_main.send(Ok(heard)).is_err() {
            return;
        }
        if let Some(reason) = damage {
            let _ = to_main.send(Err(reason));
            return;
        }
        match wait_for(input, link.patience()).and_then(|()| inbox.read_from(input)) {
            Ok(0) => return,
            Ok(_) => link.hear(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut && !link.silent() => {}
            Err(_) => return,
        }
    }
}

/// Waits until there is something to read; too long is an error.
fn wait_for(input: &impl AsFd, patience: Duration) -> std::io::Result<()> {
    // Minutes and their nanoseconds fit.
    let limit = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&limit))? {
        0 => Err(std::io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// Does at once what cannot wait for the main thread; the rest is its.
fn pass_on(message: ToAgent, link: &Link, contents: &ContentStore, answers: &Outbox) -> Option<ToAgent> {
    if !matches!(message, ToAgent::Ping) {
        answers.asked();
    }
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
            link.ring();
        }
        ToAgent::Watch(watch) => {
            // What ends a watch comes after what opens it.
            link.called.store(false, Ordering::SeqCst);
            return Some(ToAgent::Watch(watch));
        }
        other => {
            link.begun.fetch_or(matches!(other, ToAgent::Begin(_)), Ordering::Relaxed);
            link.call();
            return Some(other);
        }
    }
    None
}

fn converse(
    messages: &Receiver<Heard>,
    outbox: &Outbox,
    contents: &Arc<ContentStore>,
    link: &Link,
    state: &StateDir,
) {
    let mut begin: Option<Begin> = None;
    let mut tasks: Vec<Task> = Vec::new();
    let refuse =
        |reason: &str| outbox.send(FromAgent::Refused(Refusal::Protocol { reason: reason.to_owned() }));
    let messages = messages.iter().flat_map(|heard| match heard {
        Ok(messages) => messages.into_iter().map(Ok).collect(),
        Err(reason) => vec![Err(reason)],
    });
    for message in messages {
        match message {
            Ok(ToAgent::Begin(next)) if begin.is_none() => begin = Some(next),
            Ok(ToAgent::Tasks(more)) if begin.is_some() => tasks.extend(more),
            Ok(ToAgent::Seal) => {
                let Some(begin) = begin.take() else { return refuse("a catalog without a beginning") };
                let telling = Telling::new(&begin, outbox);
                if let Err(refusal) =
                    run(&begin, std::mem::take(&mut tasks), &telling, outbox, contents, link, state)
                {
                    telling.end(FromAgent::Refused(refusal));
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
    telling: &Telling<'_>,
    outbox: &Outbox,
    contents: &Arc<ContentStore>,
    link: &Link,
    state: &StateDir,
) -> Result<(), Refusal> {
    let send = |event: Event| telling.send(event);
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
    let settled = Settled::of(begin, &tasks, state);
    let opened = match &settled {
        Some(settled) if settled.is_known() => Ok(Journal::asleep(state, begin.journal_limit)),
        _ => Journal::open(state, begin.journal_limit),
    };
    let journal = match opened {
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
        flush: &|| telling.flush(),
        announce: &announce,
        guard: (begin.mode == Mode::Apply).then_some(&guard),
        looked: &|looks| outbox.send(FromAgent::Looked(looks)),
        confirm: &|limit| outbox.send(FromAgent::ConfirmWanted { limit }),
        restart: &|task, changes| restart::restart_host(outbox, task, changes, &stopping),
        stopping: &stopping,
    };
    let outcome = runner::run(begin, tasks, around).map_err(|error| match error {
        CatalogError::Undo(reasons) => Refusal::Undo {
            reasons: reasons.iter().map(|reason| telling.redactor.apply(reason).into_owned()).collect(),
            hint: Some(
                "`--force` takes back what can be all the same, and keeps changed files as NAME.cm-kept"
                    .into(),
            ),
        },
        CatalogError::Moved(tasks) => Refusal::Moved { tasks },
        error @ CatalogError::Memory(_) => Refusal::State { reason: error.to_string() },
        other => Refusal::Protocol { reason: other.to_string() },
    });
    if begin.mode == Mode::Apply {
        if let Err(error) = journal.finish(&begin.run) {
            send(Event::Note(format!("the journal cannot be written: {error}")));
        }
        if !journal.is_asleep() {
            journal.sweep_programs();
        }
        if outcome.as_ref().is_ok_and(|end| end.is_quiet)
            && runner::is_at_rest(&journal)
            && let Some(settled) = settled
        {
            settled.keep();
        }
    }
    // What cannot be kept is hashed again the next time.
    let _ = real.keep_digests();
    drop(lock);
    if outcome?.guard_is_broken {
        for said in guard.fire() {
            send(Event::Note(said));
        }
    }
    // Before this run's memory is given back: the controller waits for it.
    telling.end(FromAgent::Done);
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
    use std::io::Read;

    use cm_wire::AGENT_MARK;

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
        let (input, mut to) = std::io::pipe().unwrap();
        let saying = std::thread::spawn(move || {
            // An agent that has heard enough reads no more.
            let _ = to.write_all(&said);
        });
        serve(input, output, state).unwrap();
        saying.join().unwrap();
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
