//! Lays a picture out and writes it as SVG.
//!
//! Roles stand below the roles they wait for. Within a role time runs from left to right: every task stands in the
//! column of its wave, links stand in the columns between, with their reason written on their line (`ranks`). Lines that
//! pass a column get a lane there (`chart`). The spots of each column are ordered so that few lines cross (`order`)
//! and moved so that lines run straight (`rows`); then the roles are put in place as whole blocks (`blocks`), so that
//! their frames never overlap. Links from role to role go round the frames (`wraps`).

mod blocks;
mod chart;
mod columns;
mod legend;
mod measure;
mod order;
mod outline;
mod paint;
mod ranks;
mod rows;
mod strokes;
mod wraps;

use super::picture::Picture;
use chart::Chart;

/// Where everything is, in pixels from the top left.
struct Layout {
    chart: Chart,
    /// The height of each spot: where its line runs.
    y: Vec<f64>,
    columns: columns::Columns,
    /// The frame of each role.
    frames: Vec<Area>,
    /// The ways of the links from row to row.
    ways: Vec<wraps::Way>,
    width: f64,
    height: f64,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// Space round the drawing.
const MARGIN: f64 = 16.0;
/// Space between a frame and what is in it.
const PADDING: f64 = 14.0;
/// Height of the name of a role in its frame.
const HEADING: f64 = 22.0;

/// Space between rows of roles, on top of what the links between them take.
const BETWEEN: f64 = 18.0;

impl Layout {
    fn new(picture: &Picture<'_>) -> Self {
        let ranks = ranks::Ranks::new(picture);
        let chart = Chart::new(picture, &ranks);
        let layers = order::order(&chart, picture.roles.len());
        let rows = rows::rows(&chart, &layers);
        let arriving = wraps::arriving(&chart);
        let space: Vec<f64> = arriving
            .iter()
            .enumerate()
            .map(|(row, &links)| links as f64 * wraps::LEVEL + if row > 0 { BETWEEN } else { 0.0 })
            .collect();
        let heights = blocks::blocks(&chart, &rows, picture.roles.len(), &space);
        let start = MARGIN + wraps::left(&chart);
        let columns = columns::Columns::new(&chart, &heights.spots, start);
        let ways = wraps::ways(&chart, &heights.spots, &heights.rows, &columns, start);
        let frame = |(&(top, bottom), &(first, last)): (&(f64, f64), &(usize, usize))| {
            let (left, right) = (columns.edges(first).0 - PADDING, columns.edges(last).1 + PADDING);
            Area { left, top, right, bottom }
        };
        let frames: Vec<Area> = heights.frames.iter().zip(&ranks.span).map(frame).collect();
        let (width, height) = (2.0 * MARGIN, 2.0 * MARGIN);
        let mut layout = Self { chart, y: heights.spots, columns, frames, ways, width, height };
        layout.fit();
        layout
    }

    /// Makes the sheet as large as what is on it.
    fn fit(&mut self) {
        let spots = (0..self.chart.spots.len()).map(|spot| self.area(spot));
        let edges = spots.chain(self.frames.iter().copied()).map(|area| (area.right, area.bottom));
        for (right, bottom) in edges.chain(self.ways.iter().map(|way| (way.right, 0.0))).collect::<Vec<_>>() {
            self.width = self.width.max(right + MARGIN);
            self.height = self.height.max(bottom + MARGIN);
        }
    }

    /// The box of a spot: what nothing else may lie on.
    fn area(&self, spot: usize) -> Area {
        let shape = &self.chart.spots[spot];
        let (left, right) = self.columns.edges(shape.rank);
        let right = if matches!(shape.what, chart::What::Task(_)) { left + shape.width } else { right };
        Area { left, top: self.y[spot] - shape.up, right, bottom: self.y[spot] + shape.down }
    }
}

/// The picture as SVG.
pub fn write(picture: &Picture<'_>) -> String {
    paint::paint(picture, &Layout::new(picture))
}

#[cfg(test)]
mod tests;
