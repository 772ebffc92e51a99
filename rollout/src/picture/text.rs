//! A rollout as text: names where there is room for them, else a sign for each node and the names that matter.

use crate::{Node, Rollout};

use super::{Band, bands, look::Look, words};

/// How a piece of text is meant; whoever prints it gives it a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As all text.
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// A title.
    Title,
    /// All is well.
    Good,
    /// Under way.
    Busy,
    /// Somebody should look.
    Doubt,
    /// Something went wrong.
    Bad,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it says, without line breaks and control characters.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
}

/// A line.
pub type Line = Vec<Span>;

/// The width of the column before the nodes.
const GUTTER: usize = 24;
/// A batch whose names take more lines than this is shown as signs.
const LINES_OF_NAMES: usize = 4;
/// So many nodes of one state are named where all are shown as signs.
const NAMED: usize = 6;

/// The lines without their tones.
#[must_use]
pub fn plain(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let text: String = line.iter().map(|span| span.text.as_str()).collect();
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// A picture of a rollout in lines of at most `width` columns (where a name or a reason is not longer than that).
#[must_use]
pub fn text(rollout: &Rollout, width: usize) -> Vec<Line> {
    let width = width.max(GUTTER + 24);
    let (word, tone, reasons) = words::standing(rollout);
    let mut head = vec![span(clean(&rollout.title), Tone::Title), span("  ", Tone::Plain), span(word, tone)];
    if let Some(elapsed) = words::elapsed(rollout) {
        head.push(span(format!("  {elapsed}"), Tone::Dim));
    }
    let mut lines = vec![head];
    for reason in reasons {
        lines.push(vec![span(format!("  {}", clean(&reason)), tone)]);
    }
    lines.push(bar(rollout, width.min(72)));
    lines.push(vec![
        span(words::counts(rollout), Tone::Plain),
        span(format!("; {}", words::limits(rollout)), Tone::Dim),
    ]);
    lines.push(Vec::new());
    for band in bands(rollout) {
        show(&band, width, &mut lines);
    }
    let mut seen: Vec<Look> = rollout.nodes.iter().map(Look::of).collect();
    seen.sort_unstable();
    seen.dedup();
    let mut legend = Vec::new();
    for look in seen {
        if !legend.is_empty() {
            legend.push(span("   ", Tone::Plain));
        }
        legend.push(span(look.sign(), look.tone()));
        legend.push(span(format!(" {}", look.word()), Tone::Dim));
    }
    lines.push(Vec::new());
    lines.push(legend);
    lines
}

/// One bar for the whole fleet: done, in work, failed, and what is still to come.
fn bar(rollout: &Rollout, width: usize) -> Line {
    let counts = rollout.counts();
    let all = (rollout.nodes.len() - counts.gone).max(1);
    let mut shares = [
        (counts.done, '█', Tone::Good),
        (counts.restored, '▒', Tone::Plain),
        (counts.in_work, '▓', Tone::Busy),
        (counts.failed, '█', Tone::Bad),
    ];
    let mut line = Vec::new();
    let (mut nodes, mut drawn) = (0, 0);
    for (number, sign, tone) in &mut shares {
        nodes += *number;
        // Whoever is there is seen, as long as there is room.
        let until = (nodes * width / all).max(drawn + usize::from(*number > 0)).min(width);
        line.push(span(sign.to_string().repeat(until - drawn), *tone));
        drawn = until;
    }
    line.push(span("░".repeat(width - drawn), Tone::Dim));
    line
}

fn show(band: &Band<'_>, width: usize, lines: &mut Vec<Line>) {
    let tone = match band.state {
        "done" => Tone::Good,
        "failed" => Tone::Bad,
        "waiting" | "not begun" | "rolled back" => Tone::Dim,
        "gate unclear" | "left" | "not reached" => Tone::Doubt,
        _ => Tone::Busy,
    };
    let label = span(format!("{:<10}", band.label), Tone::Plain);
    let state = span(format!("{:<14}", band.state), tone);
    let room = width - GUTTER;
    let names = wrapped(band.nodes.iter().map(|node| named(node)).collect(), room);
    let rows = if names.len() <= LINES_OF_NAMES { names } else { signs(band, room) };
    for (number, row) in rows.into_iter().enumerate() {
        let mut line = if number == 0 {
            vec![label.clone(), state.clone()]
        } else {
            vec![span(" ".repeat(GUTTER), Tone::Plain)]
        };
        line.extend(row);
        lines.push(line);
    }
    if let Some(why) = band.why {
        lines.push(vec![span(" ".repeat(GUTTER), Tone::Plain), span(clean(why), tone)]);
    }
    for node in &band.nodes {
        if let Some(why) = words::why(node).filter(|_| band.nodes.len() <= 60) {
            let tone = Look::of(node).tone();
            lines.push(vec![span(
                format!("{}{}: {}", " ".repeat(GUTTER), clean(&node.name), clean(why)),
                tone,
            )]);
        }
    }
}

/// A node with its sign and name.
fn named(node: &Node) -> (Line, usize) {
    let look = Look::of(node);
    let name = clean(&node.name);
    let columns = 2 + name.chars().count();
    (vec![span(look.sign(), look.tone()), span(format!(" {name}"), Tone::Plain)], columns)
}

/// Pieces side by side, and on the next line where there is no more room.
fn wrapped(pieces: Vec<(Line, usize)>, room: usize) -> Vec<Line> {
    let widest = pieces.iter().map(|(_, columns)| *columns).max().unwrap_or(1) + 2;
    let in_a_row = (room / widest).max(1);
    let mut rows: Vec<Line> = Vec::new();
    for (number, (piece, columns)) in pieces.into_iter().enumerate() {
        if number % in_a_row == 0 {
            rows.push(Vec::new());
        }
        if let Some(row) = rows.last_mut() {
            row.extend(piece);
            row.push(span(" ".repeat(widest - columns), Tone::Plain));
        }
    }
    rows
}

/// A sign for each node, then the names of those that are in work or in trouble.
fn signs(band: &Band<'_>, room: usize) -> Vec<Line> {
    let mut rows: Vec<Line> = Vec::new();
    if band.nodes.iter().all(|node| matches!(Look::of(node), Look::Pending | Look::Unreachable)) {
        rows.push(vec![span(format!("· {} nodes", band.nodes.len()), Tone::Dim)]);
        return rows;
    }
    for nodes in band.nodes.chunks(room) {
        let mut row: Line = Vec::new();
        for node in nodes {
            let look = Look::of(node);
            match row.last_mut() {
                Some(last) if last.tone == look.tone() => last.text.push(look.sign()),
                _ => row.push(span(look.sign(), look.tone())),
            }
        }
        rows.push(row);
    }
    for look in Look::ALL {
        if matches!(look, Look::Pending | Look::Done | Look::Restored | Look::Gone) {
            continue;
        }
        let all: Vec<String> =
            band.nodes.iter().filter(|node| Look::of(node) == look).map(|node| clean(&node.name)).collect();
        if all.is_empty() {
            continue;
        }
        let mut names = all[..all.len().min(NAMED)].join(", ");
        if all.len() > NAMED {
            names.push_str(&format!(" and {} more", all.len() - NAMED));
        }
        rows.push(vec![
            span(format!("{} {}: ", look.sign(), look.word()), look.tone()),
            span(names, Tone::Plain),
        ]);
    }
    rows
}

fn span(text: impl ToString, tone: Tone) -> Span {
    Span { text: text.to_string(), tone }
}

/// A text on one line, with nothing in it that moves the cursor.
fn clean(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
