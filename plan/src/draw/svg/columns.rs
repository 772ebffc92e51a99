//! Where the columns stand: as wide as what is in them, further apart where lines climb.

use super::{
    PADDING,
    chart::{Chart, What},
};

/// Left and right edges of the columns, from the left edge of their row.
pub struct Columns {
    edges: Vec<(f64, f64)>,
}

impl Columns {
    /// Measures and places the columns; each row of roles starts at `left`.
    pub fn new(chart: &Chart, y: &[f64], left: f64) -> Self {
        let ranks = chart.ranks();
        let (mut widths, mut climbs) = (vec![0.0_f64; ranks], vec![0.0_f64; ranks]);
        let (mut tasks, mut used) = (vec![false; ranks], vec![false; ranks]);
        for spot in &chart.spots {
            widths[spot.rank] = widths[spot.rank].max(spot.width);
            tasks[spot.rank] |= matches!(spot.what, What::Task(_));
            used[spot.rank] = true;
        }
        for strand in &chart.strands {
            let rank = chart.spots[strand.from].rank;
            climbs[rank] = climbs[rank].max((y[strand.from] - y[strand.to]).abs());
        }
        let mut gaps = vec![0.0_f64; ranks];
        for row in &chart.rows {
            for rank in row.entry..row.exit {
                let arrows = if tasks[rank + 1] { 10.0 } else { 0.0 };
                let lines = if used[rank] { (16.0 + 0.14 * climbs[rank]).min(90.0) + arrows } else { 0.0 };
                // The edge of a frame lies between tasks and what comes and goes.
                let frame = if rank == row.entry || rank + 1 == row.exit { PADDING } else { 0.0 };
                gaps[rank] = lines.max(frame);
            }
        }
        // The frames of all rows begin below one another.
        let first = chart.rows.iter().map(|row| gaps[row.entry]).fold(0.0, f64::max);
        let mut edges = Vec::with_capacity(ranks);
        for row in &chart.rows {
            gaps[row.entry] = first;
            let mut at = left;
            for rank in row.entry..=row.exit {
                edges.push((at, at + widths[rank]));
                at += widths[rank] + gaps[rank];
            }
        }
        Self { edges }
    }

    /// Left and right edge of a column.
    pub fn edges(&self, rank: usize) -> (f64, f64) {
        self.edges[rank]
    }
}
