//! One task's work: look, keep what was, change, look again.

use std::time::{Duration, Instant};

use cm_modules::{Class, Context, Effect, Problem, Resource, Seen, former::Item};
use cm_wire::{Change, Event, Mode, Notice, Outcome, Stream};

use super::{Ending, Job, Runner, close_transaction, remember::Unremembered, report::merge_changes};
use crate::journal::Record;

/// A task that differs and is to be changed.
struct Differing {
    /// Its place among the tasks of the attempt.
    place: usize,
    task: u32,
    /// What it reports when it was changed.
    changes: Vec<Change>,
    notices: Vec<(Notice, String)>,
}

/// What has become of a task.
pub(super) struct TaskEnd {
    outcome: Outcome,
    changes: Vec<Change>,
    output: Option<cm_wire::Output>,
    attempts: u16,
}

impl Runner<'_> {
    /// Does what a worker took and ends its tasks.
    pub(super) fn do_job(&self, job: &Job) {
        let started = self.elapsed();
        let results = match job.tasks.as_slice() {
            [task] => vec![self.do_task(*task)],
            tasks => self.do_batch(tasks),
        };
        let took = self.elapsed() - started;
        let mut progress = self.progress();
        for (task, result) in job.tasks.iter().zip(results) {
            let ending = match &result.outcome {
                Outcome::Ok => Ending::Quiet,
                // Drift hinders nothing and nothing was done: a verify goes on as if all were well.
                _ if self.begin.mode == Mode::Verify => Ending::Quiet,
                Outcome::Changed | Outcome::Unknown { .. } => Ending::Changed,
                _ => Ending::Failed,
            };
            let settled = matches!(result.outcome, Outcome::Ok | Outcome::Changed);
            self.report_result(*task, result, started, took);
            if settled {
                self.pay(*task);
            }
            if settled {
                self.release(*task);
            }
            self.end(&mut progress, *task, ending);
        }
    }

    pub(super) fn do_task(&self, task: u32) -> TaskEnd {
        let retries = self.slots[task as usize].task.retries;
        let mut attempts = 1;
        loop {
            let mut result = self.attempt(&[task]).pop().unwrap_or_else(lost);
            result.attempts = attempts;
            let failed = matches!(result.outcome, Outcome::Failed { .. });
            if !failed || attempts > retries || self.begin.mode == Mode::Plan || (self.around.stopping)() {
                return result;
            }
            attempts += 1;
            self.pause(u64::from(self.slots[task as usize].task.retry_delay));
        }
    }

    /// A batch is tried together once; what failed and may be retried is tried alone.
    fn do_batch(&self, tasks: &[u32]) -> Vec<TaskEnd> {
        let mut results = self.attempt(tasks);
        for (result, task) in results.iter_mut().zip(tasks) {
            let retries = self.slots[*task as usize].task.retries;
            if matches!(result.outcome, Outcome::Failed { .. })
                && retries > 0
                && self.begin.mode == Mode::Apply
            {
                self.pause(u64::from(self.slots[*task as usize].task.retry_delay));
                *result = self.do_task(*task);
            }
        }
        results
    }

    fn pause(&self, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until && !(self.around.stopping)() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One attempt at one or several tasks: those that still differ are changed together.
    fn attempt(&self, tasks: &[u32]) -> Vec<TaskEnd> {
        let mut results: Vec<Option<TaskEnd>> = Vec::with_capacity(tasks.len());
        let mut differing: Vec<Differing> = Vec::new();
        for (place, &task) in tasks.iter().enumerate() {
            let (disturbed, notices) = self.circumstances(task);
            let slot = &self.slots[task as usize];
            let seen = self.with_context(task as usize, &notices, disturbed, false, &|context| {
                slot.resource.look(context)
            });
            let first = match &slot.first {
                Ok(Seen::Differs(changes)) => changes.clone(),
                _ => Vec::new(),
            };
            let verifying = self.begin.mode == Mode::Verify;
            results.push(match seen {
                Ok(Seen::AsWanted) if first.is_empty() || verifying => Some(done(Outcome::Ok, Vec::new())),
                // Something else of this run brought it: it was not there at the start, and it is now.
                Ok(Seen::AsWanted) => {
                    self.brought(task);
                    Some(done(Outcome::Changed, first))
                }
                Ok(Seen::Unknown) if self.begin.mode == Mode::Plan => {
                    let because = self.progress().queue.disturbers(task);
                    Some(done(Outcome::Unknown { because }, Vec::new()))
                }
                Ok(Seen::Differs(now)) if verifying => Some(done(Outcome::Changed, now)),
                Ok(Seen::Differs(now)) => {
                    differing.push(Differing { place, task, changes: merge_changes(first, now), notices });
                    None
                }
                Ok(Seen::Later | Seen::Unknown) => {
                    Some(failed(&Problem::new("its state cannot be known; this is a bug of its module")))
                }
                Err(problem) => Some(failed(&problem)),
            });
        }
        if !differing.is_empty() {
            let changed = self.change(&differing);
            for (differing, result) in differing.iter().zip(changed) {
                results[differing.place] = Some(result);
            }
        }
        results.into_iter().map(|result| result.unwrap_or_else(lost)).collect()
    }

    fn circumstances(&self, task: u32) -> (bool, Vec<(Notice, String)>) {
        let progress = self.progress();
        let disturbed = progress.queue.disturbed(task);
        let mut notices = self.slots[task as usize].owed.clone();
        for notice in &progress.notices[task as usize] {
            if !notices.contains(notice) {
                notices.push(notice.clone());
            }
        }
        (disturbed, notices)
    }

    fn change(&self, differing: &[Differing]) -> Vec<TaskEnd> {
        let mut items: Vec<Vec<Item>> = Vec::new();
        let applying = self.begin.mode == Mode::Apply;
        if applying {
            for Differing { task, .. } in differing {
                (self.around.send)(Event::Started { task: *task });
            }
            let tasks: Vec<u32> = differing.iter().map(|differing| differing.task).collect();
            let remembered = self
                .remember(&tasks)
                .and_then(|items| Ok(self.guarding.before(&tasks, &self.slots).map(|()| items)?));
            match remembered {
                Ok(touched) => items = touched,
                Err(unremembered) => return self.not_changed(differing.len(), &unremembered),
            }
        }
        let effects: Vec<Result<Effect, Problem>> = match differing {
            [Differing { task, notices, .. }] => {
                let slot = &self.slots[*task as usize];
                let disturbed = self.progress().queue.disturbed(*task);
                let change = |context: &Context<'_>| slot.resource.change(context);
                vec![self.with_context(*task as usize, notices, disturbed, false, &change)]
            }
            [Differing { task: first, .. }, others @ ..] => {
                let slot = &self.slots[*first as usize];
                let others: Vec<&dyn Resource> =
                    others.iter().map(|other| self.slots[other.task as usize].resource.as_ref()).collect();
                let change = |context: &Context<'_>| slot.resource.change_together(&others, context);
                self.with_context(*first as usize, &[], true, false, &change)
            }
            [] => Vec::new(),
        };
        if applying
            && let ([Differing { task, changes, .. }], [Ok(effect)]) = (differing, effects.as_slice())
            && effect.restarts_host
        {
            return vec![self.restart_host(*task, changes)];
        }
        let mut effects = effects.into_iter();
        let ends: Vec<TaskEnd> = differing
            .iter()
            .map(|Differing { task, changes, .. }| {
                let effect =
                    effects.next().unwrap_or_else(|| Err(Problem::new("its batch lost it; this is a bug")));
                self.conclude(*task, changes.clone(), effect)
            })
            .collect();
        if applying {
            for ((Differing { task, .. }, end), items) in differing.iter().zip(&ends).zip(&items) {
                self.remember_after(*task, items, matches!(end.outcome, Outcome::Ok | Outcome::Changed));
            }
            if differing.iter().any(|differing| self.slots[differing.task as usize].changes_packages()) {
                close_transaction(&self.around, true);
            }
        }
        ends
    }

    /// The ends of tasks whose changes cannot be written down. Where none can be, that is told once.
    fn not_changed(&self, count: usize, why: &Unremembered) -> Vec<TaskEnd> {
        if why.for_all && std::mem::replace(&mut self.progress().stopped, true) {
            return (0..count).map(|_| done(Outcome::Cancelled, Vec::new())).collect();
        }
        let problem = Problem::new(format!("nothing was changed, because {}", why.reason)).hint(
            "the journal must be writable, so that a change can be taken back: `df -h /var/lib/cm` and `mount` on the node",
        );
        let told = failed(&problem);
        let mut ends = vec![told];
        ends.extend(
            (1..count)
                .map(|_| if why.for_all { done(Outcome::Cancelled, Vec::new()) } else { failed(&problem) }),
        );
        ends
    }

    /// Restarts the host; this comes back only where that does not happen.
    fn restart_host(&self, task: u32, changes: &[Change]) -> TaskEnd {
        // The restart pays what was owed; the boot id proves it.
        self.pay(task);
        let reason = (self.around.restart)(task, changes.to_vec());
        failed(&Problem::new(format!("the host does not restart: {reason}")))
    }

    /// Looks again after a change.
    fn conclude(&self, task: u32, changes: Vec<Change>, effect: Result<Effect, Problem>) -> TaskEnd {
        let slot = &self.slots[task as usize];
        let effect = match effect {
            Ok(effect) => effect,
            Err(problem) => return failed(&problem),
        };
        for note in &effect.notes {
            (self.around.send)(Event::Note(format!("{}: {note}", slot.task.id)));
        }
        if !effect.final_ {
            let look = |context: &Context<'_>| slot.resource.look(context);
            match self.with_context(task as usize, &[], true, false, &look) {
                Ok(Seen::Differs(left)) => return not_converged(&left, effect.output),
                Ok(_) => {}
                Err(problem) => return failed(&problem),
            }
        }
        let outcome = if effect.changed == Some(false) { Outcome::Ok } else { Outcome::Changed };
        let changes = if outcome == Outcome::Ok { Vec::new() } else { changes };
        TaskEnd { outcome, changes, output: effect.output, attempts: 1 }
    }

    /// A service that is as wanted after its restarts owes nothing any more.
    fn pay(&self, task: u32) {
        let Some(service) = &self.slots[task as usize].service else { return };
        let in_debt = || self.around.journal.read(|ledger| ledger.owed.contains_key(service));
        if self.begin.mode == Mode::Apply && in_debt() {
            // A debt that stays by mistake costs one restart; the run itself is done.
            if let Err(error) = self.around.journal.write(&[Record::Paid { service: service.clone() }]) {
                (self.around.send)(Event::Note(format!("the journal cannot be written: {error}")));
            }
        }
    }

    /// Calls with everything a resource may use.
    pub(super) fn with_context<T>(
        &self,
        index: usize,
        notices: &[(Notice, String)],
        disturbed: bool,
        at_start: bool,
        call: &dyn Fn(&Context<'_>) -> T,
    ) -> T {
        let slot = &self.slots[index];
        let edits: Vec<&dyn Resource> =
            slot.task.edits.iter().map(|edit| self.slots[*edit as usize].resource.as_ref()).collect();
        let limit = match (slot.task.timeout, slot.class) {
            (0, Class::Package | Class::Opaque) => 3600,
            (0, _) => 600,
            (seconds, _) => u64::from(seconds),
        };
        // Tasks are numbered in u32 on the wire.
        let task = index as u32;
        let hidden = slot.task.sensitive;
        let live = |stream: Stream, text: &str| {
            if !hidden {
                (self.around.send)(Event::Output { task, stream, text: text.to_owned() });
            }
        };
        call(&Context {
            node: self.around.node,
            mode: self.begin.mode,
            contents: self.around.contents,
            diff: self.begin.diff,
            sensitive: slot.task.sensitive,
            at_start,
            disturbed,
            notices,
            edits: &edits,
            deadline: Instant::now() + Duration::from_secs(limit),
            run_as: slot.task.run_as.as_deref(),
            live: &live,
            stopping: self.around.stopping,
        })
    }

    pub(super) fn report_result(&self, task: u32, result: TaskEnd, started: u64, took: u64) {
        let TaskEnd { outcome, changes, output, attempts } = result;
        self.report_whole(cm_wire::TaskResult { task, outcome, changes, started, took, output, attempts });
    }
}

fn done(outcome: Outcome, changes: Vec<Change>) -> TaskEnd {
    TaskEnd { outcome, changes, output: None, attempts: 1 }
}

fn failed(problem: &Problem) -> TaskEnd {
    TaskEnd {
        outcome: Outcome::Failed { error: problem.message.clone(), hint: problem.hint.clone() },
        changes: Vec::new(),
        output: problem.output.as_deref().cloned(),
        attempts: 1,
    }
}

fn lost() -> TaskEnd {
    failed(&Problem::new("the result was lost; this is a bug of cm-agent"))
}

fn not_converged(left: &[Change], output: Option<cm_wire::Output>) -> TaskEnd {
    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".into());
    let list: Vec<String> = left
        .iter()
        .map(|change| {
            format!("{} is {} and not {}", change.attribute, show(&change.before), show(&change.after))
        })
        .collect();
    let problem = Problem::new(format!("did not converge: after the change {}", list.join(", ")))
        .hint("something else on the node sets it back, or the parameters contradict each other");
    TaskEnd { output, ..failed(&problem) }
}
