//! The spots of a drawing and the strands between them.

use std::ops::Range;

use super::{
    measure,
    ranks::{Ranks, Row},
};
use crate::draw::{bundle::Link, picture::Picture, text::visible};

/// Font size of tasks.
pub const TEXT: f64 = 12.0;
/// Font size of reasons.
pub const SMALL: f64 = 10.5;
/// What a name may take before its middle is left out.
const WIDEST_NAME: f64 = 330.0;
/// The same of a reason in a column.
const WIDEST_REASON: f64 = 230.0;
/// Space to the left and right of the text in a box.
pub const INSET: f64 = 14.0;
/// More lanes than this are not laid out; further links are drawn straight across.
const LANES: usize = 60_000;

/// What stands in a spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A task.
    Task(usize),
    /// A link, with its reason on it.
    Link(usize),
    /// A place where a link passes a column.
    Lane(usize),
}

/// A place in a column that belongs to one thing alone.
pub struct Spot {
    /// What stands there.
    pub what: What,
    /// Its column.
    pub rank: usize,
    /// The role in whose frame it is.
    pub home: Option<usize>,
    /// What is written there.
    pub text: String,
    /// Pixels it takes.
    pub width: f64,
    /// Pixels above its line.
    pub up: f64,
    /// Pixels below its line.
    pub down: f64,
}

/// A line from spot to spot, from column to column except where it was drawn straight across.
#[derive(Clone, Copy, Debug)]
pub struct Strand {
    /// The spot on the left.
    pub from: usize,
    /// The spot on the right.
    pub to: usize,
    /// The link it is a part of.
    pub link: usize,
}

/// A link from one row of roles to another one.
#[derive(Clone, Copy, Debug)]
pub struct Wrap {
    /// The link.
    pub link: usize,
    /// The lane where it leaves its row on the right.
    pub exit: usize,
    /// The lane where it comes into its row on the left.
    pub entry: usize,
}

/// All spots and strands. The first spots are the tasks.
pub struct Chart {
    /// The spots.
    pub spots: Vec<Spot>,
    /// The strands, in the order of their links.
    pub strands: Vec<Strand>,
    /// Links from row to row.
    pub wraps: Vec<Wrap>,
    /// The rows from top to bottom, each with its columns.
    pub rows: Vec<Row>,
    /// Spots in the column before, for each spot, with the weight of straightness.
    pub before: Vec<Vec<(usize, f64)>>,
    /// Spots in the column behind, likewise.
    pub after: Vec<Vec<(usize, f64)>>,
}

impl Chart {
    /// Makes a spot of every task and link, and lanes for links that pass columns.
    pub fn new(picture: &Picture<'_>, ranks: &Ranks) -> Self {
        let (rows, none) = (ranks.rows.clone(), Vec::new());
        let mut chart = Self {
            spots: Vec::new(),
            strands: Vec::new(),
            wraps: Vec::new(),
            rows,
            before: none.clone(),
            after: none,
        };
        for (index, task) in picture.tasks.iter().enumerate() {
            let text = measure::shorten(&visible(task.id), TEXT, WIDEST_NAME);
            let width = (measure::width(&text, TEXT) + 2.0 * INSET).ceil();
            let home = Some(picture.role[index]);
            let what = What::Task(index);
            chart.spots.push(Spot { what, rank: ranks.task[index], home, text, width, up: 13.0, down: 13.0 });
        }
        for (index, link) in picture.links.iter().enumerate() {
            chart.link(index, link, picture, ranks);
        }
        chart.neighbours();
        chart
    }

    /// How many columns there are in all rows together.
    pub fn ranks(&self) -> usize {
        self.rows.last().map_or(0, |row| row.exit + 1)
    }

    fn link(&mut self, index: usize, link: &Link, picture: &Picture<'_>, ranks: &Ranks) {
        let (from, to) = picture.ends(link);
        let first = link.from.iter().map(|&task| ranks.task[task]).min().unwrap_or(0);
        let last = link.to.iter().map(|&task| ranks.task[task]).max().unwrap_or(0);
        // Within its own role's columns, and the one behind, it stays in its role.
        let near = |at: usize| (from == to || at <= ranks.span[from].1 + 1).then_some(from);
        let far = |at: usize| (from == to || at + 1 >= ranks.span[to].0).then_some(to);
        if let Some(rank) = ranks.link[index] {
            let text = measure::shorten(&visible(&link.reason.to_string()), SMALL, WIDEST_REASON);
            let width = (measure::width(&text, SMALL) + 8.0).ceil();
            let spot = self.spots.len();
            let (what, home) = (What::Link(index), picture.home(link));
            self.spots.push(Spot { what, rank, home, text, width, up: 15.0, down: 4.0 });
            let way_in = self.lanes(index, first + 1..rank, near);
            let way_out = self.lanes(index, rank + 1..last, far);
            self.gather(index, &link.from, &way_in, spot);
            self.spread(index, &link.to, spot, &way_out);
        } else {
            let (exit, entry) = (ranks.rows[ranks.row[from]].exit, ranks.rows[ranks.row[to]].entry);
            let way_in = self.lanes(index, first + 1..exit, near);
            let exit = self.lane(index, exit, near(exit));
            let entry_lane = self.lane(index, entry, far(entry));
            let way_out = self.lanes(index, entry + 1..last, far);
            self.gather(index, &link.from, &way_in, exit);
            self.spread(index, &link.to, entry_lane, &way_out);
            self.wraps.push(Wrap { link: index, exit, entry: entry_lane });
        }
    }

    fn lane(&mut self, link: usize, rank: usize, home: Option<usize>) -> usize {
        let text = String::new();
        self.spots.push(Spot { what: What::Lane(link), rank, home, text, width: 0.0, up: 3.0, down: 3.0 });
        self.spots.len() - 1
    }

    /// One lane a column, as long as there are not too many in all.
    fn lanes(
        &mut self,
        link: usize,
        ranks: Range<usize>,
        home: impl Fn(usize) -> Option<usize>,
    ) -> Vec<usize> {
        if self.spots.len() + ranks.len() > LANES {
            return Vec::new();
        }
        ranks.map(|rank| self.lane(link, rank, home(rank))).collect()
    }

    /// Strands from tasks along lanes to a spot; each task joins the lane in the next column.
    fn gather(&mut self, link: usize, tasks: &[usize], lanes: &[usize], spot: usize) {
        for &task in tasks {
            let next = self.lane_in(lanes, self.spots[task].rank + 1);
            self.strands.push(Strand { from: task, to: next.unwrap_or(spot), link });
        }
        let stops: Vec<usize> = lanes.iter().copied().chain([spot]).collect();
        self.strands.extend(stops.windows(2).map(|pair| Strand { from: pair[0], to: pair[1], link }));
    }

    /// Strands from a spot along lanes to tasks; each task hangs on the lane in the column before.
    fn spread(&mut self, link: usize, tasks: &[usize], spot: usize, lanes: &[usize]) {
        let stops: Vec<usize> = [spot].into_iter().chain(lanes.iter().copied()).collect();
        self.strands.extend(stops.windows(2).map(|pair| Strand { from: pair[0], to: pair[1], link }));
        for &task in tasks {
            let last = self.spots[task].rank.checked_sub(1).and_then(|rank| self.lane_in(lanes, rank));
            self.strands.push(Strand { from: last.unwrap_or(spot), to: task, link });
        }
    }

    /// The lane in a column, of lanes in columns next to each other.
    fn lane_in(&self, lanes: &[usize], rank: usize) -> Option<usize> {
        let first = self.spots[*lanes.first()?].rank;
        lanes.get(rank.checked_sub(first)?).copied()
    }

    fn neighbours(&mut self) {
        self.before = vec![Vec::new(); self.spots.len()];
        self.after = vec![Vec::new(); self.spots.len()];
        for strand in &self.strands {
            if self.spots[strand.from].rank + 1 != self.spots[strand.to].rank {
                continue;
            }
            let tasks = [strand.from, strand.to].map(|spot| matches!(self.spots[spot].what, What::Task(_)));
            // A bend in the middle of a line is uglier than one at its end.
            let weight = if tasks == [false, false] { 8.0 } else { 1.0 };
            self.after[strand.from].push((strand.to, weight));
            self.before[strand.to].push((strand.from, weight));
        }
    }
}
