//! The way of links from one row of roles to another: out on the right, down beside the rows between, back through
//! the space above the row they lead to, and in from the left.

use super::{
    chart::{Chart, Wrap},
    columns::Columns,
};

/// Between two ways side by side.
const TRACK: f64 = 10.0;
/// Of a way back with its reason on it.
pub const LEVEL: f64 = 20.0;

/// The corners of one way.
pub struct Way {
    /// The link and its ends.
    pub wrap: Wrap,
    /// Where it goes down.
    pub right: f64,
    /// How high it goes back.
    pub back: f64,
    /// Where it goes down to the entry.
    pub left: f64,
}

/// How many links come into each row.
pub fn arriving(chart: &Chart) -> Vec<usize> {
    let mut arriving = vec![0; chart.rows.len()];
    for wrap in &chart.wraps {
        arriving[row_of(chart, wrap.entry)] += 1;
    }
    arriving
}

/// How much space the ways need to the left of the rows.
pub fn left(chart: &Chart) -> f64 {
    arriving(chart).into_iter().max().unwrap_or(0) as f64 * TRACK
}

/// Finds ways that never share a stretch. `y` are the lines of the spots, `tops` the upper edges of the rows, and
/// `start` where their columns start.
pub fn ways(chart: &Chart, y: &[f64], tops: &[f64], columns: &Columns, start: f64) -> Vec<Way> {
    let mut ways = backs(chart, y, tops, start);
    // From each exit the lower way goes down first, so that those above pass outside; the longer way passes outside too.
    ways.sort_by(|a, b| {
        let length = |way: &Way| row_of(chart, way.wrap.entry).abs_diff(row_of(chart, way.wrap.exit));
        length(a)
            .cmp(&length(b))
            .then(y[b.wrap.exit].total_cmp(&y[a.wrap.exit]))
            .then(a.wrap.link.cmp(&b.wrap.link))
    });
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); chart.rows.len()];
    for way in &mut ways {
        let (a, b) = (row_of(chart, way.wrap.exit), row_of(chart, way.wrap.entry));
        let beside = a.min(b)..=a.max(b);
        // Beside the row it leads to it goes only down to the space above it.
        let wide = if a < b { a..=b - 1 } else { a.min(b)..=a.max(b) };
        let edge = wide.map(|row| columns.edges(chart.rows[row].exit).1).fold(0.0, f64::max);
        let mut right = edge + TRACK;
        while taken[beside.clone()].iter().flatten().any(|other| (other - right).abs() < TRACK - 0.5) {
            right += TRACK;
        }
        for row in beside {
            taken[row].push(right);
        }
        way.right = right;
    }
    ways.sort_by_key(|way| way.wrap.link);
    ways
}

/// Levels and left sides: what enters lower goes back higher and further out.
fn backs(chart: &Chart, y: &[f64], tops: &[f64], start: f64) -> Vec<Way> {
    let mut wraps = chart.wraps.clone();
    wraps.sort_by(|a, b| {
        row_of(chart, a.entry)
            .cmp(&row_of(chart, b.entry))
            .then(y[a.entry].total_cmp(&y[b.entry]))
            .then(a.link.cmp(&b.link))
    });
    let mut inner = vec![0_usize; chart.rows.len()];
    wraps
        .into_iter()
        .map(|wrap| {
            let row = row_of(chart, wrap.entry);
            inner[row] += 1;
            let step = inner[row] as f64;
            Way { wrap, right: 0.0, back: tops[row] - step * LEVEL + 8.0, left: start - step * TRACK }
        })
        .collect()
}

fn row_of(chart: &Chart, spot: usize) -> usize {
    let rank = chart.spots[spot].rank;
    chart.rows.partition_point(|row| row.exit < rank)
}
