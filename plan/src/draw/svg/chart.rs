//! The spots of a drawing and the strands between them.

use super::{super::picture::Picture, measure, ranks::Ranks};
use crate::draw::text::visible;

/// Font size of tasks.
pub const TEXT: f64 = 12.0;
/// Font size of reasons.
pub const SMALL: f64 = 10.5;
/// What a name may take before its middle is left out.
const WIDEST_NAME: f64 = 330.0;
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

/// All spots and strands. The first spots are the tasks, then the links, then the lanes.
pub struct Chart {
    /// The spots.
    pub spots: Vec<Spot>,
    /// The strands, in the order of their links.
    pub strands: Vec<Strand>,
    /// How many columns there are.
    pub ranks: usize,
    /// Spots in the column before, for each spot, with the weight of straightness.
    pub before: Vec<Vec<(usize, f64)>>,
    /// Spots in the column behind, likewise.
    pub after: Vec<Vec<(usize, f64)>>,
}

impl Chart {
    /// Makes a spot of every task and link, and lanes for links that pass columns.
    pub fn new(picture: &Picture<'_>, ranks: &Ranks) -> Self {
        let last = ranks.task.iter().chain(&ranks.link).max();
        let mut chart = Self {
            spots: Vec::new(),
            strands: Vec::new(),
            ranks: last.map_or(0, |&last| last + 1),
            before: Vec::new(),
            after: Vec::new(),
        };
        for (index, task) in picture.tasks.iter().enumerate() {
            let text = measure::shorten(&visible(task.id), TEXT, WIDEST_NAME);
            let width = (measure::width(&text, TEXT) + 2.0 * INSET).ceil();
            let home = Some(picture.role[index]);
            let what = What::Task(index);
            chart.spots.push(Spot { what, rank: ranks.task[index], home, text, width, up: 13.0, down: 13.0 });
        }
        for (index, link) in picture.links.iter().enumerate() {
            let text = measure::shorten(&visible(&link.reason.to_string()), SMALL, WIDEST_REASON);
            let width = (measure::width(&text, SMALL) + 8.0).ceil();
            let (what, home) = (What::Link(index), picture.home(link));
            chart.spots.push(Spot { what, rank: ranks.link[index], home, text, width, up: 15.0, down: 4.0 });
        }
        let tasks = picture.tasks.len();
        for (index, link) in picture.links.iter().enumerate() {
            let (rank, (from, to)) = (ranks.link[index], picture.ends(link));
            let first = link.from.iter().map(|&task| ranks.task[task]).min().unwrap_or(rank);
            let last = link.to.iter().map(|&task| ranks.task[task]).max().unwrap_or(rank);
            let near = |at: usize| if from == to || at <= ranks.span[from].1 { Some(from) } else { None };
            let far = |at: usize| if from == to || at >= ranks.span[to].0 { Some(to) } else { None };
            let way_in = chart.lanes(index, first + 1..rank, near);
            let way_out = chart.lanes(index, rank + 1..last, far);
            let spot = tasks + index;
            let lane = |way: &Option<(usize, usize)>, at: usize| {
                way.filter(|&(start, _)| at >= start).map(|(start, spot)| spot + at - start)
            };
            for &task in &link.from {
                let next = ranks.task[task] + 1;
                let to = if next < rank { lane(&way_in, next) } else { None };
                chart.strands.push(Strand { from: task, to: to.unwrap_or(spot), link: index });
            }
            chart.chain(&way_in, rank.saturating_sub(first + 1), None, Some(spot), index);
            chart.chain(&way_out, last.saturating_sub(rank + 1), Some(spot), None, index);
            for &task in &link.to {
                let from = ranks.task[task].checked_sub(1).filter(|&at| at > rank).and_then(|at| lane(&way_out, at));
                chart.strands.push(Strand { from: from.unwrap_or(spot), to: task, link: index });
            }
        }
        chart.neighbours();
        chart
    }

    /// Makes lanes; gives the first column and the spot of the first lane.
    fn lanes(
        &mut self,
        link: usize,
        ranks: std::ops::Range<usize>,
        home: impl Fn(usize) -> Option<usize>,
    ) -> Option<(usize, usize)> {
        if ranks.is_empty() || self.spots.len() + ranks.len() > LANES {
            return None;
        }
        let made = (ranks.start, self.spots.len());
        self.spots.extend(ranks.map(|rank| Spot {
            what: What::Lane(link),
            rank,
            home: home(rank),
            text: String::new(),
            width: 0.0,
            up: 3.0,
            down: 3.0,
        }));
        Some(made)
    }

    /// Strands along lanes, from the link's own spot or to it.
    fn chain(
        &mut self,
        lanes: &Option<(usize, usize)>,
        count: usize,
        start: Option<usize>,
        end: Option<usize>,
        link: usize,
    ) {
        let Some((_, first)) = *lanes else { return };
        let stops: Vec<usize> = start.into_iter().chain(first..first + count).chain(end).collect();
        self.strands.extend(stops.windows(2).map(|pair| Strand { from: pair[0], to: pair[1], link }));
    }

    fn neighbours(&mut self) {
        self.before = vec![Vec::new(); self.spots.len()];
        self.after = vec![Vec::new(); self.spots.len()];
        for strand in &self.strands {
            if self.spots[strand.from].rank + 1 != self.spots[strand.to].rank {
                continue;
            }
            let lanes = [strand.from, strand.to].map(|spot| matches!(self.spots[spot].what, What::Lane(_)));
            let weight = match lanes {
                [true, true] => 8.0,
                [false, false] => 1.0,
                _ => 2.0,
            };
            self.after[strand.from].push((strand.to, weight));
            self.before[strand.to].push((strand.from, weight));
        }
    }
}
