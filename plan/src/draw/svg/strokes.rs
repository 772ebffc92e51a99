//! The lines of a link.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Layout, chart::What, wraps::Way};

/// Radius of the corners of lines that go round frames.
const CORNER: f64 = 5.0;
/// A spot with more lines to tasks than this gets a comb: so many curves would flow into one black spot.
const CURVES: usize = 12;

/// The lines and arrowheads of a link within its rows: its levels, and its strands from spot to spot.
pub fn within(layout: &Layout, strands: &[(usize, usize)], levels: &[usize]) -> (String, String) {
    let (mut lines, mut heads) = (String::new(), String::new());
    for &level in levels {
        let (left, right) = layout.columns.edges(layout.chart.spots[level].rank);
        if right > left {
            let _ = write!(lines, "M{left} {}H{right}", layout.y[level]);
        }
    }
    let combs = combs(layout, strands);
    for (&(hub, out), &(upper, lower)) in combs.iter().filter(|(_, comb)| comb.0 < comb.1) {
        let (trunk, hub_y) = (trunk(layout, hub, out), layout.y[hub]);
        let area = layout.area(hub);
        let end = if out { area.right } else { area.left };
        let _ = write!(lines, "M{end} {hub_y}H{trunk}M{trunk} {}V{}", upper.min(hub_y), lower.max(hub_y));
    }
    for &(from, to) in strands {
        let (start, end) = (layout.area(from).right, layout.area(to).left);
        let (high, low) = (layout.y[from], layout.y[to]);
        let end = if is_task(layout, to) {
            let _ = write!(heads, "M{end} {low}l-8 -3.5v7z");
            end - 7.0
        } else {
            end
        };
        let near = adjacent(layout, from, to);
        if near && combs.contains_key(&(from, true)) && is_task(layout, to) {
            let _ = write!(lines, "M{} {low}H{end}", trunk(layout, from, true));
        } else if near && combs.contains_key(&(to, false)) && is_task(layout, from) {
            let _ = write!(lines, "M{start} {high}H{}", trunk(layout, to, false));
        } else {
            curve(&mut lines, layout, from, (start, high), (end, low));
        }
    }
    (lines, heads)
}

fn curve(
    lines: &mut String,
    layout: &Layout,
    from: usize,
    (start, high): (f64, f64),
    (end, low): (f64, f64),
) {
    let (_, edge) = layout.columns.edges(layout.chart.spots[from].rank);
    let _ = write!(lines, "M{start} {high}");
    if (high - low).abs() < 0.5 {
        let _ = write!(lines, "H{end}");
        return;
    }
    if edge > start {
        let _ = write!(lines, "H{edge}");
    }
    let middle = (edge + end) / 2.0;
    let _ = write!(lines, "C{middle} {high} {middle} {low} {end} {low}");
}

fn is_task(layout: &Layout, spot: usize) -> bool {
    matches!(layout.chart.spots[spot].what, What::Task(_))
}

fn adjacent(layout: &Layout, from: usize, to: usize) -> bool {
    layout.chart.spots[from].rank + 1 == layout.chart.spots[to].rank
}

/// The spots with combs, on their right (`true`) or left, and how far up and down those reach.
fn combs(layout: &Layout, strands: &[(usize, usize)]) -> BTreeMap<(usize, bool), (f64, f64)> {
    let mut combs: BTreeMap<(usize, bool), (usize, f64, f64)> = BTreeMap::new();
    for &(from, to) in strands {
        // Lines straight across several columns are no teeth.
        if !adjacent(layout, from, to) {
            continue;
        }
        for (hub, out, end) in [(from, true, to), (to, false, from)] {
            if is_task(layout, end) && !is_task(layout, hub) {
                let y = layout.y[end];
                let comb = combs.entry((hub, out)).or_insert((0, y, y));
                *comb = (comb.0 + 1, comb.1.min(y), comb.2.max(y));
            }
        }
    }
    combs.retain(|_, &mut (teeth, ..)| teeth > CURVES);
    combs.into_iter().map(|(hub, (_, upper, lower))| (hub, (upper, lower))).collect()
}

/// Where the back of a comb stands between the columns; combs of neighbours stand beside each other.
fn trunk(layout: &Layout, hub: usize, out: bool) -> f64 {
    let rank = layout.chart.spots[hub].rank;
    let left = if out { rank } else { rank - 1 };
    let (start, end) = (layout.columns.edges(left).1, layout.columns.edges(left + 1).0);
    let end = if out { end - 8.0 } else { end };
    (start + (end - start) * (0.2 + 0.12 * (hub % 6) as f64)).round()
}

/// The line of a way from row to row, with round corners.
pub fn between(lines: &mut String, layout: &Layout, way: &Way) {
    let (start, high) = (layout.area(way.wrap.exit).right, layout.y[way.wrap.exit]);
    let (end, low) = (layout.area(way.wrap.entry).left, layout.y[way.wrap.entry]);
    let Way { right, back, left, .. } = *way;
    // Up instead of down where a circle leads back to a row above.
    let down = if back > high { CORNER } else { -CORNER };
    let _ = write!(
        lines,
        "M{start} {high}H{}Q{right} {high} {right} {}V{}Q{right} {back} {} {back}",
        right - CORNER,
        high + down,
        back - down,
        right - CORNER
    );
    let _ = write!(
        lines,
        "H{}Q{left} {back} {left} {}V{}Q{left} {low} {} {low}H{end}",
        left + CORNER,
        back + CORNER,
        low - CORNER,
        left + CORNER
    );
}
