//! Diagnostics as a person reads them in a terminal or a log.
//!
//! Why not annotate-snippets: its frame closes with an empty gutter line and puts hints inside of it; the look the project
//! settled on (hints at the margin, causes in between) would have to be cut out of its output.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

use crate::sources::SourceFile;
use crate::{Diagnostic, Diagnostics, FileId, Label, Severity, Sources, Span};

/// Columns shown of a line where the width of the output is not known.
const WIDEST_LINE: usize = 160;
const TAB: &str = "    ";
/// Bytes looked at on either side of an underline: a line of a megabyte must not be walked through for each error in it.
const NEIGHBOURHOOD: usize = 2000;

/// How to render.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Columns of the terminal: longer source lines are cut to what surrounds the underline. None: 160 columns a line.
    pub width: Option<usize>,
}

impl Style {
    /// No colour, no known width: for logs and tests.
    pub fn plain() -> Self {
        Self::default()
    }
}

impl Diagnostics {
    /// Renders all, sorted and without duplicates, with an empty line between them. Ends with a newline unless empty.
    pub fn render(&self, sources: &Sources, style: Style) -> String {
        let all: Vec<String> =
            self.sorted().iter().map(|diagnostic| diagnostic.render(sources, style)).collect();
        all.join("\n")
    }
}

impl Diagnostic {
    /// Renders this one; ends with a newline.
    pub fn render(&self, sources: &Sources, style: Style) -> String {
        let paint = Paint { color: style.color, severity: self.severity };
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut out =
            format!("{}{}\n", paint.severity(word), paint.bold(&format!(": {}", visible(&self.message))));
        if let Some(primary) = &self.primary {
            snippet(&mut out, sources, style, &paint, primary, &self.others);
        }
        for cause in &self.causes {
            let _ = writeln!(out, "  Caused by: {}", visible(cause.trim_end()).replace('\n', "\n    "));
        }
        for hint in &self.hints {
            let _ = writeln!(
                out,
                "{}: {}",
                paint.hint("hint"),
                visible(hint.trim_end()).replace('\n', "\n      ")
            );
        }
        out
    }
}

/// A text without what a terminal would obey: messages name values, and some of those are facts that nodes tell.
fn visible(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and marks that turn the direction of reading round.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Mark<'a> {
    label: &'a Label,
    primary: bool,
}

fn snippet(
    out: &mut String,
    sources: &Sources,
    style: Style,
    paint: &Paint,
    primary: &Label,
    others: &[Label],
) {
    let mut marks = vec![Mark { label: primary, primary: true }];
    marks.extend(others.iter().map(|label| Mark { label, primary: false }));
    // The primary's file first, the others in the order they were named.
    let mut files: Vec<FileId> = Vec::new();
    for mark in &marks {
        if !files.contains(&mark.label.span.file) {
            files.push(mark.label.span.file);
        }
    }
    let last_line = marks.iter().map(|mark| sources.line_column(mark.label.span).0).max().unwrap_or(1);
    let gutter = last_line.to_string().len();
    for (at, file) in files.iter().enumerate() {
        let Some(source) = sources.file(*file) else { continue };
        let here: Vec<&Mark> = marks.iter().filter(|mark| mark.label.span.file == *file).collect();
        let arrow = if at == 0 { "-->" } else { ":::" };
        let _ = writeln!(out, "{:gutter$}{} {}", "", paint.frame(arrow), sources.place(here[0].label.span));
        let _ = writeln!(out, "{:gutter$} {}", "", paint.frame("|"));
        block(out, &source, style, paint, gutter, &here);
    }
}

/// The marked lines of one file with their underlines.
fn block(out: &mut String, source: &SourceFile, style: Style, paint: &Paint, gutter: usize, marks: &[&Mark]) {
    let mut lines: BTreeMap<usize, Vec<&Mark>> = BTreeMap::new();
    for mark in marks {
        lines.entry(source.line_of(source.range(mark.label.span).start)).or_default().push(mark);
    }
    let mut previous: Option<usize> = None;
    for (number, mut marks) in lines {
        match previous {
            Some(previous) if number == previous + 2 => {
                let cells = Cells::new(source, number - 1, 0);
                line(out, paint, gutter, number - 1, &cells.cut(0, room(style, gutter)).text);
            }
            Some(previous) if number > previous + 2 => {
                let _ = writeln!(out, "{}", paint.frame("..."));
            }
            _ => {}
        }
        previous = Some(number);
        marks.sort_by_key(|mark| (!mark.primary, mark.label.span));
        let cells = Cells::new(source, number, source.range(marks[0].label.span).start);
        let cut = cells.cut(cells.columns(source, marks[0].label.span).0, room(style, gutter));
        line(out, paint, gutter, number, &cut.text);
        for mark in marks {
            let (start, length) = cells.columns(source, mark.label.span);
            let start = (start + cut.lead).saturating_sub(cut.dropped);
            let length = length.min(cut.width.saturating_sub(start)).max(1);
            let underline = if mark.primary { "^" } else { "-" }.repeat(length);
            let words = if mark.label.text.is_empty() {
                String::new()
            } else {
                format!(" {}", visible(&mark.label.text))
            };
            let marked = format!("{underline}{words}");
            let marked = if mark.primary { paint.severity(&marked) } else { paint.frame(&marked) };
            let _ = writeln!(out, "{:gutter$} {} {:start$}{marked}", "", paint.frame("|"), "");
        }
    }
}

fn room(style: Style, gutter: usize) -> usize {
    style.width.map_or(WIDEST_LINE, |width| width.saturating_sub(gutter + 3).max(20))
}

fn line(out: &mut String, paint: &Paint, gutter: usize, number: usize, text: &str) {
    let number = paint.frame(&format!("{:>gutter$} |", number + 1));
    let _ = writeln!(out, "{}", format!("{number} {text}").trim_end());
}

/// A line as it is shown: tabs widened, control characters made visible.
struct Cells {
    /// Byte offset in the file, what is shown, columns.
    cells: Vec<(usize, String, usize)>,
    /// Byte offset after the last cell.
    end: usize,
    /// There is more of the line before the first cell.
    more_before: bool,
    /// There is more of the line after the last cell.
    more_after: bool,
}

struct Cut {
    text: String,
    /// Columns of the text.
    width: usize,
    /// Columns left out at the start.
    dropped: usize,
    /// Columns of the sign that something was left out.
    lead: usize,
}

impl Cells {
    /// The cells of a line (from 0); of a very long one, those around a byte offset of the file.
    fn new(source: &SourceFile, number: usize, around: usize) -> Self {
        let line = source.line_range(number);
        let start = line.start.max(around.saturating_sub(NEIGHBOURHOOD)).min(line.end);
        let end = line.end.min(around.max(start).saturating_add(NEIGHBOURHOOD));
        let text = source.text();
        let range = text.floor_char_boundary(start)..text.floor_char_boundary(end);
        let cells = source.text()[range.clone()]
            .char_indices()
            .map(|(offset, character)| {
                let (shown, width) = match character {
                    '\t' => (TAB.to_owned(), TAB.len()),
                    '\u{feff}' => (String::new(), 0),
                    _ if is_hidden(character) => ('\u{fffd}'.to_string(), 1),
                    _ => (character.to_string(), character.width().unwrap_or(0)),
                };
                (range.start + offset, shown, width)
            })
            .collect();
        Self {
            cells,
            end: range.end,
            more_before: range.start > line.start,
            more_after: range.end < line.end,
        }
    }

    /// First column (from 0) and number of columns of what a span covers on this line, trailing white space left out.
    fn columns(&self, source: &SourceFile, span: Span) -> (usize, usize) {
        let range = source.range(span);
        let end = range.end.min(self.end).max(range.start.min(self.end));
        let covered = &source.text()[range.start.min(end)..end];
        let end = range.start + covered.trim_end().len();
        let width = |cells: &mut dyn Iterator<Item = &(usize, String, usize)>| cells.map(|cell| cell.2).sum();
        let start: usize = width(&mut self.cells.iter().filter(|cell| cell.0 < range.start));
        let length: usize =
            width(&mut self.cells.iter().filter(|cell| cell.0 >= range.start && cell.0 < end));
        (start, length)
    }

    /// What fits into `room` columns so that column `focus` is seen with something before it.
    fn cut(&self, focus: usize, room: usize) -> Cut {
        let total: usize = self.cells.iter().map(|cell| cell.2).sum();
        if total <= room && !self.more_before && !self.more_after {
            let text = self.cells.iter().map(|cell| cell.1.as_str()).collect();
            return Cut { text, width: total, dropped: 0, lead: 0 };
        }
        // Two columns are kept for the signs that something was left out.
        let inner = room - 2;
        let from =
            if focus < inner * 2 / 3 { 0 } else { (focus - inner / 3).min(total.saturating_sub(inner)) };
        let mut cut = Cut { text: String::new(), width: 0, dropped: 0, lead: 0 };
        if from > 0 || self.more_before {
            cut.text.push('…');
            (cut.lead, cut.width) = (1, 1);
        }
        let mut column = 0;
        let mut more = self.more_after;
        for (_, shown, width) in &self.cells {
            if column < from {
                cut.dropped += width;
            } else if cut.width + width <= inner + cut.lead {
                cut.text.push_str(shown);
                cut.width += width;
            } else {
                more = true;
                break;
            }
            column += width;
        }
        if more {
            cut.text.push('…');
            cut.width += 1;
        }
        cut
    }
}

struct Paint {
    color: bool,
    severity: Severity,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity(&self, text: &str) -> String {
        match self.severity {
            Severity::Error => self.with("1;31", text),
            Severity::Warning => self.with("1;33", text),
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn frame(&self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn hint(&self, text: &str) -> String {
        self.with("1;36", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (Sources, FileId) {
        let sources = Sources::new();
        let file = sources.add("roles/web/role.yaml", text.to_owned());
        (sources, file)
    }

    #[test]
    fn the_look_of_the_style_guide() {
        let (sources, file) = file(&format!("{}    notfy: nginx\n", "#\n".repeat(13)));
        let shown = Diagnostic::error("unknown key `notfy` in task `file:/etc/nginx/nginx.conf`")
            .at(Span::new(file, 30, 35), "not a key of `file` tasks")
            .hint("did you mean `reloads` (or `restarts`)?")
            .render(&sources, Style::plain());
        assert_eq!(
            shown,
            "error: unknown key `notfy` in task `file:/etc/nginx/nginx.conf`\n  --> roles/web/role.yaml:14:5\n   |\n\
             14 |     notfy: nginx\n   |     ^^^^^ not a key of `file` tasks\n\
             hint: did you mean `reloads` (or `restarts`)?\n"
        );
    }

    #[test]
    fn several_places_and_files() {
        let (sources, one) = file("a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\ng: 7\nh: 8\ni: 9\nj: 10\n");
        let two = sources.add("inventory.yaml", "\tx: 日本 y\n".into());
        let shown = Diagnostic::warning("two places")
            .at(Span::new(one, 46, 47), "again")
            .also(Span::new(one, 0, 1), "first")
            .also(Span::new(one, 10, 14), "second")
            .also(Span::new(two, 4, 10), "wide")
            .also(Span::new(two, 11, 40), "")
            .caused_by("a reason\nin two lines")
            .render(&sources, Style::plain());
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn long_lines_are_cut_round_the_underline() {
        let text = format!("a: \"{} {{{{ prot }}}} {}\"\n", "x".repeat(100), "y".repeat(100));
        let start = text.find("prot").unwrap() as u32;
        let (sources, file) = file(&text);
        let shown = Diagnostic::error("undefined")
            .at(Span::new(file, start, start + 4), "not known")
            .render(&sources, Style { color: false, width: Some(60) });
        insta::assert_snapshot!(shown);
    }

    /// 5,000 unknown names in one line of 50 kB took 12 s to show: every error walked through the whole line.
    #[test]
    fn one_long_line_with_many_errors_is_shown_quickly() {
        let (sources, file) = file(&"é123456, ".repeat(20_000));
        let errors: Diagnostics = (0..2000)
            .map(|at| Diagnostic::error(format!("{at}")).at(Span::new(file, at * 100, at * 100 + 7), "x"))
            .collect();
        let start = std::time::Instant::now();
        let shown = errors.render(&sources, Style::plain());
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
        let first: Vec<&str> = shown.split("\n\n").next().unwrap().lines().collect();
        assert!(first[3].starts_with("1 | é123456, é") && first[3].ends_with('…'), "{}", first[3]);
        assert_eq!(first[4], "  | ^^^^^^ x");
        let last = shown.lines().rev().nth(1).unwrap();
        assert!(last.starts_with("1 | …") && last.ends_with("é123456,"), "{last}");
        assert!(last.chars().count() <= "1 | ".len() + WIDEST_LINE);
    }

    #[test]
    fn sorted_and_without_duplicates() {
        let (sources, file) = file("a\nb\n");
        let mut diagnostics = Diagnostics::new();
        let late = Diagnostic::error("late").at(Span::new(file, 2, 3), "");
        diagnostics.push(late.clone());
        diagnostics.push(Diagnostic::error("early").at(Span::new(file, 0, 1), ""));
        diagnostics.push(Diagnostic::warning("nowhere"));
        diagnostics.push(late);
        insta::assert_snapshot!(diagnostics.render(&sources, Style::plain()));
        assert_eq!(diagnostics.counts(), (2, 1));
    }

    #[test]
    fn empty_spans_and_the_end_of_the_file_are_marked() {
        let (sources, file) = file("a: [1\n");
        let at_end =
            Diagnostic::error("x").at(Span::new(file, 6, 6), "here").render(&sources, Style::plain());
        assert!(at_end.ends_with("2 |\n  | ^ here\n"), "{at_end}");
        let outside =
            Diagnostic::error("x").at(Span::new(file, 900, 950), "here").render(&sources, Style::plain());
        assert!(outside.contains("^ here"), "{outside}");
    }

    #[test]
    fn colours_only_where_asked() {
        let (sources, file) = file("a: b\n");
        let diagnostic = Diagnostic::error("x").at(Span::new(file, 0, 1), "y").hint("z");
        assert!(!diagnostic.render(&sources, Style::plain()).contains('\x1b'));
        assert!(
            diagnostic
                .render(&sources, Style { color: true, width: None })
                .contains("\x1b[1;31merror\x1b[0m")
        );
    }
}
