//! How high each spot stands within its role: in the order given, never touching, with lines as straight as can be.

use super::{
    chart::{Chart, Spot, What},
    order::Layers,
};

/// Passes over all columns.
const PASSES: usize = 30;
/// The last passes, in which lines that pass a column hardly bend any more.
const STIFF: usize = 10;

/// The heights of all spots that have a role; each role has its own zero.
pub fn rows(chart: &Chart, layers: &Layers) -> Vec<f64> {
    let mut y = vec![0.0; chart.spots.len()];
    for layers in layers {
        for layer in layers {
            let mut next = 0.0;
            for (at, &spot) in layer.iter().enumerate() {
                if at > 0 {
                    next += apart(&chart.spots[layer[at - 1]], &chart.spots[spot]);
                }
                y[spot] = next;
            }
            // Columns start centred on each other.
            let half = next / 2.0;
            for &spot in layer {
                y[spot] -= half;
            }
        }
        for pass in 0..PASSES {
            let stiff = if pass + STIFF < PASSES { 1.0 } else { 64.0 };
            let mut settle = |layer: &Vec<usize>| place(chart, layer, &mut y, stiff);
            if pass % 2 == 0 {
                layers.iter().for_each(&mut settle);
            } else {
                layers.iter().rev().for_each(&mut settle);
            }
        }
    }
    y
}

/// How far two spots in one column have to be apart, from line to line.
pub fn apart(above: &Spot, below: &Spot) -> f64 {
    let gap = match (above.what, below.what) {
        (What::Task(_), What::Task(_)) => 8.0,
        (What::Lane(_), What::Lane(_)) => 2.0,
        _ => 5.0,
    };
    above.down + gap + below.up
}

/// Moves a column's spots as near to their neighbours' mean as the gaps between them allow, by least squares:
/// runs of spots that push each other are pooled and stand at their common mean. Lines without a task at either end
/// pull as many times harder as `stiff` says.
fn place(chart: &Chart, layer: &[usize], y: &mut [f64], stiff: f64) {
    struct Run {
        mean: f64,
        weight: f64,
        spots: usize,
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (at, &spot) in layer.iter().enumerate() {
        if at > 0 {
            offset += apart(&chart.spots[layer[at - 1]], &chart.spots[spot]);
        }
        offsets.push(offset);
        let (mut sum, mut weight) = (0.0, 0.0);
        for &(other, pull) in chart.before[spot].iter().chain(&chart.after[spot]) {
            if chart.spots[other].home == chart.spots[spot].home {
                let pull = if pull > 1.0 { pull * stiff } else { pull };
                sum += y[other] * pull;
                weight += pull;
            }
        }
        // What nothing pulls stays, unless it is in the way.
        let (wish, weight) = if weight > 0.0 { (sum / weight, weight) } else { (y[spot], 0.01) };
        let mut run = Run { mean: wish - offset, weight, spots: 1 };
        while let Some(before) = runs.pop_if(|before| before.mean > run.mean) {
            let weight = before.weight + run.weight;
            let mean = (before.mean * before.weight + run.mean * run.weight) / weight;
            run = Run { mean, weight, spots: before.spots + run.spots };
        }
        runs.push(run);
    }
    let means = runs.iter().flat_map(|run| std::iter::repeat_n(run.mean, run.spots));
    for ((&spot, offset), mean) in layer.iter().zip(offsets).zip(means) {
        y[spot] = mean + offset;
    }
}
