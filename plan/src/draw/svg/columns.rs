//! Where the columns stand: as wide as what is in them, further apart where lines climb.

use super::{
    MARGIN, PADDING,
    chart::{Chart, What},
};

/// Left and right edges of the columns.
pub struct Columns {
    edges: Vec<(f64, f64)>,
}

impl Columns {
    /// Measures and places the columns.
    pub fn new(chart: &Chart, y: &[f64]) -> Self {
        let mut widths = vec![0.0_f64; chart.ranks];
        for spot in &chart.spots {
            widths[spot.rank] = widths[spot.rank].max(spot.width);
        }
        let mut climbs = vec![0.0_f64; chart.ranks];
        for strand in &chart.strands {
            let rank = chart.spots[strand.from].rank;
            climbs[rank] = climbs[rank].max((y[strand.from] - y[strand.to]).abs());
        }
        // A frame's edge lies between a column of tasks and one of links; arrowheads want room too.
        let tasks: Vec<bool> = (0..chart.ranks)
            .map(|rank| chart.spots.iter().any(|spot| spot.rank == rank && matches!(spot.what, What::Task(_))))
            .collect();
        let mut edges = Vec::with_capacity(chart.ranks);
        let mut left = MARGIN + PADDING;
        for (rank, width) in widths.into_iter().enumerate() {
            edges.push((left, left + width));
            let arrows = if tasks.get(rank + 1) == Some(&true) { 12.0 } else { 0.0 };
            left += width + (20.0 + 0.16 * climbs[rank]).min(110.0) + arrows;
        }
        Self { edges }
    }

    /// Left and right edge of a column.
    pub fn edges(&self, rank: usize) -> (f64, f64) {
        self.edges[rank]
    }
}
