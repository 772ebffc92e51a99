//! Sizes and orders, by example.

use super::*;

fn strategy(sizes: &[&str]) -> Strategy {
    Strategy { batches: sizes.iter().map(|size| size.parse().unwrap()).collect(), ..Strategy::default() }
}

fn names(targets: &[Target]) -> String {
    targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn sizes_with_100_percent_are_totals() {
    assert_eq!(strategy(&["1", "10%", "50%", "100%"]).batch_sizes(20), [1, 1, 8, 10]);
    assert_eq!(strategy(&["1", "10%", "50%", "100%"]).batch_sizes(3), [1, 1, 1]);
    assert_eq!(strategy(&["5", "100%"]).batch_sizes(3), [3]);
}

#[test]
fn other_sizes_are_those_of_batches_and_the_last_repeats() {
    assert_eq!(strategy(&["3"]).batch_sizes(8), [3, 3, 2]);
    assert_eq!(strategy(&["1", "2"]).batch_sizes(6), [1, 2, 2, 1]);
    assert_eq!(strategy(&["30%"]).batch_sizes(10), [3, 3, 3, 1]);
    assert_eq!(strategy(&["1%"]).batch_sizes(3), [1, 1, 1]);
}

#[test]
fn a_canary_comes_first_where_nothing_is_said() {
    assert_eq!(Strategy::default().batch_sizes(12), [1, 2, 9]);
    assert_eq!(Strategy::default().batch_sizes(1), [1]);
    assert_eq!(Strategy::default().max_unavailable_of(12), 3);
    assert_eq!(Strategy::default().max_unavailable_of(2), 1);
}

#[test]
fn what_may_be_unavailable_is_the_size_of_batches() {
    let steady = Strategy { max_unavailable: Some(Size::Nodes(2)), ..Strategy::default() };
    assert_eq!(steady.batch_sizes(5), [2, 2, 1]);
    assert_eq!(strategy(&["4"]).max_unavailable_of(20), 4);
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let targets = [Target::named("a"), Target::named("b")];
    let refused = |sizes: &[&str]| strategy(sizes).check(&targets).unwrap_err().to_string();
    assert_eq!(
        refused(&["50%", "10%", "100%"]),
        "the batches 10% after 50% do not go up: with 100% among them, sizes are totals"
    );
    assert_eq!(refused(&["0"]), "a batch of 0 nodes is none");
    assert_eq!(Strategy::default().check(&[]), Err(StrategyError::NoTargets));
    let twice = [Target::named("a"), Target::named("a")];
    assert_eq!(Strategy::default().check(&twice), Err(StrategyError::Twice("a".into())));
    let none = Strategy { max_unavailable: Some(Size::Nodes(0)), ..Strategy::default() };
    assert_eq!(none.check(&targets), Err(StrategyError::NoneUnavailable));
}

#[test]
fn orders() {
    let mut targets: Vec<Target> = ["a", "b", "c", "d"].map(Target::named).to_vec();
    targets[0].reachable = false;
    targets[1].key = Some(Key::Text("10".into()));
    targets[2].key = Some(Key::Number(10.0));
    targets[3].key = Some(Key::Number(9.0));
    let sorted = |order| {
        let mut targets = targets.clone();
        Strategy { order, ..Strategy::default() }.sort(&mut targets);
        names(&targets)
    };
    assert_eq!(sorted(Order::Given), "b c d a");
    assert_eq!(sorted(Order::ByKey), "d c b a");
    assert_eq!(sorted(Order::Random { seed: 7 }), sorted(Order::Random { seed: 7 }));
    let orders: BTreeSet<String> = (0..50).map(|seed| sorted(Order::Random { seed })).collect();
    assert_eq!(orders.len(), 6);
}

#[test]
fn sizes_are_read() {
    assert_eq!("10%".parse(), Ok(Size::Percent(10)));
    assert_eq!("7".parse(), Ok(Size::Nodes(7)));
    assert!("101%".parse::<Size>().is_err());
    assert!("-1".parse::<Size>().is_err());
    assert!("few".parse::<Size>().is_err());
    assert_eq!(Size::Percent(10).to_string(), "10%");
}
