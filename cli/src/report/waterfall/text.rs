//! A waterfall for a terminal.

use owo_colors::OwoColorize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Kind, Row, Waterfall, ticks, time};

/// The widest a label is.
const LABEL: usize = 40;
/// The narrowest field of bars.
const FIELD: usize = 20;
/// What the time at the end of a row takes.
const TIME: usize = 10;

/// The chart in so many columns.
pub fn text(chart: &Waterfall, columns: usize) -> String {
    let widest = chart.rows.iter().map(|row| row.label.width()).max().unwrap_or(0);
    let label = widest.min(LABEL).min(columns / 3).max(4);
    let field = columns.saturating_sub(label + TIME + 4).max(FIELD);
    let mut out = format!("{}\n", chart.title.bold());
    out.push_str(&format!("{:label$}  {}\n", "", axis(chart.total, field)));
    for row in &chart.rows {
        let name = shortened(&row.label, label);
        let blank = label.saturating_sub(name.width());
        let (before, bar) = place(row, chart.total, field);
        let after = field.saturating_sub(before + bar.chars().count());
        let colored = match row.kind {
            Kind::Ok => bar.green().to_string(),
            Kind::Changed => bar.yellow().to_string(),
            Kind::Failed => bar.red().to_string(),
            Kind::Other => bar.dimmed().to_string(),
        };
        let took = if row.start.is_some() { time(row.took) } else { row.kind.word().to_owned() };
        let line = format!("{name}{:blank$}  {:before$}{colored}{:after$} {took:>TIME$}", "", "", "");
        out.push_str(line.trim_end());
        if !row.remark.is_empty() {
            out.push_str(&format!("  {}", row.remark.dimmed()));
        }
        out.push('\n');
    }
    if !chart.note.is_empty() {
        out.push_str(&format!("{}\n", chart.note.dimmed()));
    }
    out
}

/// Blanks before a row's bar, and the bar: eighths of a column at its end, so that short ones are told apart.
fn place(row: &Row, total: u64, field: usize) -> (usize, String) {
    let Some(start) = row.start else { return (0, String::new()) };
    let eighths = |micros: u64| {
        usize::try_from(u128::from(micros) * field as u128 * 8 / u128::from(total.max(1)))
            .unwrap_or(field * 8)
    };
    let before = (eighths(start) / 8).min(field - 1);
    let length = eighths(row.took).clamp(1, (field - before) * 8);
    let mut bar = "█".repeat(length / 8);
    bar.push_str(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][length % 8]);
    (before, bar)
}

fn axis(total: u64, field: usize) -> String {
    let mut line = String::new();
    for tick in ticks(total, (field / 12).max(3) as u64) {
        let at = (u128::from(tick) * field as u128 / u128::from(total.max(1))) as usize;
        if line.width() <= at && at < field {
            line.push_str(&" ".repeat(at - line.width()));
            line.push_str(&format!("|{} ", time(tick)));
        }
    }
    line.trim_end().to_owned()
}

/// The end of a long name says more than its beginning; both stay.
fn shortened(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let head = take(name.chars(), width / 3);
    let tail: String = take(name.chars().rev(), width - width / 3 - 1).chars().rev().collect();
    format!("{head}…{tail}")
}

fn take(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = 0;
    chars
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, kind: Kind, start: Option<u64>, took: u64) -> Row {
        Row { label: label.into(), kind, start, took, remark: String::new() }
    }

    #[test]
    fn bars_stand_where_their_time_is() {
        let chart = Waterfall {
            title: "web1: tasks, 4.00 s in all".into(),
            note: String::new(),
            rows: vec![
                row("package:nginx", Kind::Changed, Some(0), 2_000_000),
                row(
                    "file:/etc/nginx/sites-enabled/a-rather-long-name.conf",
                    Kind::Ok,
                    Some(2_000_000),
                    1_000,
                ),
                row("service:nginx", Kind::Failed, Some(2_000_000), 2_000_000),
                row("wait:8080", Kind::Other, None, 0),
            ],
            total: 4_000_000,
        };
        let plain = anstream::adapter::strip_str(&text(&chart, 66)).to_string();
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(
            lines,
            [
                "web1: tasks, 4.00 s in all",
                "                        |0 µs          |2.00 s",
                "package:nginx           ███████████████                    2.00 s",
                "file:/e…long-name.conf                 ▏                   1.0 ms",
                "service:nginx                          ███████████████     2.00 s",
                "wait:8080                                                not done",
            ]
        );
    }

    #[test]
    fn nothing_at_all_is_a_chart_too() {
        let chart = Waterfall { title: "t".into(), note: "n".into(), rows: vec![], total: 0 };
        assert!(text(&chart, 10).contains('n'));
        let chart = Waterfall { rows: vec![row("a", Kind::Ok, Some(0), 0)], ..chart };
        assert!(text(&chart, 10).contains('▏'));
    }
}
