//! The look at everything before anything is changed.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use cm_modules::{
    Class, Prefetch, Problem, Seen,
    former::{Item, capture},
};
use cm_wire::Mode;

use super::Runner;
use crate::contents::ContentStore;

/// Below this many tasks one thread is faster than starting others.
const WORTH_A_THREAD: usize = 24;

impl Runner<'_> {
    /// Looks at every resource, in parallel; contents that a diff needs come in one round trip.
    pub(super) fn first_look(&mut self) {
        let mut wants = Prefetch::default();
        self.slots.iter().for_each(|slot| slot.resource.prefetch(&mut wants));
        self.around.node.prefetch(&wants);

        self.keep_initial();

        let all: Vec<usize> = (0..self.slots.len()).filter(|&index| self.is_looked_at(index)).collect();
        self.around.store.gather();
        let looks = self.look_at(&all);
        let missing = self.around.store.get_gathered();
        let mut again = Vec::new();
        for (index, look) in all.into_iter().zip(looks) {
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
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(&index) = indexes.get(at) else { return };
                // Each place is set by the one thread that took its number.
                let _ = results[at].set(self.look_first(index));
            }
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.min(4).min(1 + indexes.len() / WORTH_A_THREAD);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // Where the node has no room for another thread, those that are there do the work.
                if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
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
