//! Flame graphs: samples of call stacks, folded into a tree and drawn as SVG. The tree is kept small enough to be kept
//! with the figures.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A function as it was called on one way, with all that it called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Its name; the root's is that of the program.
    pub name: String,
    /// In how many samples it was on the stack on this way.
    pub samples: u64,
    /// What it called, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Frame>,
}

impl Frame {
    /// A root without samples.
    #[must_use]
    pub fn root(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Counts a stack, the outermost call first.
    pub fn count<'a>(&mut self, stack: impl IntoIterator<Item = &'a str>) {
        self.samples += 1;
        let mut at = self;
        for name in stack {
            let place = match at.calls.binary_search_by(|call| call.name.as_str().cmp(name)) {
                Ok(place) => place,
                Err(place) => {
                    at.calls.insert(place, Self::root(name));
                    place
                }
            };
            at = &mut at.calls[place];
            at.samples += 1;
        }
    }

    /// Leaves out what has fewer than `least` samples.
    pub fn prune(&mut self, least: u64) {
        self.calls.retain(|call| call.samples >= least);
        self.calls.iter_mut().for_each(|call| call.prune(least));
    }

    /// How many calls deep it is, itself counted.
    fn depth(&self) -> usize {
        1 + self.calls.iter().map(Self::depth).max().unwrap_or(0)
    }
}

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const TOP: f64 = 34.0;
/// Of a letter of the font below.
const LETTER: f64 = 6.7;

/// Draws a tree, the root below. Names that do not fit are in tooltips, as the shares are.
#[must_use]
pub fn draw(title: &str, root: &Frame) -> String {
    let rows = exact(u64::try_from(root.depth()).unwrap_or(0));
    let height = TOP + rows * ROW + 8.0;
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="ui-monospace,monospace" font-size="11">"#
    );
    out.push_str(
        "\n<style>rect{stroke:#fff;stroke-width:.5}.head{fill:#1f2328;font-size:14px}.f{fill:#1f2328}",
    );
    out.push_str("@media(prefers-color-scheme:dark){rect{stroke:#0d1117}.head{fill:#e6edf3}}</style>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, r#"<text class="head" x="6" y="20">{}</text>"#, escaped(title));
    let bottom = TOP + (rows - 1.0) * ROW;
    draw_frame(&mut out, root, root.samples, 0.0, bottom);
    out.push_str("</svg>\n");
    out
}

fn draw_frame(out: &mut String, frame: &Frame, all: u64, x: f64, y: f64) {
    let scale = WIDTH / exact(all.max(1));
    let width = exact(frame.samples) * scale;
    let share = exact(frame.samples) * 100.0 / exact(all.max(1));
    let name = escaped(&frame.name);
    let _ = write!(
        out,
        r#"<g><title>{name}: {share:.1} %, {} samples</title><rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{ROW}" fill="{}"/>"#,
        frame.samples,
        color(&frame.name)
    );
    if let Some(label) = fitting(&frame.name, width) {
        let _ = write!(
            out,
            r#"<text class="f" x="{:.1}" y="{:.1}">{}</text>"#,
            x + 3.0,
            y + 12.5,
            escaped(&label)
        );
    }
    out.push_str("</g>\n");
    let mut x = x;
    for call in &frame.calls {
        draw_frame(out, call, all, x, y - ROW);
        x += exact(call.samples) * scale;
    }
}

/// As much of a name as there is room for; none where that would say nothing.
fn fitting(name: &str, width: f64) -> Option<String> {
    let letters = name.chars().count();
    let mut room = 0;
    while (exact(room) + 1.0) * LETTER + 6.0 <= width {
        room += 1;
    }
    let room = usize::try_from(room).unwrap_or(0);
    match room {
        0..4 => None,
        _ if letters <= room => Some(name.to_owned()),
        _ => Some(name.chars().take(room - 1).chain(['…']).collect()),
    }
}

/// The kernel cold, what is ours warm, all others between; the same name always the same.
fn color(name: &str) -> String {
    let spread =
        name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 20;
    let hue = if name.ends_with(KERNEL) {
        200 + spread
    } else if name.contains("cm_") || name.contains("cm::") {
        10 + spread
    } else {
        40 + spread
    };
    format!("hsl({hue},80%,{}%)", 62 + spread % 12)
}

/// The end of names that are the kernel's.
pub const KERNEL: &str = " [k]";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[expect(clippy::cast_precision_loss, reason = "counts far below the bits of an f64")]
fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Frame {
        let mut root = Frame::root("cm");
        root.count(["main", "b"]);
        root.count(["main", "a<u8>"]);
        root.count(["main", "b", "write [k]"]);
        root.count(["other"]);
        root
    }

    #[test]
    fn stacks_become_a_tree_by_name() {
        let tree = tree();
        assert_eq!(tree.samples, 4);
        let main = &tree.calls[0];
        assert_eq!((main.name.as_str(), main.samples), ("main", 3));
        let calls: Vec<_> = main.calls.iter().map(|call| (call.name.as_str(), call.samples)).collect();
        assert_eq!(calls, [("a<u8>", 1), ("b", 2)]);
        assert_eq!(tree.depth(), 4);
    }

    #[test]
    fn what_is_rare_is_left_out_and_its_callers_keep_their_samples() {
        let mut tree = tree();
        tree.prune(2);
        assert_eq!(tree.calls.len(), 1);
        assert_eq!((tree.samples, tree.calls[0].samples, tree.calls[0].calls.len()), (4, 3, 1));
        assert!(tree.calls[0].calls[0].calls.is_empty());
    }

    #[test]
    fn widths_are_shares_and_names_are_no_markup() {
        let svg = draw("A & B", &tree());
        assert!(svg.contains("A &amp; B") && svg.contains("a&lt;u8&gt;: 25.0 %, 1 samples"), "{svg}");
        assert!(svg.contains(r#"<rect x="0.0" y="85.0" width="1200.0""#), "{svg}");
        assert!(svg.contains(r#"<rect x="0.0" y="68.0" width="900.0""#), "{svg}");
        assert!(svg.contains(r#"<rect x="900.0" y="68.0" width="300.0""#), "{svg}");
    }

    #[test]
    fn labels_are_cut_to_their_room() {
        assert_eq!(fitting("connect", 20.0), None);
        assert_eq!(fitting("connect", 60.0).as_deref(), Some("connect"));
        assert_eq!(fitting("connections", 60.0).as_deref(), Some("connect…"));
    }
}
