//! The look at everything before anything is changed.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cm_modules::{
    Class, Prefetch, Problem, Seen,
    former::{Item, capture},
};
use cm_wire::{Digest, Looks, Mode};

use super::{CatalogError, Runner, Slot};
use crate::contents::ContentStore;

/// After this time of looking alone other threads help; most nodes have been looked at by then.
const ALONE: Duration = Duration::from_millis(5);
/// The same where the processors are busy with other things: another thread only adds to them.
const ALONE_AND_BUSY: Duration = Duration::from_millis(25);
/// More threads than this only wait for each other.
const THREADS: usize = 4;

impl Runner<'_> {
    /// Looks at every resource, in parallel; contents that a diff needs come in one round trip.
    pub(super) fn first_look(&mut self) {
        let mut wants = Prefetch::default();
        self.slots.iter().for_each(|slot| slot.resource.prefetch(&mut wants));
        self.around.node.prefetch(&wants);

        self.keep_initial();

        let all: Vec<usize> = (0..self.slots.len()).filter(|&index| self.is_looked_at(index)).collect();
        self.around.node.hold_still(true);
        self.look_gathering(all);
        self.around.node.hold_still(false);
    }

    /// Looks at these, and again at those whose contents had to be asked for first.
    pub(super) fn look_gathering(&mut self, indexes: Vec<usize>) {
        self.around.store.gather();
        let looks = self.look_at(&indexes);
        let missing = self.around.store.get_gathered();
        let mut again = Vec::new();
        for (index, look) in indexes.into_iter().zip(looks) {
            if missing && look.as_ref().is_err_and(ContentStore::put_off) {
                again.push(index);
            }
            self.slots[index].first = look;
        }
        let looks = self.look_at(&again);
        for (index, look) in again.into_iter().zip(looks) {
            self.slots[index].first = look;
        }
    }

    /// Tells what was found, or compares it with what a plan found.
    pub(super) fn compare_looks(&self) -> Result<(), CatalogError> {
        let wanted = match &self.begin.looks {
            // The rest of a run that restarted the host is its own doing.
            _ if self.begin.resumed.is_some() => return Ok(()),
            Looks::Untold => return Ok(()),
            Looks::Told => {
                (self.around.looked)(self.compared().map(found).collect());
                return Ok(());
            }
            Looks::Expected(wanted) => wanted,
        };
        let now: Vec<&Slot> = self.compared().collect();
        if now.len() != wanted.len() {
            let count = format!("{} tasks instead of {}", now.len(), wanted.len());
            return Err(CatalogError::Moved(vec![count]));
        }
        let moved = now.into_iter().zip(wanted).filter(|(slot, wanted)| found(slot) != **wanted);
        let moved: Vec<String> = moved.map(|(slot, _)| slot.task.id.clone()).collect();
        if moved.is_empty() { Ok(()) } else { Err(CatalogError::Moved(moved)) }
    }

    /// The tasks whose looks a plan and its apply have in common: checks are not part of a plan.
    fn compared(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.class != Class::Check && slot.task.module != cm_wire::BARRIER)
    }

    /// How units are before anything of the run brings or starts them; all were asked for in one go.
    fn keep_initial(&mut self) {
        if self.begin.mode != Mode::Apply {
            return;
        }
        let node = self.around.node;
        for slot in &mut self.slots {
            // A group goes with its user, a package with another: what is taken back may be gone at its turn.
            let alive = |item: &&Item| matches!(item, Item::User(_) | Item::Group(_) | Item::Package(_));
            let taken = slot.added.iter().map(|added| &added.item).filter(alive);
            let units = slot.made.iter().filter(|item| matches!(item, Item::Unit(_))).chain(taken);
            slot.initial =
                units.filter_map(|item| Some((item.clone(), capture(node, item, None).ok()?))).collect();
        }
    }

    /// Checks come last; what had ended before the host was restarted is not looked at again.
    fn is_looked_at(&self, index: usize) -> bool {
        // Tasks are numbered in u32 on the wire.
        self.slots[index].class != Class::Check && !self.done.contains_key(&(index as u32))
    }

    fn look_at(&self, indexes: &[usize]) -> Vec<Result<Seen, Problem>> {
        let results: Vec<OnceLock<Result<Seen, Problem>>> = indexes.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let look = || {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let index = *indexes.get(at)?;
            // Each place is set by the one thread that took its number.
            let _ = results[at].set(self.look_first(index));
            Some(())
        };
        let slow = |index: &usize| self.slots[*index].class == Class::Opaque;
        let mut alone = Alone::new();
        while !indexes.iter().any(slow) && alone.lasts() && look().is_some() {}
        let left = indexes.len().saturating_sub(next.load(Ordering::Relaxed));
        let threads = if left > 1 { processors().min(THREADS).min(left) } else { 1 };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let help = || while look().is_some() {};
                // Where the node has no room for another thread, those that are there do the work.
                if std::thread::Builder::new().spawn_scoped(scope, help).is_err() {
                    break;
                }
            }
            while look().is_some() {}
        });
        let lost = || Err(Problem::new("the look was lost; this is a bug of cm-agent"));
        results.into_iter().map(|result| result.into_inner().unwrap_or_else(lost)).collect()
    }

    fn look_first(&self, index: usize) -> Result<Seen, Problem> {
        let slot = &self.slots[index];
        let at_start = self.begin.mode != Mode::Verify || slot.class != Class::Opaque;
        self.with_context(index, &slot.owed, false, at_start, &|context| slot.resource.look(context))
    }
}

/// For how long one thread looks alone.
struct Alone {
    began: Instant,
    limit: Duration,
}

impl Alone {
    fn new() -> Self {
        Self { began: Instant::now(), limit: ALONE }
    }

    fn lasts(&mut self) -> bool {
        let took = self.began.elapsed();
        if took >= self.limit && self.limit == ALONE && waited() > ALONE / 2 {
            self.limit = ALONE_AND_BUSY;
        }
        took < self.limit
    }
}

/// How long this thread has waited for a processor since it began (Documentation/scheduler/sched-stats.rst); zero where
/// the kernel does not say.
fn waited() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = said.split(' ').nth(1).and_then(|waited| waited.parse().ok());
    Duration::from_nanos(waited.unwrap_or_default())
}

/// Processors that this process may run on. A limit by cgroups is not asked for: it takes longer than many a look.
fn processors() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}

/// A number for what a look found; equal findings have equal ones.
fn found(slot: &Slot) -> u64 {
    let told = match &slot.first {
        Ok(Seen::AsWanted) => return 0,
        Ok(seen) => format!("{seen:?}"),
        Err(problem) => format!("{problem:?}"),
    };
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(told.as_bytes()).0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
