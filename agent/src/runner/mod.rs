//! Runs a node's graph: a first look at everything, then changes along the edges, each looked at again.
//!
//! What a task reports is what the first look found, in a plan as in an apply: so both tell the same,
//! whatever a package of the same run brings along.

mod again;
mod barrier;
mod first_look;
mod guarding;
mod nearest;
mod orphans;
mod ready_queue;
mod remember;
mod report;
mod vouch;
mod work;

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use cm_modules::{
    Class, Contents, Node, Problem, Resource, Seen, Thing,
    former::{Former, Item},
    registry,
};
use cm_wire::{AddedTask, Begin, Change, Done, Event, Mode, Notice, Outcome, Task, TaskResult, Undo};

use crate::{
    applied::AppliedTasks,
    contents::ContentStore,
    guard::Guard,
    journal::{Journal, Record},
    undo::{self, Added, Selected},
};
pub use again::Resting;
use guarding::Guarding;
// For counting its instructions.
#[doc(hidden)]
pub use ready_queue::{Ending, NotAGraph, ReadyQueue};
use remember::close_transaction;
pub(crate) use remember::{is_at_rest, read_units};
use vouch::Ends;

/// Tasks at work at once where the controller does not say: mostly they wait for disks and processes.
const WORKERS: usize = 8;

/// What a run works with.
pub struct Surroundings<'a> {
    /// The machine, or its image in a plan.
    pub node: &'a dyn Node,
    /// The node's memory.
    pub journal: &'a Journal,
    /// Contents by digest.
    pub contents: &'a dyn Contents,
    /// Those of them that the controller sends.
    pub store: &'a ContentStore,
    /// Takes what happens; results of tasks that were as wanted may wait for the next event.
    pub send: &'a (dyn Fn(Event) + Sync),
    /// Nothing may wait any longer: other work lasts.
    pub flush: &'a (dyn Fn() + Sync),
    /// Takes what the node adds to the catalog, before anything happens to it.
    pub announce: &'a (dyn Fn(Vec<AddedTask>) + Sync),
    /// Guards changes that may cut the connection; none where nothing is changed.
    pub guard: Option<&'a Guard>,
    /// Takes what the first look found, a number for each task.
    pub looked: &'a (dyn Fn(Vec<u64>) + Sync),
    /// Asks the controller to come back over a new connection within these seconds.
    pub confirm: &'a (dyn Fn(u32) + Sync),
    /// Restarts the host because of a task, with what it reports; comes back only with the reason why not.
    pub restart: &'a (dyn Fn(u32, Vec<Change>) -> String + Sync),
    /// No new task may start.
    pub stopping: &'a (dyn Fn() -> bool + Sync),
}

/// Why a catalog cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Two sides disagree on what a module takes: a bug, told with all there is.
    #[error("task `{id}`: {reason}")]
    Task {
        /// The task's id.
        id: String,
        /// Why.
        reason: String,
    },
    /// Edges that lead nowhere or form a cycle.
    #[error("the tasks' edges do not form a graph")]
    Graph,
    /// What is to be taken back cannot be, or not safely.
    #[error("{}", .0.join("; "))]
    Undo(Vec<String>),
    /// These tasks find something else than they found when the plan was made.
    #[error("the node has changed since its plan: {}", .0.join(", "))]
    Moved(Vec<String>),
    /// What the node remembers cannot be read, and something is to be changed.
    #[error("the journal cannot be read: {0}")]
    Memory(String),
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunEnd {
    /// Guarded changes were made that nobody will confirm, because something of them failed.
    pub guard_is_broken: bool,
    /// Everything was as wanted, and nothing of its roles was there that they do not have any more.
    pub is_quiet: bool,
}

/// A task with everything the run knows of it.
struct Slot {
    task: Task,
    resource: Box<dyn Resource>,
    class: Class,
    /// The unit whose restarts and reloads this task pays, where it is a service.
    service: Option<String>,
    first: Result<Seen, Problem>,
    /// Restarts and reloads that were owed before this run.
    owed: Vec<(Notice, String)>,
    /// What it makes, as the journal names it.
    made: Vec<Item>,
    /// Units it makes, as they were at the start of the run: a package of the run may bring and start them.
    initial: Vec<(Item, Former)>,
    /// The node made it itself, to take something back.
    added: Option<Origin>,
}

/// What an added task takes back.
struct Origin {
    item: Item,
    /// Nobody wants the thing any more when it is done.
    release: bool,
}

pub(crate) struct Runner<'a> {
    begin: &'a Begin,
    around: Surroundings<'a>,
    slots: Vec<Slot>,
    progress: Mutex<Progress>,
    moved: Condvar,
    start: Instant,
    guarding: Guarding<'a>,
    /// How tasks had ended before the host was restarted.
    done: BTreeMap<u32, Done>,
    ends: Ends,
    /// What was applied before; read where something differs in a verify.
    applied: OnceLock<AppliedTasks>,
}

struct Progress {
    queue: ReadyQueue,
    /// Restarts and reloads asked of service tasks in this run.
    notices: Vec<Vec<(Notice, String)>>,
    /// Batch keys that are at work: one transaction of a kind at a time.
    busy_batches: Vec<&'static str>,
    /// A task is at work that takes the node down.
    alone: bool,
    stopped: bool,
}

/// What a worker took to do.
struct Job {
    tasks: Vec<u32>,
    batch: Option<&'static str>,
    alone: bool,
}

/// Runs the catalog to its end; every task's result goes out as an event.
///
/// # Errors
/// When the catalog cannot be run; then nothing was touched.
pub fn run(begin: &Begin, tasks: Vec<Task>, around: Surroundings<'_>) -> Result<RunEnd, CatalogError> {
    tell_modules(around.journal, around.node);
    let mut slots = Vec::with_capacity(tasks.len());
    for task in tasks {
        slots.push(Slot::new(task, around.journal)?);
    }
    // What a killed run left open ends with this run's own packages, where it has any: the killed run's
    // package manager may still be at work.
    let own_packages = slots.iter().any(Slot::changes_packages);
    if begin.undo.is_some() {
        remember::await_packages(&around, Duration::from_secs(u64::from(begin.lock_wait)));
    }
    if begin.undo.is_some() || (begin.mode == Mode::Apply && !own_packages) {
        close_transaction(&around, begin.mode == Mode::Apply);
    }
    let (added, orphaned) = undo(begin, &slots, &around)?;
    if !added.is_empty() {
        let name = |added: &Added| AddedTask { id: added.task.id.clone(), role: added.task.role.clone() };
        (around.announce)(added.iter().map(name).collect());
        slots.extend(added.into_iter().map(|added| Slot::added(added, around.journal)));
    }
    let end = run_slots(begin, slots, around)?;
    Ok(RunEnd { is_quiet: end.is_quiet && !orphaned, ..end })
}

/// Tells the node how modules of the repository are asked about what they have changed.
pub fn tell_modules(journal: &Journal, node: &dyn Node) {
    journal.read(|ledger| ledger.calls.iter().for_each(|(key, call)| node.learn(key, call, None)));
}

/// Runs tasks that the node made itself and nothing else.
pub fn run_added(begin: &Begin, added: Vec<Added>, around: Surroundings<'_>) {
    let slots = added.into_iter().map(|added| Slot::added(added, around.journal)).collect();
    // The graph is of our own making: it leads nowhere else.
    let _ = run_slots(begin, slots, around);
}

fn run_slots(begin: &Begin, slots: Vec<Slot>, around: Surroundings<'_>) -> Result<RunEnd, CatalogError> {
    let start = Instant::now();
    let count = slots.len();
    let in_range = |task: &u32| (*task as usize) < count;
    let whole = slots.iter().all(|slot| {
        slot.task.edits.iter().all(in_range) && slot.task.notify.iter().all(|notify| in_range(&notify.task))
    });
    if !whole {
        return Err(CatalogError::Graph);
    }
    let queue = ReadyQueue::new(slots.iter().map(|slot| slot.task.after.clone()).collect())
        .map_err(|_| CatalogError::Graph)?;
    let progress = Progress {
        queue,
        notices: vec![Vec::new(); count],
        busy_batches: Vec::new(),
        alone: false,
        stopped: false,
    };
    let guarding = Guarding::of(&slots, around.guard);
    let done = begin.resumed.iter().flat_map(|resumed| resumed.done.iter().copied()).collect();
    let mut runner = Runner {
        begin,
        around,
        slots,
        progress: Mutex::new(progress),
        moved: Condvar::new(),
        start,
        guarding,
        done,
        ends: Ends::new(count),
        applied: OnceLock::new(),
    };
    let losers = runner.losers();
    runner.first_look();
    runner.compare_looks()?;
    runner.remember_where_it_matters()?;
    let packages_differ = |slot: &Slot| slot.changes_packages() && !matches!(slot.first, Ok(Seen::AsWanted));
    if begin.mode == Mode::Apply && !runner.slots.iter().any(packages_differ) {
        close_transaction(&runner.around, true);
    }
    runner.work_through();
    if begin.mode == Mode::Apply {
        close_transaction(&runner.around, true);
    }
    runner.vouch(&losers);
    let ended_well =
        |(index, slot): (usize, &Slot)| slot.task.module == cm_wire::BARRIER || runner.ends.is_ok(index);
    let is_quiet = runner.slots.iter().enumerate().all(ended_well);
    Ok(RunEnd { guard_is_broken: runner.guarding.is_broken(), is_quiet })
}

/// What the node takes back in this run: what it was asked to, and the orphans of roles that are pruned; and whether
/// there are orphans.
fn undo(
    begin: &Begin,
    slots: &[Slot],
    around: &Surroundings<'_>,
) -> Result<(Vec<Added>, bool), CatalogError> {
    let node = around.node;
    let mut selected = around
        .journal
        .read(|ledger| match &begin.undo {
            None => Ok(Selected::default()),
            Some(Undo::Run { run, later, force }) => undo::of_run(ledger, node, run, *later, *force),
            Some(Undo::Roles(roles)) => Ok(undo::of_roles(ledger, node, roles)),
        })
        .map_err(CatalogError::Undo)?;
    let orphaned = orphans::add(begin, slots, around, &mut selected);
    for note in selected.notes {
        (around.send)(Event::Note(note));
    }
    if let Some(Undo::Roles(roles)) = &begin.undo
        && begin.mode == Mode::Apply
        && !selected.shared.is_empty()
    {
        let released = Record::Released { items: selected.shared, roles: Some(roles.clone()) };
        if let Err(error) = around.journal.write_soon(&[released]) {
            (around.send)(Event::Note(format!("the journal cannot be written: {error}")));
        }
    }
    // Tasks are numbered in u32 on the wire.
    Ok((undo::order(selected.taken, node, slots.len() as u32), orphaned))
}

impl Slot {
    /// Whether it is part of transactions of the package manager, which bring more than was asked for.
    fn changes_packages(&self) -> bool {
        self.class == Class::Package && self.resource.batch().is_some()
    }

    /// A task that the node made itself.
    fn added(added: Added, journal: &Journal) -> Self {
        let Added { task, resource, item, release } = added;
        let touches = resource.touches();
        let service = service_of(&touches.makes);
        let owed =
            service.as_deref().map(|name| journal.read(|ledger| ledger.owed(name))).unwrap_or_default();
        Self {
            task,
            resource,
            class: touches.class,
            service,
            first: Ok(Seen::Later),
            owed,
            made: Vec::new(),
            initial: Vec::new(),
            added: Some(Origin { item, release }),
        }
    }

    fn new(task: Task, journal: &Journal) -> Result<Self, CatalogError> {
        if task.module == cm_wire::BARRIER {
            let resource = Box::new(barrier::Barrier);
            return Ok(Self {
                task,
                resource,
                class: Class::Free,
                service: None,
                first: Ok(Seen::AsWanted),
                owed: Vec::new(),
                made: Vec::new(),
                initial: Vec::new(),
                added: None,
            });
        }
        let resource = registry::compile(&task.module, &task.params)
            .map_err(|error| CatalogError::Task { id: task.id.clone(), reason: error.to_string() })?;
        let touches = resource.touches();
        let service = service_of(&touches.makes).or_else(|| resource.alone().then(|| HOST.to_owned()));
        let owed =
            service.as_deref().map(|name| journal.read(|ledger| ledger.owed(name))).unwrap_or_default();
        let made = touches.makes.iter().filter_map(Item::of).collect();
        let first = Ok(Seen::Later);
        let (class, initial) = (touches.class, Vec::new());
        Ok(Self { task, resource, class, service, first, owed, made, initial, added: None })
    }
}

/// What owes a restart of the whole host; no unit has such a name.
const HOST: &str = "reboot";

/// The unit whose running state is made.
fn service_of(makes: &[Thing]) -> Option<String> {
    makes.iter().find_map(|thing| match thing {
        Thing::Service(name) => Some(name.clone()),
        _ => None,
    })
}

impl Runner<'_> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Whoever panicked while holding it changed nothing half: every update is one call.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the journal where that was put off and something differs.
    fn remember_where_it_matters(&self) -> Result<(), CatalogError> {
        let differs = |slot: &Slot| slot.class != Class::Check && !matches!(slot.first, Ok(Seen::AsWanted));
        if !self.slots.iter().any(differs) {
            return Ok(());
        }
        match self.around.journal.wake() {
            Err(error) if self.begin.mode == Mode::Apply => Err(CatalogError::Memory(error.to_string())),
            // Nothing is changed: what is not known is not told.
            Err(_) => Ok(()),
            Ok(()) => {
                tell_modules(self.around.journal, self.around.node);
                Ok(())
            }
        }
    }

    fn work_through(&self) {
        let busy = self.slots.iter().filter(|slot| !matches!(slot.first, Ok(Seen::AsWanted))).count();
        let workers = match self.begin.mode {
            // A plan's tasks run in a fixed order, so that its answer is always the same.
            Mode::Plan => 1,
            _ if self.begin.parallel > 0 => usize::from(self.begin.parallel),
            _ => WORKERS,
        };
        std::thread::scope(|scope| {
            for _ in 1..workers.min(busy) {
                // Where the node has no room for another thread, those that are there do the work.
                if std::thread::Builder::new().spawn_scoped(scope, || self.work()).is_err() {
                    break;
                }
            }
            self.work();
        });
        let left = self.progress().queue.unstarted();
        for task in left {
            self.report(task, Outcome::Cancelled, Vec::new(), None, self.elapsed(), 0);
        }
    }

    fn work(&self) {
        let mut progress = self.progress();
        loop {
            if progress.stopped || (self.around.stopping)() {
                progress.stopped = true;
                self.moved.notify_all();
                return;
            }
            match self.take(&mut progress) {
                Some(job) => {
                    drop(progress);
                    (self.around.flush)();
                    self.do_job(&job);
                    progress = self.progress();
                    if job.alone {
                        progress.alone = false;
                    }
                    if let Some(batch) = job.batch {
                        progress.busy_batches.retain(|busy| *busy != batch);
                    }
                    self.moved.notify_all();
                }
                None if !progress.queue.busy() => {
                    self.moved.notify_all();
                    return;
                }
                None => {
                    (self.around.flush)();
                    // Bounded, so that a stop from outside is seen.
                    let wait = std::time::Duration::from_millis(200);
                    progress =
                        self.moved.wait_timeout(progress, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Takes the next work; tasks that need none are ended on the way.
    fn take(&self, progress: &mut Progress) -> Option<Job> {
        if progress.alone {
            return None;
        }
        loop {
            let next = {
                let resource = |task: u32| &self.slots[task as usize].resource;
                let busy = progress.queue.busy();
                let may = |task: &u32| !busy || !resource(*task).alone();
                let free = |task: &u32| {
                    let batch = resource(*task).batch();
                    may(task) && batch.is_none_or(|batch| !progress.busy_batches.contains(&batch))
                };
                let single = |task: &u32| may(task) && resource(*task).batch().is_none();
                // Single tasks first: they may make more of a batch ready.
                progress.queue.ready().find(single).or_else(|| progress.queue.ready().find(free))?
            };
            let slot = &self.slots[next as usize];
            if self.was_done(progress, next) {
                continue;
            }
            let quiet = matches!(slot.first, Ok(Seen::AsWanted))
                && !progress.queue.disturbed(next)
                && progress.notices[next as usize].is_empty();
            let barrier = slot.task.module == cm_wire::BARRIER;
            if quiet || barrier {
                progress.queue.start(next);
                self.claim(next);
                self.release(next);
                self.report(next, Outcome::Ok, Vec::new(), None, self.elapsed(), 0);
                self.end(progress, next, Ending::Quiet);
                continue;
            }
            let batch = slot.resource.batch();
            let tasks: Vec<u32> = match batch {
                None => vec![next],
                Some(key) => {
                    progress.busy_batches.push(key);
                    progress
                        .queue
                        .ready()
                        .filter(|task| self.slots[*task as usize].resource.batch() == batch)
                        .collect()
                }
            };
            tasks.iter().for_each(|task| progress.queue.start(*task));
            let alone = slot.resource.alone();
            progress.alone = alone;
            return Some(Job { tasks, batch, alone });
        }
    }

    /// Ends a task that had ended before the host was restarted, or that restarted it; whether it was one.
    fn was_done(&self, progress: &mut Progress, task: u32) -> bool {
        if let Some(done) = self.done.get(&task) {
            progress.queue.start(task);
            let ending = match done {
                Done::Ok => Ending::Quiet,
                Done::Changed => Ending::Changed,
                Done::Failed => Ending::Failed,
            };
            self.end(progress, task, ending);
            return true;
        }
        let Some(resumed) = self.begin.resumed.as_ref().filter(|resumed| resumed.task == task) else {
            return false;
        };
        progress.queue.start(task);
        let boot_id = crate::boot::boot_id();
        let (outcome, ending) = if boot_id == resumed.boot_id {
            let error =
                "the host answers again, but it was not restarted: its boot id is the same".to_owned();
            let hint = Some("`journalctl -b` on the host may say what held up the restart".to_owned());
            (Outcome::Failed { error, hint }, Ending::Failed)
        } else {
            (Outcome::Changed, Ending::Changed)
        };
        self.report(task, outcome, resumed.changes.clone(), None, self.elapsed(), 0);
        self.end(progress, task, ending);
        true
    }

    /// Ends a task and whatever its failure takes along.
    fn end(&self, progress: &mut Progress, task: u32, ending: Ending) {
        if let Some(limit) = self.guarding.ended(task, ending != Ending::Failed) {
            (self.around.confirm)(limit);
        }
        if ending == Ending::Changed {
            let slot = &self.slots[task as usize];
            for notify in &slot.task.notify {
                // In the order of their names, not in that in which they happened to end: a plan must tell the same.
                let told = &mut progress.notices[notify.task as usize];
                let at = told.partition_point(|(_, known)| *known < slot.task.id);
                told.insert(at, (notify.notice, slot.task.id.clone()));
            }
        }
        for skipped in progress.queue.end(task, ending) {
            self.report(skipped, Outcome::Skipped { because: task }, Vec::new(), None, self.elapsed(), 0);
        }
        if ending == Ending::Failed && self.begin.fail_fast {
            progress.stopped = true;
        }
    }

    fn elapsed(&self) -> u64 {
        // Microseconds of a run fit for half a million years.
        self.start.elapsed().as_micros() as u64
    }

    fn send_result(&self, result: TaskResult) {
        if self.slots[result.task as usize].task.module == cm_wire::BARRIER {
            return;
        }
        self.ends.note(&result);
        self.tell_standing(&result);
        (self.around.send)(Event::Ended(result));
    }
}
