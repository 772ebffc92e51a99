//! Writes a layout as SVG.

use std::fmt::Write as _;

use super::{
    Area, HEADING, Layout, MARGIN, PADDING,
    chart::{INSET, SMALL, Spot, TEXT, What},
    measure,
    outline::outline,
};
use crate::draw::{
    bundle::Link,
    palette::{GREY, INK, STRONG, look},
    picture::Picture,
    text::visible,
};

/// How many tasks a tooltip names on each side.
const NAMED: usize = 6;
const LEGEND: f64 = 34.0;

/// The SVG text of a layout.
pub fn paint(picture: &Picture<'_>, layout: &Layout) -> String {
    let legend = legend(picture, layout.height);
    let (width, height) = (layout.width.max(legend.1 + MARGIN).ceil(), (layout.height + LEGEND).ceil());
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n\
         <style>text{{font:{TEXT}px \"DejaVu Sans\",Verdana,sans-serif;dominant-baseline:auto}}\
         .t{{fill:{INK}}}.r{{font-size:{SMALL}px;fill:{GREY}}}.s .r,.s .h{{fill:{STRONG}}}\
         .l{{fill:none;stroke:{GREY};stroke-width:1.1;stroke-dasharray:4 3}}\
         .s .l{{stroke:{STRONG};stroke-width:1.5;stroke-dasharray:none}}.h{{fill:{GREY}}}\
         .f{{fill:#808080;fill-opacity:.07;stroke:#808080;stroke-opacity:.5}}.n{{font-weight:bold;fill:{GREY}}}\
         .b{{stroke-width:1.2}}</style>",
        escaped(&heading(picture))
    );
    for (role, frame) in layout.frames.iter().enumerate() {
        paint_frame(&mut out, picture.roles[role], *frame);
    }
    let mut strands = vec![Vec::new(); picture.links.len()];
    for strand in &layout.chart.strands {
        strands[strand.link].push((strand.from, strand.to));
    }
    let mut lanes = vec![Vec::new(); picture.links.len()];
    for (index, spot) in layout.chart.spots.iter().enumerate() {
        if let What::Lane(link) = spot.what {
            lanes[link].push(index);
        }
    }
    for (index, link) in picture.links.iter().enumerate() {
        lanes[index].push(picture.tasks.len() + index);
        paint_link(&mut out, picture, layout, link, &strands[index], &lanes[index]);
    }
    for (index, spot) in layout.chart.spots.iter().enumerate() {
        if let What::Task(task) = spot.what {
            paint_task(&mut out, picture, task, spot, layout.area(index));
        }
    }
    out.push_str(&legend.0);
    out.push_str("</svg>\n");
    out
}

fn heading(picture: &Picture<'_>) -> String {
    let roles: Vec<String> = picture.roles.iter().map(|name| visible(name)).collect();
    format!("Task graph of {}", if roles.is_empty() { "nothing".into() } else { roles.join(", ") })
}

fn paint_frame(out: &mut String, name: &str, frame: Area) {
    let Area { left, top, right, bottom } = frame;
    let name = visible(name);
    let short = measure::shorten(&name, TEXT * 1.1, right - left - PADDING);
    let _ = writeln!(
        out,
        "<g><title>role {}</title><rect class=\"f\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"9\"/>\
         <text class=\"n\" x=\"{}\" y=\"{}\">{}</text></g>",
        escaped(&name),
        right - left,
        bottom - top,
        left + 10.0,
        top + HEADING - 4.0,
        escaped(&short)
    );
}

fn paint_task(out: &mut String, picture: &Picture<'_>, task: usize, spot: &Spot, area: Area) {
    let drawn = &picture.tasks[task];
    let look = look(drawn.class);
    let _ = writeln!(
        out,
        "<g><title>{} ({}, role {})</title><path class=\"b\" d=\"{}\" fill=\"{}\" stroke=\"{}\"/>\
         <text class=\"t\" x=\"{}\" y=\"{}\">{}</text></g>",
        escaped(&visible(drawn.id)),
        look.word,
        escaped(&visible(drawn.role)),
        outline(drawn.class, area),
        look.fill,
        look.stroke,
        area.left + INSET,
        area.top + 17.5,
        escaped(&spot.text)
    );
}

/// One group: its lines, its arrowheads, its reason on its line.
fn paint_link(
    out: &mut String,
    picture: &Picture<'_>,
    layout: &Layout,
    link: &Link,
    strands: &[(usize, usize)],
    levels: &[usize],
) {
    let (mut lines, mut heads) = (String::new(), String::new());
    for &level in levels {
        let (left, right) = layout.columns.edges(layout.chart.spots[level].rank);
        let _ = write!(lines, "M{left} {}H{right}", layout.y[level]);
    }
    for &(from, to) in strands {
        let (start, end) = (layout.area(from).right, layout.area(to).left);
        let (high, low) = (layout.y[from], layout.y[to]);
        let (_, edge) = layout.columns.edges(layout.chart.spots[from].rank);
        let _ = write!(lines, "M{start} {high}");
        if edge > start {
            let _ = write!(lines, "H{edge}");
        }
        let end = if matches!(layout.chart.spots[to].what, What::Task(_)) {
            let _ = write!(heads, "M{end} {low}l-8 -3.5v7z");
            end - 7.0
        } else {
            end
        };
        if (high - low).abs() < 0.5 {
            let _ = write!(lines, "H{end}");
        } else {
            let middle = (edge + end) / 2.0;
            let _ = write!(lines, "C{middle} {high} {middle} {low} {end} {low}");
        }
    }
    // The link's own spot is the last of its levels.
    let Some(&own) = levels.last() else { return };
    let area = layout.area(own);
    let _ = writeln!(
        out,
        "<g{}><title>{}</title><path class=\"l\" d=\"{lines}\"/><path class=\"h\" d=\"{heads}\"/>\
         <text class=\"r\" x=\"{}\" y=\"{}\">{}</text></g>",
        if link.reason.strong() { " class=\"s\"" } else { "" },
        escaped(&story(picture, link)),
        area.left + 4.0,
        layout.y[own] - 4.0,
        escaped(&layout.chart.spots[own].text)
    );
}

/// The whole reason and the tasks it ties, for a tooltip.
fn story(picture: &Picture<'_>, link: &Link) -> String {
    let names = |tasks: &[usize]| {
        let mut names: Vec<String> = tasks.iter().take(NAMED).map(|&task| visible(picture.tasks[task].id)).collect();
        if tasks.len() > NAMED {
            names.push(format!("{} more", tasks.len() - NAMED));
        }
        names.join(", ")
    };
    format!("{}: {} → {}", visible(&link.reason.to_string()), names(&link.from), names(&link.to))
}

/// What the colours and lines mean, of those that occur; its text and its right edge.
fn legend(picture: &Picture<'_>, top: f64) -> (String, f64) {
    let (mut out, mut left) = (String::new(), MARGIN);
    let baseline = top + 13.0;
    let word = |out: &mut String, left: &mut f64, text: &str| {
        let _ = write!(out, "<text class=\"r\" x=\"{left}\" y=\"{baseline}\">{text}</text>");
        *left += measure::width(text, SMALL).ceil() + 20.0;
    };
    for class in picture.classes() {
        let look = look(class);
        let area = Area { left, top: top + 2.0, right: left + 30.0, bottom: top + 16.0 };
        let d = outline(class, area);
        let _ = write!(out, "<path class=\"b\" d=\"{d}\" fill=\"{}\" stroke=\"{}\"/>", look.fill, look.stroke);
        left += 36.0;
        word(&mut out, &mut left, look.word);
    }
    for (strong, text) in [(true, "said by roles"), (false, "worked out")] {
        if picture.links.iter().any(|link| link.reason.strong() == strong) {
            let class = if strong { " class=\"s\"" } else { "" };
            let _ = write!(
                out,
                "<g{class}><path class=\"l\" d=\"M{left} {0}h24\"/><path class=\"h\" d=\"M{1} {0}l-8 -3.5v7z\"/></g>",
                top + 9.0,
                left + 31.0
            );
            left += 38.0;
            word(&mut out, &mut left, text);
        }
    }
    out.push('\n');
    (out, left)
}

/// Text as XML takes it, in attributes too.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
