//! What must hold for every strategy, every fleet, every order of results, and every crash.
//!
//! A world that knows nothing of the machine's insides does what it is told, in any order and with any result; it
//! watches who is out of service by what was done to nodes, not by what the record says.

mod choices;
mod fleet;
mod watch;
mod world;

use proptest::{
    prelude::{ProptestConfig, any},
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use choices::Choices;
use world::World;

/// How many worlds are tried, always the same ones; `CM_ROLLOUT_CASES` tries more.
const CASES: u32 = 500;

fn cases() -> u32 {
    std::env::var("CM_ROLLOUT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

/// Runs a test over worlds made of random choices.
fn in_every_world(length: usize, test: impl Fn(&mut Choices)) {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let all = proptest::collection::vec(any::<u16>(), 20..length);
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&all, |choices| {
            test(&mut Choices::new(choices));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Safety: whatever happens, in whatever order, nothing is done that must not be done. Then it comes to its end.
#[test]
fn nothing_forbidden_is_ever_done_and_it_always_ends() {
    in_every_world(160, |choices| {
        let mut world = World::new(choices);
        while choices.any_left() {
            world.something_happens(choices);
        }
        world.comes_to_its_end();
    });
}

/// A controller that is killed after every single step ends as one that never was.
#[test]
fn a_controller_killed_at_every_step_does_the_same() {
    in_every_world(80, |choices| {
        let mut again = choices.clone();
        let mut steady = World::new(choices);
        let mut killed = World::new(&mut again);
        while choices.any_left() {
            steady.something_happens(choices);
            killed.something_happens(&mut again);
            killed.controller_is_killed();
        }
        assert_eq!(steady.rollout, killed.rollout);
    });
}

/// Where nothing goes wrong, everybody is upgraded, once.
#[test]
fn without_troubles_all_are_upgraded_once() {
    in_every_world(60, |choices| {
        let mut world = World::without_troubles(choices);
        world.comes_to_its_end();
        assert_eq!(world.rollout.ended.map(|(_, outcome)| outcome), Some(cm_rollout::Outcome::Done));
        world.watch.everybody_was_applied_once();
    });
}

/// Who stays away holds nobody up for ever: it ends, or a person is asked, within its deadline.
#[test]
fn with_nodes_that_stay_away_it_ends_or_asks() {
    in_every_world(120, |choices| {
        let mut world = World::new(choices);
        while choices.any_left() {
            world.something_happens(choices);
        }
        world.ends_or_asks();
    });
}

/// A rollback, asked for at any point, leaves nobody upgraded and nobody out of service.
#[test]
fn a_rollback_from_anywhere_leaves_nothing() {
    in_every_world(120, |choices| {
        let mut world = World::new(choices);
        while choices.any_left() {
            world.something_happens(choices);
        }
        world.is_rolled_back();
    });
}

/// Shows a finding step by step: `CM_ROLLOUT_CHOICES="6983, 198, ..."`, as the failed test printed them.
#[test]
#[ignore = "for findings"]
#[expect(clippy::print_stderr, reason = "it is there to be read")]
fn replay() {
    let choices = std::env::var("CM_ROLLOUT_CHOICES").unwrap_or_default();
    let choices = choices.split(',').filter_map(|choice| choice.trim().parse().ok()).collect();
    let mut choices = Choices::new(choices);
    let mut world = World::new(&mut choices);
    eprintln!("{:#?}", world.rollout.strategy);
    world.shown = true;
    while choices.any_left() {
        world.something_happens(&mut choices);
    }
    world.clone().comes_to_its_end();
    world.is_rolled_back();
}
