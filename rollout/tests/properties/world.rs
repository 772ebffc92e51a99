//! A world in which anything may happen, in any order.

use std::{collections::BTreeMap, time::Duration};

use cm_rollout::{
    Action, Answer, Command, Input, Moment, Outcome, Promote, Rollout, Standing, Target, Ticket, Verdict,
    Work,
};

use crate::{choices::Choices, fleet, watch::Watch};

#[derive(Clone)]
pub struct World {
    /// Whether all that happens is printed.
    pub shown: bool,
    pub rollout: Rollout,
    pub watch: Watch,
    targets: Vec<Target>,
    now: Moment,
    wake: Option<Moment>,
    under_way: BTreeMap<Ticket, Work>,
    runs: usize,
    ended: Option<Outcome>,
}

impl World {
    pub fn new(choices: &mut Choices) -> Self {
        let mut targets: Vec<Target> = (0..=choices.of(7)).map(fleet::target).collect();
        for target in &mut targets {
            target.reachable = !choices.once_in(6);
        }
        Self::over(targets, choices)
    }

    pub fn without_troubles(choices: &mut Choices) -> Self {
        let targets = (0..=choices.of(9)).map(fleet::target).collect();
        Self::over(targets, choices)
    }

    fn over(targets: Vec<Target>, choices: &mut Choices) -> Self {
        let strategy = fleet::strategy(choices);
        let hooks = fleet::hooks(choices);
        let rollout = Rollout::new("r", "all", strategy.clone(), hooks.clone(), targets.clone()).unwrap();
        let promoted = strategy.promote == Promote::Auto;
        let mut watch = Watch {
            strategy,
            hooks,
            nodes: BTreeMap::new(),
            stopped: false,
            aborted: false,
            back: false,
            failures: 0,
            canary: Default::default(),
            canary_over: false,
            promoted,
            batch_of: BTreeMap::new(),
            batch_hooks_run: Default::default(),
            batches_over: Default::default(),
        };
        for target in &targets {
            let seen = watch.nodes.entry(target.name.clone()).or_default();
            seen.domain = target.domain.clone();
            seen.unreachable = !target.reachable;
        }
        let mut world = Self {
            shown: false,
            rollout,
            watch,
            targets,
            now: Moment(1_000),
            wake: None,
            under_way: BTreeMap::new(),
            runs: 0,
            ended: None,
        };
        world.input(Input::Start);
        world
    }

    fn input(&mut self, input: Input) {
        if let Input::Reachable { node } | Input::Unreachable { node } = &input {
            let unreachable = matches!(input, Input::Unreachable { .. });
            if let Some(seen) = self.watch.nodes.get_mut(node) {
                seen.unreachable = unreachable;
            }
        }
        self.show(&input);
        let actions = self.rollout.step(self.now, input);
        self.do_all(actions);
    }

    #[expect(clippy::print_stderr, reason = "only where a person asked for it")]
    fn show(&self, what: &impl std::fmt::Debug) {
        if self.shown {
            eprintln!("{} {what:?}", self.now.0);
        }
    }

    fn do_all(&mut self, actions: Vec<Action>) {
        let mut wake = None;
        for action in actions {
            self.show(&action);
            assert!(
                self.ended.is_none() || !matches!(action, Action::Do { .. }),
                "done after the end: {action:?}"
            );
            match action {
                Action::Do { ticket, work } => {
                    let twice =
                        work.node().and_then(|node| self.under_way.values().find(|w| w.node() == Some(node)));
                    assert!(twice.is_none(), "{work:?} while {twice:?}");
                    self.watch.work_begins(
                        &work,
                        self.rollout.max_unavailable(),
                        self.rollout.max_failures(),
                    );
                    assert!(self.under_way.insert(ticket, work).is_none(), "a ticket twice");
                }
                Action::Cancel { ticket } => assert!(self.under_way.remove(&ticket).is_some()),
                Action::WakeAt(moment) => {
                    assert!(moment > self.now, "woken for what is over");
                    wake = Some(moment);
                }
                Action::Tell(notice) => {
                    if let cm_rollout::Notice::RollingBack { .. } = notice {
                        self.ended = None;
                    }
                    self.watch.told(&notice);
                }
                Action::End(outcome) => {
                    assert!(self.under_way.is_empty(), "the end, with work under way");
                    self.ended = Some(outcome);
                }
            }
        }
        self.wake = wake;
        assert_eq!(self.under_way, self.rollout.under_way);
        assert_eq!(self.ended, self.rollout.ended.map(|(_, outcome)| outcome));
    }

    pub fn something_happens(&mut self, choices: &mut Choices) {
        self.now = self.now.after(Duration::from_millis([10, 1_000, 7_000][choices.of(3)]));
        match choices.of(16) {
            0..=9 => {
                let tickets: Vec<Ticket> = self.under_way.keys().copied().collect();
                match tickets.is_empty() {
                    true => self.time_passes(),
                    false => {
                        let ticket = choices.pick(&tickets);
                        let answer = self.any_answer(&self.under_way[&ticket].clone(), choices);
                        self.answer(ticket, answer);
                    }
                }
            }
            10 | 11 => self.time_passes(),
            12 => {
                let node = choices.pick(&self.targets).name;
                let up = choices.once_in(2);
                self.input(if up { Input::Reachable { node } } else { Input::Unreachable { node } });
            }
            13 => self.controller_is_killed(),
            14 => {
                let retry_failed = choices.once_in(2);
                self.say(if self.rollout.paused.is_empty() {
                    Command::Promote
                } else {
                    Command::Resume { retry_failed }
                });
            }
            _ => {
                let why = || "so".to_owned();
                let command = match choices.of(8) {
                    0..=3 => Command::Pause { why: why() },
                    4 | 5 => Command::RollBack { why: why() },
                    6 => Command::Abort { why: why() },
                    _ => {
                        // An answer that nobody waits for.
                        let actions = self
                            .rollout
                            .clone()
                            .step(self.now, Input::Answered { ticket: Ticket(99_999), answer: Answer::Ok });
                        assert!(!actions.iter().any(|action| matches!(action, Action::End(_))));
                        return;
                    }
                };
                self.say(command);
            }
        }
    }

    fn say(&mut self, command: Command) {
        if self.rollout.refuses(&command).is_none() {
            match command {
                Command::Resume { retry_failed } if retry_failed => {
                    for seen in self.watch.nodes.values_mut().filter(|seen| seen.failed) {
                        seen.applies = 0;
                    }
                }
                Command::Promote => self.watch.promoted = true,
                _ => {}
            }
        }
        self.input(Input::Command(command));
    }

    fn time_passes(&mut self) {
        if let Some(wake) = self.wake {
            self.now = self.now.max(wake);
        }
        self.input(Input::TimePassed);
    }

    /// The record is all that is left; everything under way is begun again.
    pub fn controller_is_killed(&mut self) {
        let bytes = self.rollout.to_bytes();
        let read = Rollout::from_bytes(&bytes).unwrap();
        assert_eq!(read, self.rollout);
        self.rollout = read;
        let mut again = BTreeMap::new();
        for action in self.rollout.resumed() {
            match action {
                Action::Do { ticket, work } => drop(again.insert(ticket, work)),
                Action::WakeAt(moment) => assert_eq!(self.wake, Some(moment)),
                Action::End(outcome) => assert_eq!(self.ended, Some(outcome)),
                other => panic!("{other:?} is no work"),
            }
        }
        assert_eq!(again, self.under_way);
    }

    fn any_answer(&mut self, work: &Work, choices: &mut Choices) -> Answer {
        let why = "trouble".to_owned();
        let bad = choices.once_in(5);
        match work {
            Work::AskAlready { .. } if !bad => Answer::Already(choices.once_in(3)),
            Work::Apply { .. } | Work::RollBackNode { .. } if bad && choices.once_in(2) => {
                Answer::Unreachable { why }
            }
            Work::Apply { .. } if !bad => Answer::Applied { changed: !choices.once_in(5) },
            Work::GateNode { .. } | Work::GateBatch { .. } => match choices.of(6) {
                0..=3 => Answer::Gate(Verdict::Pass),
                4 => Answer::Gate(Verdict::Fail { why }),
                _ => Answer::Gate(Verdict::Inconclusive { why }),
            },
            Work::Targets if !bad => {
                if choices.once_in(3) && self.targets.len() < 12 {
                    self.join();
                }
                if choices.once_in(4) && self.targets.len() > 1 {
                    let place = choices.of(self.targets.len());
                    self.targets.remove(place);
                }
                for target in &mut self.targets {
                    target.reachable = !choices.once_in(6);
                }
                Answer::Targets(self.targets.clone())
            }
            _ if bad => Answer::Failed { why },
            _ => Answer::Ok,
        }
    }

    fn join(&mut self) {
        let target = fleet::target(self.watch.nodes.len());
        let seen = self.watch.nodes.entry(target.name.clone()).or_default();
        seen.domain = target.domain.clone();
        self.targets.push(target);
    }

    fn good_answer(&self, work: &Work) -> Answer {
        match work {
            Work::AskAlready { .. } => Answer::Already(false),
            Work::Apply { .. } => Answer::Applied { changed: true },
            Work::GateNode { .. } | Work::GateBatch { .. } => Answer::Gate(Verdict::Pass),
            Work::Targets => Answer::Targets(self.targets.clone()),
            _ => Answer::Ok,
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let work = self.under_way.remove(&ticket).unwrap();
        if matches!(work, Work::Apply { .. }) && !matches!(answer, Answer::Failed { .. }) {
            self.runs += 1;
            let run = format!("run{}", self.runs);
            // It is told while the work is under way.
            let actions = self.rollout.step(self.now, Input::RunBegan { ticket, run });
            self.under_way.insert(ticket, work.clone());
            self.do_all(actions);
            self.watch.nodes.get_mut(work.node().unwrap()).unwrap().runs += 1;
            if self.under_way.remove(&ticket).is_none() {
                return;
            }
        }
        if let Some(seen) = work.node().and_then(|node| self.watch.nodes.get_mut(node)) {
            match (&work, &answer) {
                (Work::AskAlready { hook, .. }, Answer::Already(already)) => {
                    seen.already.insert(*hook, *already);
                }
                (Work::AfterNode { hook, .. }, Answer::Ok) => drop(seen.drained.remove(hook)),
                (Work::Apply { .. }, Answer::Applied { changed }) => {
                    (seen.settled, seen.unreachable) = (true, false);
                    seen.changed = *changed || seen.runs > 1;
                }
                (Work::RollBackNode { .. }, Answer::Ok) => {
                    (seen.settled, seen.unreachable, seen.changed) = (true, false, false);
                }
                (Work::GateNode { .. }, Answer::Gate(Verdict::Pass)) => seen.healthy = true,
                (Work::GateNode { .. }, _) => seen.healthy = false,
                (_, Answer::Unreachable { .. }) => seen.unreachable = true,
                _ => {}
            }
        }
        if let Answer::Targets(targets) = &answer {
            // Who is no target any more and was never begun is nobody's concern.
            for (name, seen) in &mut self.watch.nodes {
                if !seen.touched && !seen.failed && !targets.iter().any(|target| target.name == *name) {
                    seen.unreachable = false;
                }
            }
            for target in targets {
                self.watch.nodes.get_mut(&target.name).unwrap().unreachable = !target.reachable;
            }
        }
        if let (Work::BeforeBatch { batch, hook }, Answer::Ok) = (&work, &answer) {
            self.watch.batch_hooks_run.insert((*batch, *hook));
        }
        self.input(Input::Answered { ticket, answer });
    }

    /// From here on all goes well, and a person lets it go on whenever it waits for one.
    pub fn comes_to_its_end(&mut self) {
        self.all_come_back();
        for _ in 0..2_000 {
            if self.ended.is_some() {
                return;
            }
            self.now = self.now.after(Duration::from_millis(100));
            if let Some((ticket, work)) = self.under_way.first_key_value() {
                let (ticket, answer) = (*ticket, self.good_answer(work));
                self.answer(ticket, answer);
                continue;
            }
            match self.rollout.standing() {
                Standing::Paused { .. } => self.say(Command::Resume { retry_failed: true }),
                Standing::AwaitsPromotion => self.say(Command::Promote),
                _ => {
                    assert!(self.wake.is_some(), "nothing will ever happen: {:?}", self.rollout);
                    self.time_passes();
                }
            }
        }
        panic!("it never ends: {:?}", self.rollout);
    }

    /// All that is done goes well, but who is away stays away, and nobody says anything.
    pub fn ends_or_asks(&mut self) {
        for _ in 0..2_000 {
            let asks = matches!(self.rollout.standing(), Standing::Paused { .. } | Standing::AwaitsPromotion);
            if self.ended.is_some() || asks && self.under_way.is_empty() {
                return;
            }
            self.now = self.now.after(Duration::from_millis(100));
            match self.under_way.first_key_value() {
                Some((ticket, work)) => {
                    let (ticket, answer) = (*ticket, self.good_answer(work));
                    self.answer(ticket, answer);
                }
                None => {
                    assert!(self.wake.is_some(), "nothing will ever happen: {:?}", self.rollout);
                    self.time_passes();
                }
            }
        }
        panic!("it never ends: {:?}", self.rollout);
    }

    fn all_come_back(&mut self) {
        for target in &mut self.targets {
            target.reachable = true;
        }
        let names: Vec<String> = self.watch.nodes.keys().cloned().collect();
        for node in names {
            self.input(Input::Reachable { node });
        }
    }

    pub fn is_rolled_back(&mut self) {
        self.say(Command::RollBack { why: "enough".into() });
        let was_back = self.rollout.rolled_back_for.is_some();
        self.comes_to_its_end();
        if self.ended == Some(Outcome::RolledBack) {
            self.watch.nobody_is_changed_or_drained();
        } else {
            assert!(!was_back || self.ended == Some(Outcome::PartlyRolledBack), "{:?}", self.ended);
        }
    }
}
