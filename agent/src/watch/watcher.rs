//! The watch of one catalog: sleep until something happens, look at what it concerns, tell what is new.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use cm_modules::Real;
use cm_wire::{Begin, Event, FromAgent, Redactor, Refusal, Task, Watch, Watched};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    bell::Bell,
    bus::{self, UnitSignals},
    holder,
    pace::{self, Pace},
    paths::{Depth, PathWatch, Reason, Touched, Unwatched},
    subjects::Subjects,
    tables::OpenTable,
    verdicts::Verdicts,
};
use crate::{
    contents::{ContentStore, FromJournal},
    journal::Journal,
    outbox::{Outbox, redact},
    runner::{Resting, Surroundings},
    state_dir::StateDir,
};

/// The number of the bus's own socket among those who ask for paths; no catalog has so many tasks.
const BUS_SOCKET: u32 = u32::MAX;
/// A bus that ends the connection is called again after this time, and after twice of it, and so on …
const CALL_AGAIN: Duration = Duration::from_millis(500);
/// … this often in a row; then only when its socket is made anew.
const CALLS: u32 = 8;
/// While a run holds the node, whether it still does is asked this often.
const HELD: Duration = Duration::from_millis(500);
/// A run that takes longer than this is not waited for.
const HELD_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// Verdicts in one message.
const TOLD_AT_ONCE: usize = 256;

/// What a watch works with.
pub struct Watcher<'a> {
    /// The catalog's opening.
    pub begin: &'a Begin,
    /// Takes what is to be told.
    pub outbox: &'a Outbox,
    /// Contents that the controller sends.
    pub store: &'a ContentStore,
    /// Where the node keeps its memory.
    pub state: &'a StateDir,
    /// Rung when the controller has said something, or is gone.
    pub bell: &'a Bell,
    /// Whether the watch is over.
    pub over: &'a (dyn Fn() -> bool + Sync),
}

/// What is listened to.
struct Ears {
    paths: PathWatch,
    subjects: Subjects,
    tables: Vec<OpenTable>,
    bus: Option<UnitSignals>,
    /// When the bus is called again, and how often it was in vain.
    call: Option<Instant>,
    calls: u32,
    /// It was told that the bus is not heard.
    deaf: bool,
    missed: BTreeSet<Reason>,
}

impl Watcher<'_> {
    /// Looks at everything, tells it as a verify does, and then watches until it is over.
    ///
    /// # Errors
    /// When the catalog makes no sense, or the kernel lets nothing be watched.
    pub fn run(&self, watch: Watch, tasks: Vec<Task>) -> Result<(), Refusal> {
        let journal = self.journal();
        let mut resting =
            Resting::new(tasks, &journal).map_err(|error| Refusal::Protocol { reason: error.to_string() })?;
        drop(journal);
        let all: Vec<u32> = resting.all().collect();
        let mut ears = self.ears(&mut resting, &all)?;
        let mut verdicts = Verdicts::default();
        // What happens from here on is heard, so the look misses nothing.
        let told = self.look(&mut resting, &all);
        for event in &told {
            if let Event::Ended(result) = event {
                verdicts.note(result);
            }
        }
        for event in told {
            self.outbox.send(FromAgent::Events(vec![event]));
        }
        self.outbox.send(FromAgent::Done);
        self.tell(Watched::Standing { unseen: ears.subjects.unseen.iter().copied().collect() });
        self.outbox.rest(true);
        let ended = self.watch(watch, &mut resting, &all, &mut ears, &mut verdicts);
        self.outbox.rest(false);
        ended.map_err(|error| Refusal::State { reason: format!("the watch has ended: {error}") })
    }

    fn watch(
        &self,
        watch: Watch,
        resting: &mut Resting,
        all: &[u32],
        ears: &mut Ears,
        verdicts: &mut Verdicts,
    ) -> std::io::Result<()> {
        let now = Instant::now();
        let every = (watch.look_every > 0).then(|| Duration::from_secs(u64::from(watch.look_every)));
        let mut whole = every.map(|every| now + every);
        let mut pace = Pace::new(now);
        let mut listen = now;
        let mut held_since: Option<Instant> = None;
        while !(self.over)() {
            let deaf = Instant::now() < listen;
            let wake = [pace.due(), whole, ears.call, deaf.then_some(listen)].into_iter().flatten().min();
            let tables = ears.wait(self.bell, wake, !deaf)?;
            let now = Instant::now();
            if now >= listen && ears.hear(&tables, &mut pace, all, now)? {
                listen = now + pace::CALM;
            }
            self.call_bus(ears, &mut pace, now);
            if whole.is_some_and(|at| now >= at) {
                whole = every.map(|every| now + every);
                pace.touch(all.iter().copied(), now);
            }
            let Some(mut touched) = pace.take(now) else { continue };
            touched.remove(&BUS_SOCKET);
            if let Some(holder) = holder::of(&self.state.lock()) {
                let since = *held_since.get_or_insert(now);
                if since == now {
                    self.tell(Watched::Note(format!(
                        "{holder} is at work here; what it touches is looked at when it has ended"
                    )));
                }
                if now < since + HELD_AT_MOST {
                    pace.put_off(touched, now, HELD);
                    continue;
                }
            } else {
                held_since = None;
            }
            let touched: Vec<u32> = touched.into_iter().collect();
            self.listen_to(ears, resting, &touched);
            let begun = Instant::now();
            let events = self.look(resting, &touched);
            pace.looked(begun, Instant::now());
            if (self.over)() {
                break;
            }
            let news = verdicts.news(events);
            for some in news.chunks(TOLD_AT_ONCE) {
                self.tell(Watched::Verdicts(some.to_vec()));
            }
        }
        Ok(())
    }

    fn ears(&self, resting: &mut Resting, all: &[u32]) -> Result<Ears, Refusal> {
        let paths = PathWatch::new().map_err(|error| Refusal::State {
            reason: format!(
                "inotify(7) cannot be used: {error} (`sysctl fs.inotify.max_user_instances` says how many there may be)"
            ),
        })?;
        let mut ears = Ears {
            paths,
            subjects: Subjects::default(),
            tables: Vec::new(),
            bus: None,
            call: None,
            calls: 0,
            deaf: false,
            missed: BTreeSet::new(),
        };
        self.listen_to(&mut ears, resting, all);
        for (table, who) in &ears.subjects.tables {
            match OpenTable::open(*table, who.clone()) {
                Ok(open) => ears.tables.push(open),
                Err(_) => ears.subjects.unseen.extend(who),
            }
        }
        if !ears.subjects.units.is_empty() {
            ears.paths.add(bus::SYSTEM_BUS.into(), BUS_SOCKET, Depth::Itself);
            ears.paths.arm();
            ears.call = Some(Instant::now());
            let mut pace = Pace::new(Instant::now());
            self.call_bus(&mut ears, &mut pace, Instant::now());
        }
        Ok(ears)
    }

    /// Watches what tells of these tasks; it may be more than before, since a user's keys are in the user's home.
    fn listen_to(&self, ears: &mut Ears, resting: &mut Resting, tasks: &[u32]) {
        let signs = self.with_surroundings(&|_| {}, |around| resting.signs(tasks, self.begin, around));
        for (task, signs) in signs {
            ears.subjects.add(task, signs, &mut ears.paths);
        }
        for Unwatched { path, reason } in ears.paths.arm() {
            if ears.missed.insert(reason) {
                self.tell(Watched::Note(not_watched(&path, reason, ears.paths.len())));
            }
        }
    }

    /// Calls the bus where that is due.
    fn call_bus(&self, ears: &mut Ears, pace: &mut Pace, now: Instant) {
        if ears.bus.is_some() || ears.call.is_none_or(|at| now < at) {
            return;
        }
        match UnitSignals::connect(&ears.subjects.units) {
            Ok(bus) => {
                ears.bus = Some(bus);
                ears.call = None;
                ears.calls = 0;
                // What has happened meanwhile nobody has told.
                pace.touch(ears.subjects.of_units(), now);
                if std::mem::take(&mut ears.deaf) {
                    self.tell(Watched::Note("systemd is heard again".into()));
                }
            }
            Err(error) => {
                let wait = CALL_AGAIN * 2u32.saturating_pow(ears.calls);
                ears.calls += 1;
                ears.call = (ears.calls < CALLS).then(|| now + wait);
                // The first calls may come while the bus is being started anew.
                if (ears.calls == 3 || ears.call.is_none()) && !std::mem::replace(&mut ears.deaf, true) {
                    self.tell(Watched::Note(format!(
                        "systemd's signals cannot be heard ({error}): a unit that changes is seen by looks at \
                         everything only"
                    )));
                }
            }
        }
    }

    /// Looks at tasks; what that tells.
    fn look(&self, resting: &mut Resting, tasks: &[u32]) -> Vec<Event> {
        let redactor = Redactor::new(&self.begin.redact);
        let told = Mutex::new(Vec::new());
        let send = |event: Event| {
            if matches!(event, Event::Ended(_) | Event::Standing { .. }) {
                let event = redact(event, &redactor);
                told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
            }
        };
        self.with_surroundings(&send, |around| resting.look(tasks, self.begin, around));
        self.store.forget();
        told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The machine and its journal as they are now: nothing of earlier looks is kept.
    fn with_surroundings<T>(
        &self,
        send: &(dyn Fn(Event) + Sync),
        work: impl FnOnce(Surroundings<'_>) -> T,
    ) -> T {
        let real = Real::remembering(self.state.digests(), !self.begin.paranoid);
        let journal = self.journal();
        let contents = FromJournal { journal: &journal, store: self.store };
        let done = work(Surroundings {
            node: &real,
            journal: &journal,
            contents: &contents,
            store: self.store,
            send,
            flush: &|| {},
            announce: &|_| {},
            guard: None,
            looked: &|_| {},
            confirm: &|_| {},
            restart: &|_, _| "a watch restarts no host".into(),
            stopping: self.over,
        });
        // What cannot be kept is hashed again the next time.
        let _ = real.keep_digests();
        done
    }

    fn journal(&self) -> Journal {
        Journal::open(self.state, self.begin.journal_limit).unwrap_or_else(|_| Journal::empty(self.state))
    }

    fn tell(&self, watched: Watched) {
        self.outbox.send(FromAgent::Watched(watched));
    }
}

impl Ears {
    /// Sleeps until something happens, or until then. With closed ears only the bell wakes. Tells which tables have
    /// changed, by their place: the kernel says it once.
    fn wait(&self, bell: &Bell, until: Option<Instant>, open: bool) -> std::io::Result<Vec<usize>> {
        let bell_fd = bell.fd();
        let mut fds = vec![PollFd::new(&bell_fd, PollFlags::IN)];
        let paths = self.paths.fd();
        let bus = self.bus.as_ref().map(UnitSignals::fd);
        let tables: Vec<_> = self.tables.iter().map(OpenTable::fd).collect();
        if open {
            fds.push(PollFd::new(&paths, PollFlags::IN));
            fds.extend(bus.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
            fds.extend(tables.iter().map(|fd| PollFd::new(fd, PollFlags::PRI)));
        }
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            // Seconds of a wait fit.
            Timespec { tv_sec: left.as_secs().min(1 << 30) as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        bell.hear();
        let told = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::PRI | PollFlags::ERR);
        let first = fds.len().saturating_sub(tables.len());
        let tables = if open { fds[first..].iter().enumerate() } else { [].iter().enumerate() };
        Ok(tables.filter(|(_, fd)| told(fd)).map(|(place, _)| place).collect())
    }

    /// Takes all that was told; whether there was anything, be it of no concern.
    fn hear(
        &mut self,
        tables: &[usize],
        pace: &mut Pace,
        all: &[u32],
        now: Instant,
    ) -> std::io::Result<bool> {
        let mut heard = !tables.is_empty();
        let Touched { who, lost, events } = self.paths.read()?;
        heard |= events > 0;
        if lost {
            pace.touch(all.iter().copied(), now);
        }
        if who.contains(&BUS_SOCKET) && self.bus.is_none() {
            self.call = Some(now);
            self.calls = 0;
        }
        pace.touch(who.into_iter().filter(|who| *who != BUS_SOCKET), now);
        if let Some(bus) = &mut self.bus {
            match bus.read() {
                Ok(told) => {
                    heard |= told.all || !told.who.is_empty();
                    pace.touch(told.who, now);
                    if told.all {
                        pace.touch(self.subjects.of_units(), now);
                    }
                }
                Err(_) => {
                    heard = true;
                    self.bus = None;
                    self.call = Some(now + CALL_AGAIN);
                    pace.touch(self.subjects.of_units(), now);
                }
            }
        }
        for table in tables {
            pace.touch(self.tables[*table].who.iter().copied(), now);
        }
        Ok(heard)
    }
}

fn not_watched(path: &std::path::Path, reason: Reason, watches: usize) -> String {
    let path = path.display();
    match reason {
        Reason::NoneLeft => format!(
            "{path} and what comes after it is not watched: the kernel gives no more than {watches} watches; \
             `sysctl fs.inotify.max_user_watches` says how many the user may have, raise it and watch again"
        ),
        Reason::TooMany => format!(
            "{path} and more is not watched: {watches} watches are the most that one session takes; it is seen by \
             looks at everything only"
        ),
        Reason::Forbidden => format!(
            "{path} may not be read by the user the agent runs as, so it is not watched; `become: true` lets it"
        ),
    }
}
