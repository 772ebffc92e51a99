//! Stories of single rollouts, told in full.

use std::time::Duration;

use crate::{
    Action, Answer, Command, Hook, Hooks, Input, Moment, OnFailure, Outcome, PauseReason, Promote, Rollout,
    Size, Spread, Standing, Strategy, Target, Verdict, Work,
};

/// A rollout and its clock; what is under way is answered by name.
struct Story {
    rollout: Rollout,
    now: Moment,
}

impl Story {
    fn new(nodes: usize, strategy: Strategy, hooks: Vec<Hook>) -> Self {
        let targets = (1..=nodes).map(|number| Target::named(format!("n{number}"))).collect();
        let hooks = Hooks { hooks, batch_gates: false };
        let mut story =
            Self { rollout: Rollout::new("r", "r", strategy, hooks, targets).unwrap(), now: Moment(0) };
        story.input(Input::Start);
        story
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.now = self.now.after(Duration::from_millis(1));
        self.rollout.step(self.now, input)
    }

    fn say(&mut self, command: Command) {
        assert_eq!(self.rollout.refuses(&command), None, "{command:?}");
        self.input(Input::Command(command));
    }

    /// What is under way, in short.
    fn under_way(&self) -> Vec<String> {
        self.rollout.under_way.values().map(short).collect()
    }

    fn answer(&mut self, work: &str, answer: Answer) {
        let found = self.rollout.under_way.iter().find(|(_, under_way)| short(under_way) == work);
        let ticket = *found.unwrap_or_else(|| panic!("{work} is not among {:?}", self.under_way())).0;
        self.input(Input::Answered { ticket, answer });
    }

    fn applied(&mut self, node: &str) {
        self.answer(&format!("apply {node}"), Answer::Applied { changed: true });
    }

    fn passes(&mut self, node: &str) {
        self.answer(&format!("gate {node}"), Answer::Gate(Verdict::Pass));
    }

    fn upgraded(&mut self, node: &str) {
        self.applied(node);
        self.passes(node);
    }

    fn targets(&mut self, names: &[&str]) {
        let targets = names.iter().map(|name| Target::named(*name)).collect();
        self.answer("targets", Answer::Targets(targets));
    }
}

fn short(work: &Work) -> String {
    match work {
        Work::AskAlready { node, hook } => format!("already {hook} {node}"),
        Work::BeforeNode { node, hook } => format!("before {hook} {node}"),
        Work::Apply { node, .. } => format!("apply {node}"),
        Work::GateNode { node, .. } => format!("gate {node}"),
        Work::AfterNode { node, hook } => format!("after {hook} {node}"),
        Work::RollBackNode { node, runs } => format!("back {node} {}", runs.join("+")),
        Work::BeforeBatch { batch, hook } => format!("before {hook} batch {batch}"),
        Work::GateBatch { batch } => format!("gate batch {batch}"),
        Work::AfterBatch { batch, hook } => format!("after {hook} batch {batch}"),
        Work::Targets => "targets".into(),
    }
}

fn fail() -> Answer {
    Answer::Failed { why: "boom".into() }
}

fn batches(sizes: &[&str]) -> Strategy {
    Strategy { batches: sizes.iter().map(|size| size.parse().unwrap()).collect(), ..Strategy::default() }
}

fn drain() -> Hook {
    Hook { already: true, before_node: true, after_node: true, ..Hook::default() }
}

#[test]
fn the_canary_is_promoted_by_hand() {
    let mut story = Story::new(3, Strategy { promote: Promote::Manual, ..batches(&["1", "100%"]) }, vec![]);
    story.upgraded("n1");
    assert_eq!(story.rollout.standing(), Standing::AwaitsPromotion);
    assert!(story.under_way().is_empty());
    story.say(Command::Promote);
    assert_eq!(story.under_way(), ["apply n2"]);
}

#[test]
fn what_was_drained_before_stays_drained() {
    let mut story = Story::new(1, Strategy::default(), vec![drain(), drain()]);
    story.answer("already 0 n1", Answer::Already(true));
    story.answer("already 1 n1", Answer::Already(false));
    story.answer("before 1 n1", Answer::Ok);
    story.upgraded("n1");
    story.answer("after 1 n1", Answer::Ok);
    story.targets(&["n1"]);
    assert_eq!(story.rollout.standing(), Standing::Ended(Outcome::Done));
}

#[test]
fn the_window_does_not_wait_for_the_slowest() {
    let strategy = |window| Strategy { window, max_unavailable: Some(Size::Nodes(2)), ..batches(&["2"]) };
    let mut waiting = Story::new(6, strategy(false), vec![]);
    let mut sliding = Story::new(6, strategy(true), vec![]);
    for story in [&mut waiting, &mut sliding] {
        story.upgraded("n1");
        story.upgraded("n2");
        story.upgraded("n3");
    }
    assert_eq!(waiting.under_way(), ["apply n4"]);
    assert_eq!(sliding.under_way(), ["apply n4", "apply n5"]);
}

#[test]
fn one_rack_after_the_other() {
    let spread = Some(Spread { max_domains: Some(1), per_domain: None });
    let strategy = Strategy { spread, max_unavailable: Some(Size::Nodes(4)), ..batches(&["100%"]) };
    let racks = ["a", "b", "a", "b"].into_iter().enumerate();
    let targets = racks
        .map(|(number, rack)| Target { domain: Some(rack.into()), ..Target::named(format!("n{number}")) });
    let mut rollout = Rollout::new("r", "r", strategy, Hooks::default(), targets.collect()).unwrap();
    rollout.step(Moment(0), Input::Start);
    let mut story = Story { rollout, now: Moment(0) };
    assert_eq!(story.under_way(), ["apply n0", "apply n2"]);
    story.upgraded("n0");
    assert_eq!(story.under_way(), ["apply n2"]);
    story.upgraded("n2");
    assert_eq!(story.under_way(), ["apply n1", "apply n3"]);
}

#[test]
fn a_sick_node_is_tried_until_its_deadline_and_a_healthy_one_watched() {
    let strategy = Strategy {
        min_healthy_time: Duration::from_secs(3),
        healthy_deadline: Duration::from_secs(10),
        ..Strategy::default()
    };
    let mut story = Story::new(1, strategy, vec![]);
    let sick = || Answer::Gate(Verdict::Fail { why: "503".into() });
    story.applied("n1");
    story.answer("gate n1", sick());
    assert!(story.under_way().is_empty());
    story.now = story.now.after(Duration::from_secs(2));
    story.input(Input::TimePassed);
    story.passes("n1");
    assert!(story.under_way().is_empty(), "it must stay healthy for a while");
    story.now = story.now.after(Duration::from_secs(2));
    story.input(Input::TimePassed);
    story.answer("gate n1", sick());
    story.now = story.now.after(Duration::from_secs(8));
    story.input(Input::TimePassed);
    story.answer("gate n1", sick());
    let Standing::Paused { reasons } = story.rollout.standing() else { panic!() };
    let why = "1 node failed, and 0 may; the last was n1: 503".to_owned();
    assert_eq!(reasons[0], PauseReason::Failure { why });
}

#[test]
fn an_inconclusive_gate_pauses_and_is_asked_again() {
    let mut story = Story::new(2, batches(&["1"]), vec![]);
    story.applied("n1");
    story.answer("gate n1", Answer::Gate(Verdict::Inconclusive { why: "no data".into() }));
    let Standing::Paused { reasons } = story.rollout.standing() else { panic!() };
    assert_eq!(reasons, [PauseReason::Inconclusive { node: Some("n1".into()), why: "no data".into() }]);
    assert!(story.under_way().is_empty());
    story.say(Command::Resume { retry_failed: false });
    story.passes("n1");
    assert_eq!(story.under_way(), ["apply n2"]);
}

#[test]
fn a_failure_beyond_the_budget_takes_back_the_latest_first() {
    let strategy = Strategy { on_failure: OnFailure::RollBack, ..batches(&["1"]) };
    let mut story = Story::new(3, strategy, vec![drain()]);
    for node in ["n1", "n2", "n3"] {
        story.answer(&format!("already 0 {node}"), Answer::Already(false));
        story.answer(&format!("before 0 {node}"), Answer::Ok);
        let (ticket, _) = story.rollout.under_way.first_key_value().unwrap();
        story.input(Input::RunBegan { ticket: *ticket, run: format!("run-{node}") });
        if node != "n3" {
            story.upgraded(node);
            story.answer(&format!("after 0 {node}"), Answer::Ok);
        }
    }
    story.answer("apply n3", fail());
    // It is drained already; and nobody else may be out of service until it is back.
    for (node, drained) in [("n3", true), ("n2", false), ("n1", false)] {
        if !drained {
            story.answer(&format!("before 0 {node}"), Answer::Ok);
        }
        story.answer(&format!("back {node} run-{node}"), Answer::Ok);
        assert!(!story.under_way().iter().any(|work| work.starts_with("after")), "not before it is healthy");
        story.passes(node);
        story.answer(&format!("after 0 {node}"), Answer::Ok);
    }
    assert_eq!(story.rollout.standing(), Standing::Ended(Outcome::RolledBack));
}

#[test]
fn an_abort_puts_back_what_is_not_changed_and_waits_for_what_is() {
    let strategy = Strategy { max_unavailable: Some(Size::Nodes(2)), ..batches(&["100%"]) };
    let mut story = Story::new(3, strategy, vec![Hook { already: false, ..drain() }]);
    story.answer("before 0 n1", Answer::Ok);
    story.say(Command::Abort { why: "enough".into() });
    story.answer("before 0 n2", Answer::Ok);
    assert_eq!(story.under_way(), ["apply n1", "after 0 n2"]);
    story.answer("after 0 n2", Answer::Ok);
    story.upgraded("n1");
    story.answer("after 0 n1", Answer::Ok);
    assert_eq!(story.rollout.standing(), Standing::Ended(Outcome::Aborted));
    assert_eq!(story.rollout.counts().pending, 2);
}

#[test]
fn more_down_than_allowed_begins_nothing_until_that_is_better() {
    let mut targets: Vec<Target> = ["n1", "n2", "n3"].map(Target::named).to_vec();
    targets[0].reachable = false;
    let mut rollout = Rollout::new("r", "r", batches(&["1"]), Hooks::default(), targets).unwrap();
    rollout.step(Moment(0), Input::Start);
    let mut story = Story { rollout, now: Moment(0) };
    assert!(story.under_way().is_empty());
    assert!(matches!(story.rollout.standing(), Standing::Blocked { .. }));
    assert_eq!(story.rollout.unreachable().collect::<Vec<_>>(), ["n1"]);
    story.input(Input::Reachable { node: "n1".into() });
    assert_eq!(story.under_way(), ["apply n2"], "who could not be reached comes last");
}

#[test]
fn who_joined_meanwhile_is_not_missed_and_who_left_is_not_waited_for() {
    let strategy = Strategy { max_unavailable: Some(Size::Nodes(2)), ..batches(&["1"]) };
    let mut story = Story::new(2, strategy, vec![]);
    story.input(Input::Unreachable { node: "n2".into() });
    story.upgraded("n1");
    story.targets(&["n1", "n3"]);
    assert_eq!(story.under_way(), ["apply n3"]);
    story.upgraded("n3");
    story.targets(&["n1", "n3"]);
    assert_eq!(story.rollout.standing(), Standing::Ended(Outcome::Done));
    assert_eq!(story.rollout.counts().gone, 1);
}

#[test]
fn a_budget_lets_the_rest_go_on_but_not_without_a_canary() {
    let strategy =
        Strategy { max_failures: Size::Nodes(1), max_unavailable: Some(Size::Nodes(2)), ..batches(&["1"]) };
    let mut story = Story::new(3, strategy.clone(), vec![]);
    story.upgraded("n1");
    story.answer("apply n2", fail());
    story.upgraded("n3");
    story.targets(&["n1", "n2", "n3"]);
    assert_eq!(story.rollout.standing(), Standing::Ended(Outcome::Incomplete));

    let mut story = Story::new(3, strategy, vec![]);
    story.answer("apply n1", fail());
    assert!(matches!(story.rollout.standing(), Standing::Paused { .. }));
    story.say(Command::Resume { retry_failed: true });
    assert_eq!(story.under_way(), ["apply n1"]);
    story.upgraded("n1");
    assert_eq!(story.under_way(), ["apply n2"]);
}

#[test]
fn a_finished_rollout_can_still_be_taken_back() {
    let mut story = Story::new(1, Strategy::default(), vec![]);
    story.upgraded("n1");
    story.targets(&["n1"]);
    assert_eq!(story.rollout.refuses(&Command::Pause { why: String::new() }), Some("it has ended"));
    story.say(Command::RollBack { why: "it smells".into() });
    story.answer("back n1 ", Answer::Ok);
    story.passes("n1");
    assert_eq!(story.rollout.standing(), Standing::Ended(Outcome::RolledBack));
}

#[test]
fn a_record_of_another_format_is_refused() {
    let story = Story::new(1, Strategy::default(), vec![]);
    let text = String::from_utf8(story.rollout.to_bytes()).unwrap();
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    let error = Rollout::from_bytes(newer.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the record of the rollout has format 2; this version knows 1");
    assert!(Rollout::from_bytes(&text.as_bytes()[..text.len() / 2]).is_err());
}
