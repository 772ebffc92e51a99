//! A waterfall as SVG.

use std::fmt::Write as _;

use cm_xml::escaped;

use unicode_width::UnicodeWidthStr;

use super::{Kind, Waterfall, ticks, time};

const MARGIN: f64 = 16.0;
/// Height of a row.
const ROW: f64 = 18.0;
/// Width of the field of bars.
const FIELD: f64 = 760.0;
/// Height of title and axis.
const HEAD: f64 = 62.0;
/// Width of a character of the font, on the safe side.
const CHARACTER: f64 = 7.0;
/// The longest label that has room; the whole one is in the tooltip.
const LABEL: usize = 60;

/// The chart as a document of its own.
pub fn svg(chart: &Waterfall) -> String {
    let widest = chart.rows.iter().map(|row| row.label.width()).max().unwrap_or(0).min(LABEL);
    let left = MARGIN + widest as f64 * CHARACTER + 10.0;
    let width = left + FIELD + 110.0 + MARGIN;
    let bottom = HEAD + ROW * chart.rows.len() as f64;
    let height = bottom + 40.0 + MARGIN;
    let x = |micros: u64| left + FIELD * micros as f64 / chart.total.max(1) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"26\" font-size=\"15\" font-weight=\"600\" fill=\"#1f2937\">{title}</text>\n",
        title = escaped(&chart.title),
    );
    // Writing to a string cannot fail.
    for tick in ticks(chart.total, 9) {
        let at = x(tick);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#e5e7eb\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" fill=\"#6b7280\" text-anchor=\"middle\">{}</text>",
            HEAD - 6.0,
            HEAD - 12.0,
            time(tick)
        );
    }
    for (number, row) in chart.rows.iter().enumerate() {
        let top = HEAD + ROW * number as f64;
        let base = top + ROW - 5.0;
        let took = if row.start.is_some() { time(row.took) } else { row.kind.word().to_owned() };
        let remark = if row.remark.is_empty() { String::new() } else { format!(", {}", row.remark) };
        let _ = write!(
            out,
            "<g><title>{}: {took}{}</title><text x=\"{:.1}\" y=\"{base:.1}\" fill=\"#1f2937\" \
             text-anchor=\"end\">{}</text>",
            escaped(&row.label),
            escaped(&remark),
            left - 10.0,
            escaped(&shortened(&row.label)),
        );
        let mut end = left;
        if let Some(start) = row.start {
            let length = (FIELD * row.took as f64 / chart.total.max(1) as f64).max(1.5);
            end = x(start) + length;
            let _ = write!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"{}\"/>",
                x(start),
                top + 3.0,
                ROW - 6.0,
                color(row.kind)
            );
        }
        let _ =
            writeln!(out, "<text x=\"{:.1}\" y=\"{base:.1}\" fill=\"#6b7280\">{took}</text></g>", end + 6.0);
    }
    let mut at = left;
    for kind in [Kind::Ok, Kind::Changed, Kind::Failed, Kind::Other] {
        let _ = write!(
            out,
            "<rect x=\"{at:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#6b7280\">{}</text>",
            bottom + 12.0,
            color(kind),
            at + 17.0,
            bottom + 22.0,
            kind.word()
        );
        at += 90.0;
    }
    let _ = writeln!(
        out,
        "\n<text x=\"{left:.1}\" y=\"{:.1}\" fill=\"#6b7280\">{}</text>\n</svg>",
        bottom + 44.0,
        escaped(&chart.note)
    );
    out
}

fn color(kind: Kind) -> &'static str {
    match kind {
        Kind::Ok => "#16a34a",
        Kind::Changed => "#d97706",
        Kind::Failed => "#dc2626",
        Kind::Other => "#9ca3af",
    }
}

fn shortened(label: &str) -> String {
    if label.width() <= LABEL {
        return label.to_owned();
    }
    let tail: Vec<char> = label.chars().rev().take(LABEL - 1).collect();
    format!("…{}", tail.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::waterfall::Row;

    #[test]
    fn it_is_xml_with_a_bar_a_task_and_whole_names_in_tooltips() {
        let long = format!("file:/{}", "x<&\u{1}\"".repeat(40));
        let row = |label: &str, start| Row {
            label: label.into(),
            kind: Kind::Changed,
            start,
            took: 5,
            remark: "2 attempts".into(),
        };
        let rows = vec![row(&long, Some(0)), row("b", Some(5)), row("c", None)];
        let chart = Waterfall { title: "a < b".into(), note: "n & m".into(), rows, total: 10 };
        let text = svg(&chart);
        let document = roxmltree::Document::parse(&text).unwrap();
        let named = |name: &'static str| document.descendants().filter(move |node| node.has_tag_name(name));
        // Ground, four of the legend, two bars.
        assert_eq!(named("rect").count(), 1 + 4 + 2);
        let titles: Vec<&str> = named("title").filter_map(|node| node.text()).collect();
        assert_eq!(titles[1], format!("{}: 5 µs, 2 attempts", long.replace('\u{1}', "\u{fffd}")));
        assert_eq!(titles[3], "c: changed, 2 attempts");
    }
}
