//! Random strategies, hooks and targets.

use std::time::Duration;

use cm_rollout::{Hook, Hooks, Key, OnFailure, Order, Promote, Size, Spread, Strategy, Target};

use crate::choices::Choices;

pub fn strategy(choices: &mut Choices) -> Strategy {
    use Size::{Nodes, Percent};
    let lists: [&[Size]; 8] = [
        &[],
        &[Nodes(1)],
        &[Nodes(1), Nodes(2)],
        &[Percent(30)],
        &[Nodes(1), Percent(50), Percent(100)],
        &[Nodes(2), Percent(100)],
        &[Percent(100)],
        &[Nodes(3)],
    ];
    let seconds = |choices: &mut Choices, all: &[u64]| Duration::from_secs(choices.pick(all));
    Strategy {
        batches: choices.pick(&lists).to_vec(),
        max_unavailable: choices.pick(&[
            None,
            Some(Nodes(1)),
            Some(Nodes(2)),
            Some(Nodes(3)),
            Some(Percent(40)),
        ]),
        window: choices.once_in(2),
        promote: choices.pick(&[Promote::Auto, Promote::Auto, Promote::Manual]),
        spread: choices.pick(&[
            None,
            Some(Spread { max_domains: Some(1), per_domain: None }),
            Some(Spread { max_domains: Some(2), per_domain: Some(1) }),
            Some(Spread { max_domains: None, per_domain: Some(1) }),
        ]),
        order: choices.pick(&[Order::Given, Order::Random { seed: 3 }, Order::ByKey]),
        min_healthy_time: seconds(choices, &[0, 5]),
        healthy_deadline: seconds(choices, &[0, 20]),
        progress_deadline: Duration::from_secs(100),
        gate_interval: Duration::from_secs(2),
        max_failures: choices.pick(&[Nodes(0), Nodes(1), Nodes(2), Percent(50)]),
        on_failure: choices.pick(&[OnFailure::Pause, OnFailure::Abort, OnFailure::RollBack]),
    }
}

pub fn hooks(choices: &mut Choices) -> Hooks {
    let hook = |choices: &mut Choices| Hook {
        already: choices.once_in(2),
        before_node: !choices.once_in(4),
        after_node: !choices.once_in(4),
        before_batch: choices.once_in(3),
        after_batch: choices.once_in(3),
    };
    let count = choices.of(3);
    Hooks { hooks: (0..count).map(|_| hook(choices)).collect(), batch_gates: choices.once_in(3) }
}

/// A target that is new; its domain and key are of its number.
pub fn target(number: usize) -> Target {
    Target {
        domain: Some(format!("rack{}", number % 3)),
        key: Some(Key::Number(f64::from(u8::try_from(7 * number % 5).unwrap()))),
        ..Target::named(format!("n{number}"))
    }
}
