//! Lays a picture out and writes it as SVG.
//!
//! Time runs from left to right: every task stands in the column of its wave, links stand in the columns between, with
//! their reason written on their line (`ranks`). Lines that pass a column get a lane there (`chart`). Within each
//! role the rows are ordered so that few lines cross (`order`) and moved so that lines run straight (`rows`); then
//! the roles are put in place as whole blocks (`blocks`), so that their frames never overlap.

mod blocks;
mod chart;
mod columns;
mod measure;
mod order;
mod outline;
mod paint;
mod ranks;
mod rows;

use super::picture::Picture;
use chart::Chart;

/// Where everything is, in pixels from the top left.
struct Layout {
    chart: Chart,
    /// The row of each spot: where its line runs.
    y: Vec<f64>,
    columns: columns::Columns,
    /// The frame of each role.
    frames: Vec<Area>,
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

impl Layout {
    fn new(picture: &Picture<'_>) -> Self {
        let ranks = ranks::Ranks::new(picture);
        let chart = Chart::new(picture, &ranks);
        let layers = order::order(&chart, picture.roles.len());
        let rows = rows::rows(&chart, &layers);
        let (y, spans) = blocks::blocks(&chart, &rows, picture.roles.len());
        let columns = columns::Columns::new(&chart, &y);
        let mut layout =
            Self { chart, y, columns, frames: Vec::new(), width: 2.0 * MARGIN, height: 2.0 * MARGIN };
        for span in spans {
            let (left, _) = layout.columns.edges(span.first);
            let (_, right) = layout.columns.edges(span.last);
            let frame =
                Area { left: left - PADDING, top: span.top, right: right + PADDING, bottom: span.bottom };
            layout.frames.push(frame);
        }
        for spot in 0..layout.chart.spots.len() {
            layout.width = layout.width.max(layout.area(spot).right + PADDING + MARGIN);
            layout.height = layout.height.max(layout.area(spot).bottom + MARGIN);
        }
        layout.height =
            layout.frames.iter().map(|frame| frame.bottom + MARGIN).fold(layout.height, f64::max);
        layout
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
