//! A rollout as SVG: a row for each batch, a cell for each node, labelled where there is room.

use std::fmt::Write as _;

use cm_xml::escaped;

use crate::{Node, Rollout};

use super::{Band, bands, look::Look, text::Tone, words};

/// Width of the whole picture, and of everything else, in user units.
const WIDTH: f64 = 1120.0;
const MARGIN: f64 = 28.0;
/// Width of the column with the names of batches.
const GUTTER: f64 = 132.0;
const INK: &str = "#0f172a";
const GREY: &str = "#64748b";
const FAINT: &str = "#e2e8f0";

/// The size of cells.
struct Cells {
    width: f64,
    height: f64,
    gap: f64,
    named: bool,
}

/// Cells with names, for fleets where these have room.
const LARGE: Cells = Cells { width: 124.0, height: 40.0, gap: 8.0, named: true };
/// Cells with a sign alone; names are in their titles.
const SMALL: Cells = Cells { width: 16.0, height: 16.0, gap: 3.0, named: false };
/// The largest fleet with names in its cells.
const NAMED: usize = 150;

impl Cells {
    fn in_a_row(&self) -> usize {
        let room = WIDTH - 2.0 * MARGIN - GUTTER;
        // Positive and far below the limits of an index.
        ((room + self.gap) / (self.width + self.gap)) as usize
    }

    fn height_of(&self, nodes: usize) -> f64 {
        let rows = nodes.div_ceil(self.in_a_row()).max(1);
        rows as f64 * (self.height + self.gap) - self.gap
    }
}

/// A picture of a rollout, a document of its own.
#[must_use]
pub fn svg(rollout: &Rollout) -> String {
    let cells = if rollout.nodes.len() <= NAMED { LARGE } else { SMALL };
    let mut body = String::new();
    let mut y = head(rollout, &mut body);
    for band in bands(rollout) {
        y = draw(&band, &cells, y, &mut body);
    }
    y = legend(rollout, y, &mut body);
    let title = escaped(&rollout.title);
    let (word, _, _) = words::standing(rollout);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH:.0}\" height=\"{y:.0}\" \
         viewBox=\"0 0 {WIDTH:.0} {y:.0}\" role=\"img\" aria-labelledby=\"title description\" \
         font-family=\"Inter, ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n\
         <title id=\"title\">Rollout of {title}</title>\n\
         <desc id=\"description\">{word}: {}; {}</desc>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n",
        escaped(&words::counts(rollout)),
        escaped(&words::limits(rollout)),
    )
}

// Writing to a string cannot fail, here and below.

/// Title, standing, reasons, bar and numbers; answers where the batches begin.
fn head(rollout: &Rollout, out: &mut String) -> f64 {
    let (word, tone, reasons) = words::standing(rollout);
    let (fill, ink) = pill(tone);
    let right = WIDTH - MARGIN;
    let long = word.chars().count() as f64 * 7.6 + 28.0;
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"46\" font-size=\"21\" font-weight=\"650\" fill=\"{INK}\">{}</text>\n\
         <rect x=\"{:.1}\" y=\"26\" width=\"{long:.1}\" height=\"26\" rx=\"13\" fill=\"{fill}\"/>\
         <text x=\"{:.1}\" y=\"43.5\" font-size=\"13\" font-weight=\"600\" fill=\"{ink}\" text-anchor=\"middle\">{word}</text>",
        escaped(&shortened(&rollout.title, 70)),
        right - long,
        right - long / 2.0,
    );
    let mut under = format!("{}  ·  {}", words::counts(rollout), words::limits(rollout));
    if let Some(elapsed) = words::elapsed(rollout) {
        under.push_str(&format!("  ·  {elapsed}"));
    }
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"72\" font-size=\"13\" fill=\"{GREY}\">{}</text>",
        escaped(&under)
    );
    bar(rollout, 88.0, out);
    let mut y = 118.0;
    for reason in reasons {
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect x=\"{MARGIN}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"30\" rx=\"6\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"13\" fill=\"{ink}\">{}</text></g>",
            escaped(&reason),
            WIDTH - 2.0 * MARGIN,
            MARGIN + 12.0,
            y + 19.5,
            escaped(&shortened(&reason, 140)),
        );
        y += 38.0;
    }
    y + 6.0
}

/// The whole fleet as one bar.
fn bar(rollout: &Rollout, y: f64, out: &mut String) {
    let counts = rollout.counts();
    let all = (rollout.nodes.len() - counts.gone).max(1) as f64;
    let whole = WIDTH - 2.0 * MARGIN;
    let _ = write!(
        out,
        "<clipPath id=\"bar\"><rect x=\"{MARGIN}\" y=\"{y}\" width=\"{whole:.1}\" height=\"10\" rx=\"5\"/></clipPath>\
         <g clip-path=\"url(#bar)\"><rect x=\"{MARGIN}\" y=\"{y}\" width=\"{whole:.1}\" height=\"10\" fill=\"#eef2f6\"/>"
    );
    let mut x = MARGIN;
    for (number, fill, word) in [
        (counts.done, "#22c55e", "done"),
        (counts.restored, "#c084fc", "rolled back"),
        (counts.in_work, "#3b82f6", "in work"),
        (counts.failed, "#ef4444", "failed"),
    ] {
        if number > 0 {
            let width = whole * number as f64 / all;
            let _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"10\" fill=\"{fill}\"><title>{number} {word}</title></rect>"
            );
            x += width;
        }
    }
    out.push_str("</g>\n");
}

/// One batch; answers where the next one begins.
fn draw(band: &Band<'_>, cells: &Cells, y: f64, out: &mut String) -> f64 {
    let height = cells.height_of(band.nodes.len()).max(40.0);
    let color = match band.state {
        "done" => "#15803d",
        "failed" => "#b91c1c",
        "waiting" | "not begun" => "#94a3b8",
        "rolled back" | "going back" => "#7e22ce",
        "gate unclear" | "left" | "not reached" => "#b45309",
        _ => "#1d4ed8",
    };
    let _ = write!(
        out,
        "<line x1=\"{MARGIN}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{FAINT}\"/>\n\
         <g role=\"group\" aria-label=\"{} ({}), {} nodes\">",
        WIDTH - MARGIN,
        escaped(&band.label),
        band.state,
        band.nodes.len()
    );
    let top = y + 14.0;
    if let Some(why) = band.why {
        let _ = write!(out, "<title>{}</title>", escaped(why));
    }
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"14\" font-weight=\"600\" fill=\"{INK}\">{}</text>\
         <text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"12\" fill=\"{color}\">{}</text>",
        top + 16.0,
        escaped(&band.label),
        top + 33.0,
        band.state,
    );
    for (number, node) in band.nodes.iter().enumerate() {
        let (row, column) = (number / cells.in_a_row(), number % cells.in_a_row());
        let x = MARGIN + GUTTER + column as f64 * (cells.width + cells.gap);
        cell(node, cells, x, top + row as f64 * (cells.height + cells.gap), out);
    }
    out.push_str("</g>\n");
    top + height + 14.0
}

fn cell(node: &Node, cells: &Cells, x: f64, y: f64, out: &mut String) {
    let look = Look::of(node);
    let (fill, stroke, ink) = look.colors();
    let dashed = if node.reachable { "" } else { " stroke-dasharray=\"4 3\"" };
    let radius = if cells.named { 7 } else { 3 };
    let _ = write!(
        out,
        "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" rx=\"{radius}\" \
         fill=\"{fill}\" stroke=\"{stroke}\"{dashed}/>",
        escaped(&words::whole(node)),
        cells.width,
        cells.height,
    );
    if cells.named {
        let word = if node.already.contains(&Some(true)) {
            format!("{}, was out", look.word())
        } else {
            look.word().to_owned()
        };
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"13\" font-weight=\"600\" fill=\"{ink}\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"{ink}\" fill-opacity=\"0.8\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"13\" fill=\"{ink}\" text-anchor=\"middle\">{}</text>",
            x + 10.0,
            y + 17.0,
            escaped(&shortened(&node.name, 12)),
            x + 10.0,
            y + 31.5,
            escaped(&shortened(&word, 18)),
            x + cells.width - 13.0,
            y + 17.5,
            look.sign(),
        );
    } else if look != Look::Pending {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"{ink}\" text-anchor=\"middle\">{}</text>",
            x + cells.width / 2.0,
            y + 11.8,
            look.sign(),
        );
    }
    out.push_str("</g>\n");
}

/// What the colours and signs of this picture mean; answers the height of the whole.
fn legend(rollout: &Rollout, y: f64, out: &mut String) -> f64 {
    let _ = writeln!(
        out,
        "<line x1=\"{MARGIN}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{FAINT}\"/>",
        WIDTH - MARGIN
    );
    let (mut x, mut base) = (MARGIN, y + 20.0);
    for look in Look::ALL {
        let number = rollout.nodes.iter().filter(|node| Look::of(node) == look).count();
        if number == 0 {
            continue;
        }
        let label = format!("{} {number}", look.word());
        let long = 26.0 + label.chars().count() as f64 * 7.0 + 18.0;
        if x + long > WIDTH - MARGIN {
            (x, base) = (MARGIN, base + 24.0);
        }
        let (fill, stroke, ink) = look.colors();
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{base:.1}\" width=\"16\" height=\"16\" rx=\"3\" fill=\"{fill}\" stroke=\"{stroke}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"{ink}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" fill=\"{GREY}\">{label}</text>",
            x + 8.0,
            base + 11.8,
            look.sign(),
            x + 24.0,
            base + 12.5,
        );
        x += long;
    }
    base + 16.0 + MARGIN
}

/// Ground and ink of what says where the rollout stands.
fn pill(tone: Tone) -> (&'static str, &'static str) {
    match tone {
        Tone::Good => ("#dcfce7", "#166534"),
        Tone::Busy => ("#dbeafe", "#1e40af"),
        Tone::Doubt => ("#fef3c7", "#92400e"),
        Tone::Bad => ("#fee2e2", "#991b1b"),
        Tone::Plain | Tone::Dim | Tone::Title => ("#f1f5f9", "#475569"),
    }
}

/// A text of at most so many characters.
fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(characters.saturating_sub(1)).collect();
    out.push('…');
    out
}
