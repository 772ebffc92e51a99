//! Whole pictures, as snapshots.

use std::time::Duration;

use super::*;
use crate::{
    Action, Answer, Command, Hook, Hooks, Input, Moment, Rollout, Size, Strategy, Target, Verdict, Work,
};

/// Answers all that is under way, so often; `answer` says how, or leaves it under way.
fn drive(rollout: &mut Rollout, rounds: usize, answer: impl Fn(&Work) -> Option<Answer>) {
    let mut now = rollout.latest;
    for _ in 0..rounds {
        for (ticket, work) in rollout.under_way.clone() {
            if let Some(answer) = answer(&work) {
                now = now.after(Duration::from_millis(700));
                rollout.step(now, Input::Answered { ticket, answer });
            }
        }
    }
}

fn good(work: &Work) -> Answer {
    match work {
        Work::AskAlready { node, .. } => Answer::Already(node.ends_with('2')),
        Work::Apply { .. } => Answer::Applied { changed: true },
        Work::GateNode { .. } | Work::GateBatch { .. } => Answer::Gate(Verdict::Pass),
        _ => Answer::Ok,
    }
}

fn fleet(nodes: usize, strategy: Strategy) -> Rollout {
    let drain = Hook { already: true, before_node: true, after_node: true, ..Hook::default() };
    let hooks = Hooks { hooks: vec![drain], batch_gates: false };
    let mut targets: Vec<Target> = (1..=nodes).map(|number| Target::named(format!("web{number}"))).collect();
    targets[nodes / 2].reachable = false;
    let mut rollout = Rollout::new("r7", "nginx 1.26 on web", strategy, hooks, targets).unwrap();
    rollout.step(Moment(1_000_000), Input::Start);
    rollout
}

fn twelve() -> Rollout {
    let batches = vec![Size::Nodes(1), Size::Percent(50), Size::Percent(100)];
    let max_unavailable = Some(Size::Nodes(5));
    let mut rollout =
        fleet(12, Strategy { batches, max_unavailable, max_failures: Size::Nodes(1), ..Strategy::default() });
    drive(&mut rollout, 14, |work| match (work, work.node()) {
        (Work::Apply { .. }, Some("web3")) => {
            Some(Answer::Failed { why: "package:nginx: no such version".into() })
        }
        (Work::Apply { .. }, Some("web5")) => None,
        (Work::GateNode { .. }, Some("web4")) => {
            let why = "http http://10.0.0.4/health: <503> \"busy\"".into();
            Some(Answer::Gate(Verdict::Fail { why }))
        }
        (Work::BeforeNode { .. }, Some("web6")) => None,
        _ => Some(good(work)),
    });
    rollout
}

fn thousand() -> Rollout {
    let strategy = Strategy {
        batches: ["1", "5%", "50%", "100%"].iter().map(|size| size.parse().unwrap()).collect(),
        max_unavailable: Some(Size::Nodes(40)),
        max_failures: Size::Percent(1),
        ..Strategy::default()
    };
    let mut rollout = fleet(1_000, strategy);
    drive(&mut rollout, 42, |work| match (work, work.node()) {
        (Work::Apply { .. }, Some("web77" | "web93")) => Some(Answer::Failed { why: "disk full".into() }),
        _ => Some(good(work)),
    });
    rollout
}

fn drawn(rollout: &Rollout) -> String {
    plain(&text(rollout, 100))
}

#[test]
fn a_small_fleet_as_text() {
    insta::assert_snapshot!(drawn(&twelve()));
}

#[test]
fn a_large_fleet_as_text() {
    insta::assert_snapshot!(drawn(&thousand()));
}

#[test]
fn a_paused_one_as_text() {
    let mut rollout = twelve();
    rollout.step(rollout.latest, Input::Command(Command::Pause { why: "paused by ada".into() }));
    let ticket = *rollout.under_way.iter().find(|(_, work)| matches!(work, Work::Apply { .. })).unwrap().0;
    let actions =
        rollout.step(rollout.latest, Input::Answered { ticket, answer: Answer::Applied { changed: true } });
    let Action::Do { ticket, .. } = actions[0] else { panic!("{actions:?}") };
    let why = "prometheus http://prom:9090: no data".to_owned();
    let verdict = Verdict::Inconclusive { why };
    rollout.step(rollout.latest, Input::Answered { ticket, answer: Answer::Gate(verdict) });
    insta::assert_snapshot!(drawn(&rollout));
}

#[test]
fn one_that_was_rolled_back_as_text() {
    let mut rollout = twelve();
    rollout.step(rollout.latest, Input::Command(Command::RollBack { why: "asked for by ada".into() }));
    drive(&mut rollout, 40, |work| Some(good(work)));
    insta::assert_snapshot!(drawn(&rollout));
}

#[test]
fn a_small_fleet_as_svg() {
    insta::assert_snapshot!(svg(&twelve()));
}

#[test]
fn svg_is_xml_with_a_titled_cell_for_each_node() {
    for rollout in [twelve(), thousand()] {
        let mut rollout = rollout;
        rollout.nodes[0].name = "<web&\"1\"\u{1}>".into();
        let drawing = svg(&rollout);
        let document = roxmltree::Document::parse(&drawing).unwrap();
        let titles: Vec<&str> = document
            .descendants()
            .filter(|node| {
                node.has_tag_name("title")
                    && node.next_sibling_element().is_some_and(|next| next.has_tag_name("rect"))
            })
            .filter_map(|node| node.text())
            .collect();
        for node in &rollout.nodes {
            let name = node.name.replace('\u{1}', "\u{fffd}");
            assert!(titles.iter().any(|title| title.starts_with(&format!("{name}: "))), "{name}");
        }
    }
}

#[test]
fn lines_stay_within_their_width() {
    for rollout in [twelve(), thousand()] {
        for width in [60, 80, 140] {
            let lines = plain(&text(&rollout, width));
            let cells = lines.lines().filter(|line| line.contains("● ●") || line.contains("●●"));
            for line in cells {
                assert!(line.chars().count() <= width, "{line}");
            }
        }
    }
}

/// Writes pictures for looking at: `CM_ROLLOUT_PICTURES=folder`.
#[test]
#[ignore = "for eyes"]
fn pictures() {
    let Some(folder) = std::env::var_os("CM_ROLLOUT_PICTURES") else { return };
    let folder = std::path::Path::new(&folder);
    let mut back = twelve();
    back.step(
        back.latest,
        Input::Command(Command::RollBack { why: "version 3 fails its health check".into() }),
    );
    drive(&mut back, 4, |work| Some(good(work)));
    for (name, rollout) in [("twelve", twelve()), ("thousand", thousand()), ("back", back)] {
        std::fs::write(folder.join(format!("{name}.svg")), svg(&rollout)).unwrap();
        std::fs::write(folder.join(format!("{name}.txt")), drawn(&rollout)).unwrap();
    }
}
