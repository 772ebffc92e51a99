//! What one node may say in one run. Nodes are not trusted: whoever has taken one over must not be able to
//! fill the controller's memory, state or screen, or to make it serve without end.
//!
//! No I/O. An agent of ours never breaks a bound, so breaking one ends the host's part of the run. What
//! honest nodes may have a lot of (diffs, outputs) is cut instead, with a mark that says so.

use std::mem::{size_of, size_of_val};

use cm_wire::{AddedTask, Change, Event, Outcome, Standing, TaskResult, Touched};

/// The largest first message, in bytes: the facts of a machine with thousands of mounts.
pub(crate) const HELLO: usize = 4 * 1024 * 1024;
/// What is kept of one host's results until its record is written, in bytes.
const KEPT: usize = 4 * 1024 * 1024;
/// The longest error, hint or note, in bytes.
const TEXT: usize = 64 * 1024;
/// The longest name of a thing, task or role that only the node knows, in bytes.
const NAME: usize = 8 * 1024;
/// Tasks that a node may make itself, from its journal.
const ADDED: usize = 100_000;
/// What their names may take together, in bytes.
const ADDED_NAMES: usize = 16 * 1024 * 1024;
/// Live output of a host that is passed on, in bytes.
const LIVE: usize = 256 * 1024 * 1024;
/// One piece of live output, in bytes; the agent sends lines, and long lines in pieces of 64 KiB.
const LIVE_PIECE: usize = 1024 * 1024;
/// Notices (task started, note, wait) beside those that each task may have.
const NOTICES: usize = 1000;
/// Changes behind our back that are kept of one task.
const CHANGES_OF_A_TASK: usize = 64;
/// Notices that each task may have.
const NOTICES_OF_A_TASK: usize = 8;
/// How often each content of a catalog may be asked for.
const ASKS: usize = 2;
/// Questions for contents that the catalog may lack.
const ODD_ASKS: usize = 64;

/// How a node broke a bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// It spoke of a task that it was not given.
    #[error("it speaks of task number {task} and was given {given}")]
    NoSuchTask {
        /// The number.
        task: u32,
        /// How many tasks there are.
        given: usize,
    },
    /// It said that a task had ended which had ended before.
    #[error("it reports task number {0} twice")]
    EndedTwice(u32),
    /// It asked for contents without end.
    #[error("it asks for more contents than its catalog has")]
    Needs,
    /// It sent notices without end.
    #[error("it sends notices without end")]
    Notices,
    /// It made tasks of its own without end.
    #[error("it makes more tasks of its own than a journal holds")]
    Added,
    /// It said that a task restarts the host which does not, or did before.
    #[error("it says that task number {0} restarts the host, which it does not or did before")]
    Restarts(u32),
    /// It told of its memory without end.
    #[error("it remembers more than a journal holds")]
    Ledger,
    /// It said hello in the middle of a run.
    #[error("it says hello twice")]
    Hello,
}

/// What one node may still say.
#[derive(Debug)]
pub(crate) struct Bounds {
    ended: Vec<bool>,
    added: usize,
    added_names: usize,
    notices: usize,
    asks: usize,
    live: usize,
    kept: usize,
}

impl Bounds {
    /// For a catalog of so many tasks and contents.
    pub fn new(tasks: usize, contents: usize) -> Self {
        Self {
            ended: vec![false; tasks],
            added: ADDED,
            added_names: ADDED_NAMES,
            notices: NOTICES + NOTICES_OF_A_TASK * tasks,
            asks: ODD_ASKS + ASKS * contents,
            live: LIVE,
            kept: KEPT,
        }
    }

    /// Takes tasks that the node made itself; they are numbered after those that there are.
    pub fn added(&mut self, tasks: &[AddedTask]) -> Result<(), Excess> {
        let names = tasks.iter().map(|task| task.id.len() + task.role.len()).sum();
        // A message that brings next to nothing costs something, too.
        self.added = self.added.checked_sub(tasks.len().max(100)).ok_or(Excess::Added)?;
        self.added_names = self.added_names.checked_sub(names).ok_or(Excess::Added)?;
        self.ended.resize(self.ended.len() + tasks.len(), false);
        self.notices += NOTICES_OF_A_TASK * tasks.len();
        Ok(())
    }

    /// Goes on after the host was restarted: these tasks have ended already.
    pub fn resume(&mut self, ended: Vec<bool>) {
        self.notices += NOTICES_OF_A_TASK * ended.len();
        self.ended = ended;
    }

    /// Counts questions for contents.
    pub fn asked(&mut self, contents: usize) -> Result<(), Excess> {
        self.asks = self.asks.checked_sub(contents).ok_or(Excess::Needs)?;
        Ok(())
    }

    /// Takes an event as the node sent it; none where nothing of it is passed on.
    pub fn admit(&mut self, event: Event) -> Result<Option<Event>, Excess> {
        Ok(Some(match event {
            Event::Waiting { holder } => {
                self.notice()?;
                Event::Waiting { holder: cut(holder, TEXT) }
            }
            Event::Note(text) => {
                self.notice()?;
                Event::Note(cut(text, TEXT))
            }
            Event::Orphan { item, task, role } => {
                self.notice()?;
                Event::Orphan { item: cut(item, NAME), task: cut(task, NAME), role: cut(role, NAME) }
            }
            Event::Started { task } => {
                self.known(task)?;
                self.notice()?;
                Event::Started { task }
            }
            Event::Output { task, stream, text } => {
                self.known(task)?;
                let Some(text) = self.output(text) else { return Ok(None) };
                Event::Output { task, stream, text }
            }
            Event::Standing { task, mut standing } => {
                self.known(task)?;
                self.notice()?;
                bound_standing(&mut standing);
                Event::Standing { task, standing }
            }
            Event::Ended(mut result) => {
                let index = self.known(result.task)?;
                if std::mem::replace(&mut self.ended[index], true) {
                    return Err(Excess::EndedTwice(result.task));
                }
                if let Outcome::Failed { error, hint } = &mut result.outcome {
                    *error = cut(std::mem::take(error), TEXT);
                    *hint = hint.take().map(|hint| cut(hint, TEXT));
                }
                Event::Ended(result)
            }
        }))
    }

    /// What is kept of a result: all of it while there is room, then all but its texts, then only how it ended.
    pub fn keep(&mut self, result: &TaskResult) -> TaskResult {
        let size = weight(result);
        if size <= self.kept {
            self.kept -= size;
            return result.clone();
        }
        let mut short = TaskResult {
            task: result.task,
            outcome: match &result.outcome {
                Outcome::Failed { error, hint } => Outcome::Failed {
                    error: cut(error.clone(), TEXT / 16),
                    hint: hint.clone().map(|hint| cut(hint, TEXT / 16)),
                },
                Outcome::Unknown { because } => {
                    Outcome::Unknown { because: because.iter().take(16).copied().collect() }
                }
                other => other.clone(),
            },
            changes: Vec::new(),
            started: result.started,
            took: result.took,
            output: None,
            attempts: result.attempts,
        };
        let left_out = |text: &Option<String>| text.as_ref().map(|text| cut(text.clone(), 256));
        for change in result.changes.iter().take(64) {
            let change = Change {
                attribute: cut(change.attribute.clone(), 256),
                before: left_out(&change.before),
                after: left_out(&change.after),
                diff: change
                    .diff
                    .as_ref()
                    .map(|diff| format!("… {} bytes of this diff were not kept\n", diff.len())),
            };
            short.changes.push(change);
        }
        let size = weight(&short);
        if size > self.kept {
            short.changes.clear();
            // Short texts of as many results as there are tasks: bounded by the catalog, which is ours.
            return short;
        }
        self.kept -= size;
        short
    }

    /// Keeps what is told of a task's history while there is room; then only what the verdict needs.
    pub fn keep_standing(&mut self, standing: &mut Standing) {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let traces = standing
            .traces
            .iter()
            .map(|trace| size_of_val(trace) + trace.item.len() + text(&trace.owner) + text(&trace.log));
        let touched = match &standing.touched {
            Touched::Yes(changes) => changes.iter().map(weight_of).sum(),
            _ => 0,
        };
        let size = size_of::<Standing>() + traces.sum::<usize>() + touched;
        if size <= self.kept {
            self.kept -= size;
            return;
        }
        standing.traces.clear();
        if let Touched::Yes(changes) = &mut standing.touched {
            changes.truncate(1);
            for change in changes {
                let attribute = cut(std::mem::take(&mut change.attribute), 256);
                *change = Change::new(&attribute, None, None);
            }
        }
    }

    fn known(&self, task: u32) -> Result<usize, Excess> {
        let index = task as usize;
        if index < self.ended.len() {
            Ok(index)
        } else {
            Err(Excess::NoSuchTask { task, given: self.ended.len() })
        }
    }

    fn notice(&mut self) -> Result<(), Excess> {
        self.notices = self.notices.checked_sub(1).ok_or(Excess::Notices)?;
        Ok(())
    }

    fn output(&mut self, text: String) -> Option<String> {
        if self.live == 0 {
            return None;
        }
        let text = cut(text, LIVE_PIECE);
        // An empty piece costs something, too.
        self.live = self.live.saturating_sub(text.len().max(16));
        Some(if self.live == 0 {
            format!("{text}\n… further output of this host is not passed on\n")
        } else {
            text
        })
    }
}

/// Cuts what is said of one task's history to what a person reads.
fn bound_standing(standing: &mut Standing) {
    if let Some(applied) = &mut standing.applied {
        applied.run = cut(std::mem::take(&mut applied.run), NAME);
        applied.undone = applied.undone.take().map(|why| cut(why, NAME));
    }
    for trace in &mut standing.traces {
        trace.item = cut(std::mem::take(&mut trace.item), NAME);
        trace.owner = trace.owner.take().map(|name| cut(name, NAME));
        trace.log = trace.log.take().map(|line| cut(line, NAME));
    }
    if let Touched::Yes(changes) = &mut standing.touched {
        changes.truncate(CHANGES_OF_A_TASK);
        for change in changes {
            change.attribute = cut(std::mem::take(&mut change.attribute), NAME);
            change.before = change.before.take().map(|text| cut(text, NAME));
            change.after = change.after.take().map(|text| cut(text, NAME));
            change.diff = None;
        }
    }
}

/// About how much memory the texts of a change take, in bytes.
fn weight_of(change: &Change) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    change.attribute.len() + text(&change.before) + text(&change.after) + text(&change.diff)
}

/// About how much memory a result takes, in bytes.
pub(crate) fn weight(result: &TaskResult) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let changes: usize = result.changes.iter().map(weight_of).sum();
    let outcome = match &result.outcome {
        Outcome::Failed { error, hint } => error.len() + text(hint),
        Outcome::Unknown { because } => size_of_val(because.as_slice()),
        _ => 0,
    };
    let output = result.output.as_ref().map_or(0, |output| output.stdout.len() + output.stderr.len());
    size_of::<TaskResult>() + size_of_val(result.changes.as_slice()) + changes + outcome + output
}

/// The beginning of a text that is absurdly long, with a mark.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let left = text.len() - limit;
        text.truncate(text.floor_char_boundary(limit));
        text.shrink_to_fit();
        text.push_str(&format!("… {left} more bytes"));
    }
    text
}

#[cfg(test)]
mod tests {
    use cm_wire::{Output, Stream};

    use super::*;

    fn ended(task: u32) -> TaskResult {
        TaskResult {
            task,
            outcome: Outcome::Ok,
            changes: Vec::new(),
            started: 0,
            took: 0,
            output: None,
            attempts: 1,
        }
    }

    #[test]
    fn only_tasks_that_were_given_end_and_only_once() {
        let mut bounds = Bounds::new(2, 0);
        assert!(bounds.admit(Event::Ended(ended(1))).is_ok());
        assert_eq!(bounds.admit(Event::Ended(ended(1))), Err(Excess::EndedTwice(1)));
        assert_eq!(bounds.admit(Event::Ended(ended(2))), Err(Excess::NoSuchTask { task: 2, given: 2 }));
        assert_eq!(bounds.admit(Event::Started { task: 9 }), Err(Excess::NoSuchTask { task: 9, given: 2 }));
        let output = Event::Output { task: u32::MAX, stream: Stream::Stdout, text: String::new() };
        assert!(bounds.admit(output).is_err());
    }

    #[test]
    fn notices_and_questions_have_an_end() {
        let mut bounds = Bounds::new(1, 3);
        let notes = (0..10_000).find(|_| bounds.admit(Event::Note(String::new())).is_err());
        assert_eq!(notes, Some(NOTICES + NOTICES_OF_A_TASK));
        assert_eq!(bounds.admit(Event::Started { task: 0 }), Err(Excess::Notices));
        assert_eq!(bounds.asked(6), Ok(()));
        assert_eq!(bounds.asked(ODD_ASKS), Ok(()));
        assert_eq!(bounds.asked(1), Err(Excess::Needs));
        assert_eq!(bounds.asked(usize::MAX), Err(Excess::Needs));
    }

    #[test]
    fn tasks_that_a_node_makes_are_counted() {
        let mut bounds = Bounds::new(1, 0);
        let task = AddedTask { id: "path:/etc/motd".into(), role: "web".into() };
        assert_eq!(bounds.added(&[task.clone(), task.clone()]), Ok(()));
        assert!(bounds.admit(Event::Ended(ended(2))).is_ok());
        assert!(bounds.admit(Event::Ended(ended(3))).is_err());
        assert_eq!(bounds.added(&vec![task; ADDED]), Err(Excess::Added));
        let long = AddedTask { id: "x".repeat(ADDED_NAMES), role: String::new() };
        assert_eq!(bounds.added(&[long]), Err(Excess::Added));
    }

    #[test]
    fn a_host_keeps_a_bounded_amount_whatever_it_sends() {
        let tasks = 3000;
        let mut bounds = Bounds::new(tasks, 0);
        let large = TaskResult {
            changes: (0..200)
                .map(|_| {
                    Change::new("content", None, Some("x".repeat(5000))).with_diff(Some("y".repeat(10_000)))
                })
                .collect(),
            output: Some(Output { status: 0, stdout: "z".repeat(1 << 20), stderr: String::new() }),
            outcome: Outcome::Failed { error: "e".repeat(1 << 20), hint: None },
            ..ended(0)
        };
        let kept: usize = (0..tasks).map(|_| weight(&bounds.keep(&large))).sum();
        assert!(kept < KEPT + tasks * (TEXT / 16 + 1024), "{kept}");
        // How a task ended is never lost.
        assert!(matches!(bounds.keep(&large).outcome, Outcome::Failed { .. }));
        let small = Bounds::new(1, 0)
            .keep(&TaskResult { changes: vec![Change::new("mode", None, None)], ..ended(0) });
        assert_eq!(small.changes.len(), 1);
    }

    #[test]
    fn texts_are_cut_and_output_ends() {
        let mut bounds = Bounds::new(1, 0);
        let Ok(Some(Event::Note(note))) = bounds.admit(Event::Note("ü".repeat(1 << 20))) else { panic!() };
        assert!(note.len() < TEXT + 40 && note.ends_with(" more bytes"));
        let mut passed = 0;
        for _ in 0..LIVE / LIVE_PIECE * 3 {
            let event = Event::Output { task: 0, stream: Stream::Stdout, text: "x".repeat(LIVE_PIECE * 2) };
            if let Some(Event::Output { text, .. }) = bounds.admit(event).unwrap() {
                passed += text.len();
            }
        }
        assert!((LIVE..LIVE + LIVE_PIECE).contains(&passed), "{passed}");
    }

    #[test]
    fn a_history_is_cut_to_what_a_person_reads_and_counted_like_results() {
        let long = || Some("x".repeat(NAME * 2));
        let change = Change { attribute: "mode".into(), before: long(), after: long(), diff: long() };
        let mut bounds = Bounds::new(40, 0);
        let mut kept = 0;
        for task in 0..40 {
            let touched = Touched::Yes(vec![change.clone(); 100]);
            let standing = Standing { applied: None, moved: false, touched, traces: Vec::new() };
            let event = Event::Standing { task, standing: Box::new(standing) };
            let Ok(Some(Event::Standing { mut standing, .. })) = bounds.admit(event) else { panic!() };
            bounds.keep_standing(&mut standing);
            let Touched::Yes(changes) = &standing.touched else { panic!("the verdict is still the same") };
            assert!(!changes.is_empty() && changes.len() <= CHANGES_OF_A_TASK);
            kept += changes.iter().map(weight_of).sum::<usize>();
        }
        assert!(kept <= KEPT + 40 * 256, "{kept}");
        let nobody = Standing { applied: None, moved: false, touched: Touched::No, traces: Vec::new() };
        let event = Event::Standing { task: 40, standing: Box::new(nobody) };
        assert!(bounds.admit(event).is_err());
    }
}
