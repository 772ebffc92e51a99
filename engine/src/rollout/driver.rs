//! The loop: something happened, step, keep, do.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cm_rollout::{
    Action, Answer, Command, Input, Moment, Node, NodeState, Notice, Outcome, Rollout, Standing, Ticket, Work,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use super::{Hands, Keeper};
use crate::Stop;

/// How often it is looked whether somebody has said something at another terminal.
const LISTEN: Duration = Duration::from_millis(150);
/// Idle nodes that are asked at once whether they can be reached still.
const PROBED: usize = 20;
/// How often nodes are asked whether they can be reached.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How a rollout is driven.
pub struct Drive<H> {
    /// Does the work.
    pub hands: Arc<H>,
    /// The id of the run that applies belong to.
    pub run: String,
    /// What is said at the very beginning.
    pub first: Vec<Command>,
    /// Whether it waits while it is paused; else it ends, and a later `resume` goes on.
    pub stays: bool,
    /// Ctrl-C: a pause, then an end.
    pub stop: Stop,
}

/// What is told to whoever watches.
#[derive(Debug)]
pub enum Told<'a> {
    /// A piece of work is begun.
    Began(&'a Work),
    /// It has ended.
    Ended(&'a Work, &'a Answer),
    /// Something worth a line.
    Notice(&'a Notice),
    /// What an operator said was of no use, and why.
    Refused(&'a Command, &'static str),
}

/// Why the driver let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The rollout is over.
    Over(Outcome),
    /// Nothing happens until a person decides.
    Waiting,
    /// The user wants it to stop at once.
    Stopped,
}

struct Driver<'a, H, K> {
    rollout: Rollout,
    drive: Drive<H>,
    keeper: K,
    watch: &'a mut (dyn FnMut(&Rollout, Told<'_>) + Send),
    doing: JoinSet<(Ticket, Answer)>,
    handles: HashMap<Ticket, (AbortHandle, Work)>,
    /// Who was asked whether it can be reached, and who answered.
    probes: JoinSet<Option<(Vec<String>, Vec<String>)>>,
    /// Where among the idle nodes the next probe begins.
    probed: usize,
    wake: Option<Moment>,
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Drives a rollout until it is over, waits for a person, or is stopped.
///
/// # Errors
/// Why the record could not be kept; what was begun is given up, and done again when the rollout is resumed.
pub async fn drive<H: Hands, K: Keeper>(
    rollout: Rollout,
    keeper: K,
    drive: Drive<H>,
    watch: &mut (dyn FnMut(&Rollout, Told<'_>) + Send),
) -> Result<(Rollout, Parting), String> {
    let mut driver = Driver {
        rollout,
        drive,
        keeper,
        watch,
        doing: JoinSet::new(),
        handles: HashMap::new(),
        probes: JoinSet::new(),
        probed: 0,
        wake: None,
    };
    let parting = driver.run().await?;
    Ok((driver.rollout, parting))
}

impl<H: Hands, K: Keeper> Driver<'_, H, K> {
    async fn run(&mut self) -> Result<Parting, String> {
        let actions = if self.rollout.began.is_none() {
            self.rollout.step(now(), Input::Start)
        } else {
            self.rollout.resumed()
        };
        self.perform(actions)?;
        for command in std::mem::take(&mut self.drive.first) {
            self.command(command)?;
        }
        let mut listen = interval(LISTEN);
        listen.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut try_again = interval(TRY_AGAIN);
        try_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pausing = false;
        loop {
            // Not what was said when it was read: a rollback takes up again what had ended.
            if let Some((_, outcome)) = self.rollout.ended {
                return Ok(Parting::Over(outcome));
            }
            if self.waits() && (pausing || !self.drive.stays) {
                return Ok(Parting::Waiting);
            }
            tokio::select! {
                Some(ended) = self.doing.join_next() => self.ended(ended)?,
                Some(found) = self.probes.join_next() => {
                    if let Ok(Some((asked, answered))) = found {
                        self.probed(asked, &answered)?;
                    }
                }
                _ = listen.tick() => {
                    let said = self.keeper.said();
                    let any = !said.is_empty();
                    for command in said {
                        self.command(command)?;
                    }
                    if any {
                        self.keeper.heard();
                    }
                }
                _ = try_again.tick() => self.probe(),
                () = until(self.wake) => {
                    self.wake = None;
                    self.step(Input::TimePassed)?;
                }
                () = self.drive.stop.now.cancelled() => return Ok(Parting::Stopped),
                () = self.drive.stop.gently.cancelled(), if !pausing => {
                    pausing = true;
                    self.command(Command::Pause { why: "interrupted at the terminal".to_owned() })?;
                }
            }
        }
    }

    /// Whether nothing happens any more before a person decides.
    fn waits(&self) -> bool {
        let asks = matches!(self.rollout.standing(), Standing::Paused { .. } | Standing::AwaitsPromotion);
        // One whose gate could not tell is in work, and yet nothing happens to it before a person has looked.
        let works = |node: &Node| {
            node.is_in_work() && !matches!(&node.state, NodeState::Gating(gating) if gating.held)
        };
        asks && self.rollout.under_way.is_empty() && !self.rollout.nodes.iter().any(works)
    }

    fn command(&mut self, command: Command) -> Result<(), String> {
        match self.rollout.refuses(&command) {
            Some(why) => {
                (self.watch)(&self.rollout, Told::Refused(&command, why));
                Ok(())
            }
            None => self.step(Input::Command(command)),
        }
    }

    fn step(&mut self, input: Input) -> Result<(), String> {
        let actions = self.rollout.step(now(), input);
        self.perform(actions)
    }

    /// Keeps what was decided, then does it.
    fn perform(&mut self, mut actions: Vec<Action>) -> Result<(), String> {
        let mut next = 0;
        while let Some(action) = actions.get(next) {
            // The run must be known before it touches the node: a rollback asks for it. Each step may want more.
            if let Action::Do { ticket, work: Work::Apply { .. } } = action {
                let run = self.drive.run.clone();
                let more = self.rollout.step(now(), Input::RunBegan { ticket: *ticket, run });
                actions.extend(more);
            }
            next += 1;
        }
        self.keeper.keep(&self.rollout)?;
        for action in actions {
            match action {
                Action::Do { ticket, work } => {
                    (self.watch)(&self.rollout, Told::Began(&work));
                    let doing = Arc::clone(&self.drive.hands).work(work.clone());
                    let handle = self.doing.spawn(async move { (ticket, doing.await) });
                    self.handles.insert(ticket, (handle, work));
                }
                Action::Cancel { ticket } => {
                    if let Some((handle, _)) = self.handles.remove(&ticket) {
                        handle.abort();
                    }
                }
                Action::WakeAt(moment) => self.wake = Some(moment),
                Action::Tell(notice) => (self.watch)(&self.rollout, Told::Notice(&notice)),
                Action::End(_) => {}
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Ticket, Answer), tokio::task::JoinError>) -> Result<(), String> {
        let (ticket, answer) = match ended {
            Ok(ended) => ended,
            // It was given up.
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => {
                let broken = self.handles.iter().find(|(_, (handle, _))| handle.id() == error.id());
                let Some((&ticket, _)) = broken else { return Ok(()) };
                (ticket, Answer::Failed { why: format!("a bug of cm: {error}") })
            }
        };
        let Some((_, work)) = self.handles.remove(&ticket) else { return Ok(()) };
        (self.watch)(&self.rollout, Told::Ended(&work, &answer));
        self.step(Input::Answered { ticket, answer })
    }

    /// Tries nodes that could not be reached, and in turn some of those that nobody is at work on: one that has gone
    /// away meanwhile is out of service, too, and counts.
    fn probe(&mut self) {
        if !self.probes.is_empty() || self.rollout.ended.is_some() {
            return;
        }
        let idle: Vec<&str> = self
            .rollout
            .nodes
            .iter()
            .filter(|node| node.reachable && !node.is_in_work() && node.state != NodeState::Gone)
            .map(|node| node.name.as_str())
            .collect();
        let from = self.probed % idle.len().max(1);
        let some = idle.iter().cycle().skip(from).take(idle.len().min(PROBED));
        let asked: Vec<String> = self.rollout.unreachable().chain(some.copied()).map(str::to_owned).collect();
        self.probed = from + PROBED;
        if !asked.is_empty() {
            let answers = Arc::clone(&self.drive.hands).reachable(asked.clone());
            self.probes.spawn(async move { Some((asked, answers.await?)) });
        }
    }

    /// Takes in which nodes have answered.
    fn probed(&mut self, asked: Vec<String>, answered: &[String]) -> Result<(), String> {
        for node in asked {
            let reachable = answered.contains(&node);
            let known = self.rollout.nodes.iter().find(|other| other.name == node);
            match known {
                Some(known) if known.reachable && !reachable && !known.is_in_work() => {
                    self.step(Input::Unreachable { node })?;
                }
                Some(known) if !known.reachable && reachable => self.step(Input::Reachable { node })?,
                _ => {}
            }
        }
        Ok(())
    }
}

async fn until(moment: Option<Moment>) {
    match moment {
        Some(moment) => tokio::time::sleep(moment.since(now())).await,
        None => std::future::pending().await,
    }
}
