//! Puts the roles, each one block now, and the spots between them in place.

use super::{HEADING, MARGIN, PADDING, chart::Chart};

/// Passes over all blocks.
const PASSES: usize = 24;
/// Space between blocks.
const GAP: f64 = 14.0;

/// Heights from the top of the drawing.
pub struct Heights {
    /// Of the line of each spot.
    pub spots: Vec<f64>,
    /// Upper and lower edges of the roles' frames.
    pub frames: Vec<(f64, f64)>,
    /// The upper edge of each row of roles.
    pub rows: Vec<f64>,
}

struct Block {
    first: usize,
    last: usize,
    /// From its upper edge to its zero.
    above: f64,
    /// From its zero to its lower edge.
    below: f64,
    /// Where blocks of one column are ordered by.
    key: f64,
    /// Where its zero is.
    at: f64,
    /// Lines to other blocks: that block, and how much lower the line stands there when both zeros are level.
    lines: Vec<(usize, f64)>,
    /// The blocks right above it in its columns.
    upper: Vec<usize>,
    /// The blocks right below.
    lower: Vec<usize>,
}

/// Places everything, with so much space above each row of roles as `space` says.
pub fn blocks(chart: &Chart, rows: &[f64], roles: usize, space: &[f64]) -> Heights {
    let (mut blocks, block_of) = collect(chart, rows, roles);
    keys(&mut blocks, roles);
    stack(&mut blocks, chart.ranks());
    settle(&mut blocks);
    let tops = drop_rows(chart, &mut blocks, space);
    let spots = rows.iter().zip(&block_of).map(|(row, &block)| (row + blocks[block].at).round()).collect();
    let frames = blocks
        .iter()
        .take(roles)
        .map(|block| ((block.at - block.above).round(), (block.at + block.below).round()))
        .collect();
    Heights { spots, frames, rows: tops }
}

/// Puts the rows below one another; gives their upper edges.
fn drop_rows(chart: &Chart, blocks: &mut [Block], space: &[f64]) -> Vec<f64> {
    let mut next = MARGIN;
    let mut tops = Vec::with_capacity(chart.rows.len());
    for (row, space) in chart.rows.iter().zip(space) {
        next += space;
        let within = |block: &Block| (row.entry..=row.exit).contains(&block.first);
        let top = blocks.iter().filter(|block| within(block)).map(|block| block.at - block.above);
        let shift = next - top.fold(f64::INFINITY, f64::min);
        tops.push(next);
        for block in blocks.iter_mut().filter(|block| within(block)) {
            block.at += shift;
            next = next.max(block.at + block.below);
        }
    }
    tops
}

/// Roles first, then a block for each spot outside of them.
fn collect(chart: &Chart, rows: &[f64], roles: usize) -> (Vec<Block>, Vec<usize>) {
    let empty = |key: f64| Block {
        first: usize::MAX,
        last: 0,
        above: f64::NEG_INFINITY,
        below: f64::NEG_INFINITY,
        key,
        at: 0.0,
        lines: Vec::new(),
        upper: Vec::new(),
        lower: Vec::new(),
    };
    let mut blocks: Vec<Block> = (0..roles).map(|role| empty(role as f64)).collect();
    let mut block_of = Vec::with_capacity(chart.spots.len());
    for (index, spot) in chart.spots.iter().enumerate() {
        let (at, frame) = match spot.home {
            Some(role) => (role, PADDING),
            None => {
                blocks.push(empty(f64::NAN));
                (blocks.len() - 1, 0.0)
            }
        };
        let heading = if spot.home.is_some() { HEADING } else { 0.0 };
        let block = &mut blocks[at];
        block.first = block.first.min(spot.rank);
        block.last = block.last.max(spot.rank);
        block.above = block.above.max(spot.up - rows[index] + frame + heading);
        block.below = block.below.max(spot.down + rows[index] + frame);
        block_of.push(at);
    }
    for strand in &chart.strands {
        let (from, to) = (block_of[strand.from], block_of[strand.to]);
        if from != to {
            let lower = rows[strand.to] - rows[strand.from];
            blocks[from].lines.push((to, lower));
            blocks[to].lines.push((from, -lower));
        }
    }
    (blocks, block_of)
}

/// Spots outside the roles stand between the roles that they lead to.
fn keys(blocks: &mut [Block], roles: usize) {
    let outside = roles..blocks.len();
    for index in outside.clone() {
        // A little below the last role, should it be tied to nothing with a key.
        blocks[index].key = roles as f64;
    }
    for _ in 0..8 {
        for index in outside.clone() {
            let lines = &blocks[index].lines;
            if lines.is_empty() {
                continue;
            }
            let sum: f64 = lines.iter().map(|&(other, _)| blocks[other].key).sum();
            blocks[index].key = sum / lines.len() as f64;
        }
    }
}

/// Stacks the blocks of every column by their keys, as high as they can go.
fn stack(blocks: &mut [Block], ranks: usize) {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by(|&a, &b| blocks[a].key.total_cmp(&blocks[b].key).then(a.cmp(&b)));
    let mut lowest: Vec<Option<usize>> = vec![None; ranks];
    for index in order {
        let (first, last) = (blocks[index].first, blocks[index].last);
        if first > last {
            continue;
        }
        let mut upper: Vec<usize> = (first..=last).filter_map(|rank| lowest[rank].replace(index)).collect();
        upper.sort_unstable();
        upper.dedup();
        blocks[index].at = blocks[index].above;
        for &other in &upper {
            blocks[other].lower.push(index);
            let free = blocks[other].at + blocks[other].below + GAP + blocks[index].above;
            blocks[index].at = blocks[index].at.max(free);
        }
        blocks[index].upper = upper;
    }
}

/// Moves each block towards the blocks it has lines to, as far as those above and below let it.
fn settle(blocks: &mut [Block]) {
    for pass in 0..PASSES {
        for index in 0..blocks.len() {
            let index = if pass % 2 == 0 { index } else { blocks.len() - 1 - index };
            let block = &blocks[index];
            if block.lines.is_empty() {
                continue;
            }
            let sum: f64 = block.lines.iter().map(|&(other, lower)| blocks[other].at + lower).sum();
            let wish = sum / block.lines.len() as f64;
            let most = |other: &usize| blocks[*other].at - blocks[*other].above - GAP - block.below;
            let least = |other: &usize| blocks[*other].at + blocks[*other].below + GAP + block.above;
            let high = block.lower.iter().map(most).fold(f64::INFINITY, f64::min);
            let low = block.upper.iter().map(least).fold(f64::NEG_INFINITY, f64::max);
            blocks[index].at = wish.min(high).max(low);
        }
    }
}
