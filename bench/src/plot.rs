//! Plots as SVG, written by hand: bars on a logarithmic scale, and lines. Readable on light and dark ground.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{
    findings::number,
    flame::{self, Frame},
};

/// A plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// The name of its file without ending: `unchanged-wall`.
    pub name: String,
    /// What stands above it.
    pub title: String,
    /// What is drawn.
    pub drawing: Drawing,
}

/// What a plot shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drawing {
    /// One bar below the other; their lengths are logarithms.
    Bars {
        /// The unit of all values.
        unit: String,
        /// What each is and its value, which must be more than 0.
        bars: Vec<(String, f64)>,
    },
    /// Lines through points, from 0.
    Lines {
        /// What stands at the axis below.
        x: String,
        /// What stands at the axis to the left.
        y: String,
        /// The lines.
        series: Vec<Series>,
    },
    /// A flame graph.
    Flames {
        /// Its tree.
        root: Frame,
    },
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its points from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// Bars on a logarithmic scale.
    pub fn bars(name: &str, title: &str, unit: &str, bars: Vec<(String, f64)>) -> Self {
        let drawing = Drawing::Bars { unit: unit.to_owned(), bars };
        Self { name: name.to_owned(), title: title.to_owned(), drawing }
    }

    /// Lines through points.
    pub fn lines(name: &str, title: &str, x: &str, y: &str, series: Vec<Series>) -> Self {
        let drawing = Drawing::Lines { x: x.to_owned(), y: y.to_owned(), series };
        Self { name: name.to_owned(), title: title.to_owned(), drawing }
    }

    /// A flame graph.
    pub fn flames(name: &str, title: &str, root: Frame) -> Self {
        Self { name: name.to_owned(), title: title.to_owned(), drawing: Drawing::Flames { root } }
    }

    /// The plot as a file.
    #[must_use]
    pub fn svg(&self) -> String {
        match &self.drawing {
            Drawing::Bars { unit, bars } => self.draw_bars(unit, bars),
            Drawing::Lines { x, y, series } => self.draw_lines(x, y, series),
            Drawing::Flames { root } => flame::draw(&self.title, root),
        }
    }

    fn draw_bars(&self, unit: &str, bars: &[(String, f64)]) -> String {
        const LEFT: f64 = 300.0;
        const RIGHT: f64 = 700.0;
        const STEP: f64 = 26.0;
        let values = || bars.iter().map(|(_, value)| *value).filter(|value| *value > 0.0);
        // From the power of ten below the least to the one above the greatest, so that the least has a bar, too.
        let least = values().min_by(f64::total_cmp).unwrap_or(1.0);
        let greatest = values().max_by(f64::total_cmp).unwrap_or(1.0);
        let low = (least * 0.8).log10().floor();
        let high = greatest.log10().ceil().max(low + 1.0);
        let place =
            |value: f64| LEFT + (RIGHT - LEFT) * ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
        #[expect(clippy::cast_precision_loss, reason = "a plot has few bars")]
        let bottom = 44.0 + STEP * bars.len() as f64;
        let mut out = self.begin(bottom + 34.0);
        let mut power = low;
        while power <= high {
            let (x, value) = (place(10f64.powf(power)), number(10f64.powf(power)));
            let _ = writeln!(out, r#"<line class="grid" x1="{x:.1}" y1="38" x2="{x:.1}" y2="{bottom:.1}"/>"#);
            text(&mut out, x, bottom + 16.0, "middle", "small", &value);
            power += 1.0;
        }
        text(
            &mut out,
            f64::midpoint(LEFT, RIGHT),
            bottom + 30.0,
            "middle",
            "small",
            &format!("{unit}, logarithmic"),
        );
        let mut y = 44.0;
        for (label, value) in bars {
            let end = if *value > 0.0 { place(*value) } else { LEFT };
            let width = (end - LEFT).max(1.0);
            let _ = writeln!(
                out,
                r#"<rect class="c0" x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{:.1}"/>"#,
                STEP - 8.0
            );
            text(&mut out, LEFT - 8.0, y + 13.0, "end", "", label);
            text(&mut out, end + 6.0, y + 13.0, "start", "", &number(*value));
            y += STEP;
        }
        out.push_str("</svg>\n");
        out
    }

    fn draw_lines(&self, x_name: &str, y_name: &str, series: &[Series]) -> String {
        const LEFT: f64 = 76.0;
        const RIGHT: f64 = 730.0;
        const TOP: f64 = 44.0;
        const BOTTOM: f64 = 320.0;
        let greatest = |of: fn(&(f64, f64)) -> f64| {
            let all = series.iter().flat_map(|line| &line.points).map(of);
            all.max_by(f64::total_cmp).filter(|value| *value > 0.0).unwrap_or(1.0)
        };
        let (x_step, y_step) = (step(greatest(|point| point.0)), step(greatest(|point| point.1)));
        let end = |greatest: f64, step: f64| (greatest / step).ceil() * step;
        let (x_end, y_end) = (greatest(|point| point.0), end(greatest(|point| point.1), y_step));
        let at =
            |(x, y): (f64, f64)| (LEFT + (RIGHT - LEFT) * x / x_end, BOTTOM - (BOTTOM - TOP) * y / y_end);
        #[expect(clippy::cast_precision_loss, reason = "a plot has few lines")]
        let legend = 16.0 * series.len() as f64;
        let mut out = self.begin(BOTTOM + 50.0 + legend);
        let mut value = 0.0;
        while value <= y_end * 1.001 {
            let (_, y) = at((0.0, value));
            let _ = writeln!(out, r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}"/>"#);
            text(&mut out, LEFT - 6.0, y + 4.0, "end", "small", &number(value));
            value += y_step;
        }
        value = 0.0;
        while value <= x_end * 1.001 {
            let (x, _) = at((value, 0.0));
            text(&mut out, x, BOTTOM + 16.0, "middle", "small", &number(value));
            value += x_step;
        }
        text(&mut out, LEFT, TOP - 8.0, "start", "small", y_name);
        text(&mut out, RIGHT, BOTTOM + 32.0, "end", "small", x_name);
        let mut y = BOTTOM + 50.0;
        for (n, line) in series.iter().enumerate() {
            let class = n % 6;
            let points: Vec<String> =
                line.points.iter().map(|point| at(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(out, r#"<polyline class="l{class}" points="{}"/>"#, points.join(" "));
            for point in &line.points {
                let (x, y) = at(*point);
                let _ = writeln!(out, r#"<circle class="c{class}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#);
            }
            let _ = writeln!(
                out,
                r#"<rect class="c{class}" x="{LEFT}" y="{:.1}" width="14" height="4"/>"#,
                y - 6.0
            );
            text(&mut out, LEFT + 20.0, y, "start", "small", &line.name);
            y += 16.0;
        }
        out.push_str("</svg>\n");
        out
    }

    fn begin(&self, height: f64) -> String {
        let mut out = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 {height:.0}" width="780" height="{height:.0}" font-family="sans-serif" font-size="13">
"#
        );
        out.push_str("<style>text{fill:#1f2328}.small{font-size:11px}.grid{stroke:#d0d7de;stroke-width:1}polyline{fill:none;stroke-width:2}");
        for (n, colour) in COLOURS.iter().enumerate() {
            let _ = write!(out, ".c{n}{{fill:{colour}}}.l{n}{{stroke:{colour}}}");
        }
        out.push_str("@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}}</style>\n");
        text(&mut out, 12.0, 22.0, "start", "", &self.title);
        out
    }
}

/// Colours that are told apart on white and on black, also by those who do not see red and green.
const COLOURS: [&str; 6] = ["#2a7fd4", "#d9822b", "#3aa17e", "#b5518f", "#8f8f22", "#8b6fd6"];

/// A step of an axis up to this value: 1, 2 or 5 of a power of ten, five to ten of them.
fn step(greatest: f64) -> f64 {
    let power = 10f64.powf((greatest / 5.0).log10().floor());
    let factor = [5.0, 2.0].into_iter().find(|factor| greatest / (power * factor) >= 4.0).unwrap_or(1.0);
    power * factor
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let class = if class.is_empty() { String::new() } else { format!(r#" class="{class}""#) };
    let _ = writeln!(out, r#"<text{class} x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widths of all bars.
    fn widths(svg: &str) -> Vec<f64> {
        svg.lines()
            .filter(|line| line.starts_with("<rect"))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect()
    }

    #[test]
    fn ten_times_as_much_is_the_same_step_longer() {
        let bars = [("a", 0.5), ("b", 5.0), ("c", 50.0)].map(|(name, value)| (name.to_owned(), value));
        let svg = Plot::bars("x", "T", "s", bars.to_vec()).svg();
        let widths = widths(&svg);
        assert!((widths[2] - widths[1] - (widths[1] - widths[0])).abs() < 0.3, "{widths:?}");
        assert!(widths[0] > 10.0 && svg.contains(">0.50<") && svg.contains("s, logarithmic"));
    }

    #[test]
    fn nothing_is_taken_for_markup_and_nothing_is_not_a_number() {
        for bars in [vec![], vec![("a<b> & c".to_owned(), 0.0)]] {
            let svg = Plot::bars("x", "T < U", "s", bars).svg();
            assert!(svg.contains("T &lt; U") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        let lines = Plot::lines("x", "T", "hosts", "s", vec![Series { name: "cm".into(), points: vec![] }]);
        assert!(!lines.svg().contains("NaN"));
    }

    #[test]
    fn lines_begin_at_zero_and_end_at_the_right() {
        let points = vec![(0.0, 0.0), (1000.0, 3.0), (5000.0, 14.0)];
        let svg = Plot::lines("x", "T", "hosts", "s", vec![Series { name: "cm".into(), points }]).svg();
        assert!(svg.contains("points=\"76.0,320.0 206.8,260.9 730.0,44.0"), "{svg}");
    }

    #[test]
    fn axes_have_round_steps() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(
            close(step(14.0), 2.0) && close(step(5000.0), 1000.0) && close(step(0.9), 0.2),
            "{} {} {}",
            step(14.0),
            step(5000.0),
            step(0.9)
        );
    }
}
