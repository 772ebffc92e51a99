//! The order of the spots in each column of each role: the one with the fewest crossings that a few sweeps find.

use super::chart::Chart;

/// Rounds without a better order before it is given up.
const PATIENCE: usize = 4;
/// Rounds at most.
const ROUNDS: usize = 24;

/// For each role, for each column, its spots from top to bottom.
pub type Layers = Vec<Vec<Vec<usize>>>;

/// Orders the spots of every role; spots of no role are not among them.
pub fn order(chart: &Chart, roles: usize) -> Layers {
    let mut layers = vec![vec![Vec::new(); chart.ranks()]; roles];
    for (index, spot) in chart.spots.iter().enumerate() {
        if let Some(role) = spot.home {
            layers[role][spot.rank].push(index);
        }
    }
    let mut place = vec![0_usize; chart.spots.len()];
    for layers in &mut layers {
        // What is tied to nothing goes below the rest, where it crosses nothing.
        for layer in layers.iter_mut() {
            layer.sort_by_key(|&spot| (chart.before[spot].is_empty() && chart.after[spot].is_empty(), spot));
        }
        settle(chart, layers, &mut place);
    }
    layers
}

fn settle(chart: &Chart, layers: &mut [Vec<usize>], place: &mut [usize]) {
    number(layers, place);
    let mut best = (crossings(chart, layers, place), layers.to_vec());
    let mut idle = 0;
    for round in 0..ROUNDS {
        if best.0 == 0 || idle == PATIENCE {
            break;
        }
        if round % 2 == 0 {
            for layer in layers.iter_mut() {
                sort(chart, layer, &chart.before, place);
            }
        } else {
            for layer in layers.iter_mut().rev() {
                sort(chart, layer, &chart.after, place);
            }
        }
        let found = crossings(chart, layers, place);
        if found < best.0 {
            best = (found, layers.to_vec());
            idle = 0;
        } else {
            idle += 1;
        }
    }
    layers.clone_from_slice(&best.1);
    number(layers, place);
    while swap(chart, layers, place) {}
}

fn number(layers: &[Vec<usize>], place: &mut [usize]) {
    for layer in layers {
        for (at, &spot) in layer.iter().enumerate() {
            place[spot] = at;
        }
    }
}

fn at_home<'a>(
    chart: &'a Chart,
    sides: &'a [Vec<(usize, f64)>],
    spot: usize,
) -> impl Iterator<Item = usize> + 'a {
    sides[spot]
        .iter()
        .map(|&(other, _)| other)
        .filter(move |&other| chart.spots[other].home == chart.spots[spot].home)
}

/// Sorts a column by the mean place of the neighbours on one side; spots without any stay where they are.
fn sort(chart: &Chart, layer: &mut [usize], sides: &[Vec<(usize, f64)>], place: &mut [usize]) {
    let mut movable: Vec<(f64, usize)> = Vec::with_capacity(layer.len());
    let mut slots = Vec::with_capacity(layer.len());
    for (at, &spot) in layer.iter().enumerate() {
        let (count, sum) =
            at_home(chart, sides, spot).fold((0, 0), |(n, sum), other| (n + 1, sum + place[other]));
        if count > 0 {
            movable.push((sum as f64 / f64::from(count), spot));
            slots.push(at);
        }
    }
    movable.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (&slot, (_, spot)) in slots.iter().zip(movable) {
        layer[slot] = spot;
    }
    for (at, &spot) in layer.iter().enumerate() {
        place[spot] = at;
    }
}

/// Swaps neighbours in a column where that takes crossings away; whether it did.
fn swap(chart: &Chart, layers: &mut [Vec<usize>], place: &mut [usize]) -> bool {
    let mut better = false;
    for layer in layers.iter_mut().filter(|layer| layer.len() <= 200) {
        for at in 1..layer.len() {
            let (upper, lower) = (layer[at - 1], layer[at]);
            let (mut now, mut then) = (0, 0);
            for sides in [&chart.before, &chart.after] {
                for a in at_home(chart, sides, upper) {
                    for b in at_home(chart, sides, lower) {
                        now += usize::from(place[a] > place[b]);
                        then += usize::from(place[a] < place[b]);
                    }
                }
            }
            if then < now {
                layer.swap(at - 1, at);
                (place[upper], place[lower]) = (at, at - 1);
                better = true;
            }
        }
    }
    better
}

/// How often lines cross between neighbouring columns of a role.
fn crossings(chart: &Chart, layers: &[Vec<usize>], place: &[usize]) -> usize {
    let mut count = 0;
    for (layer, next) in layers.iter().zip(layers.iter().skip(1)) {
        // A tree of counts over the places of the next column: how many lines so far end below a place.
        let mut tree = vec![0_usize; next.len() + 1];
        let mut lines = 0;
        for &spot in layer {
            let mut ends: Vec<usize> = at_home(chart, &chart.after, spot).map(|other| place[other]).collect();
            ends.sort_unstable();
            for &end in &ends {
                let (mut at, mut above) = (end + 1, 0);
                while at > 0 {
                    above += tree[at];
                    at &= at - 1;
                }
                count += lines - above;
            }
            for &end in &ends {
                let mut at = end + 1;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                lines += 1;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::svg::{
        chart::{Spot, Strand, What},
        ranks::Row,
    };

    fn chart(columns: [usize; 2], lines: &[(usize, usize)]) -> Chart {
        let spots = (0..columns[0] + columns[1])
            .map(|index| Spot {
                what: What::Task(index),
                rank: usize::from(index >= columns[0]),
                home: Some(0),
                text: String::new(),
                width: 1.0,
                up: 1.0,
                down: 1.0,
            })
            .collect();
        let strands: Vec<_> =
            lines.iter().map(|&(from, to)| Strand { from, to: to + columns[0], link: 0 }).collect();
        let rows = vec![Row { entry: 0, exit: 1 }];
        let mut chart =
            Chart { spots, strands, wraps: Vec::new(), rows, before: Vec::new(), after: Vec::new() };
        chart.before = vec![Vec::new(); chart.spots.len()];
        chart.after = vec![Vec::new(); chart.spots.len()];
        for strand in &chart.strands {
            chart.after[strand.from].push((strand.to, 1.0));
            chart.before[strand.to].push((strand.from, 1.0));
        }
        chart
    }

    #[test]
    fn crossings_are_counted() {
        let layers = vec![vec![0, 1, 2], vec![3, 4, 5]];
        let mut place = vec![0; 6];
        number(&layers, &mut place);
        let count = |lines: &[(usize, usize)]| crossings(&chart([3, 3], lines), &layers, &place);
        assert_eq!(count(&[(0, 0), (1, 1), (2, 2), (0, 1)]), 0);
        assert_eq!(count(&[(0, 2), (1, 1), (2, 0)]), 3);
        assert_eq!(count(&[(0, 0), (0, 1), (1, 0), (1, 1)]), 1);
    }

    #[test]
    fn lines_are_untangled() {
        let tangled = chart([3, 3], &[(0, 2), (1, 0), (2, 1)]);
        let layers = order(&tangled, 1).remove(0);
        let mut place = vec![0; 6];
        number(&layers, &mut place);
        assert_eq!(crossings(&tangled, &layers, &place), 0);
    }
}
