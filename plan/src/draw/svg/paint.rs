//! Writes a layout as SVG.

use std::fmt::Write as _;

use cm_xml::escaped;

use super::{
    Area, HEADING, Layout, MARGIN, PADDING,
    chart::{INSET, SMALL, Spot, TEXT, What},
    legend, measure,
    outline::outline,
    strokes,
    wraps::Way,
};
use crate::draw::{
    bundle::Link,
    palette::{GREY, INK, STRONG, look},
    picture::Picture,
    text::visible,
};

/// How many tasks a tooltip names on each side.
const NAMED: usize = 6;
/// What a reason may take where nothing is beside it.
const WIDEST_WAY: f64 = 460.0;

/// The SVG text of a layout.
pub fn paint(picture: &Picture<'_>, layout: &Layout) -> String {
    let legend = legend::legend(picture, layout.height);
    let (width, height) =
        (layout.width.max(legend.1 + MARGIN).ceil(), (layout.height + legend::HEIGHT).ceil());
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
    let mut levels = vec![Vec::new(); picture.links.len()];
    for (index, spot) in layout.chart.spots.iter().enumerate() {
        if let What::Lane(link) | What::Link(link) = spot.what {
            levels[link].push(index);
        }
    }
    let mut ways: Vec<Option<&Way>> = vec![None; picture.links.len()];
    for way in &layout.ways {
        ways[way.wrap.link] = Some(way);
    }
    // What the roles say lies on top.
    let mut order: Vec<(usize, &Link)> = picture.links.iter().enumerate().collect();
    order.sort_by_key(|(_, link)| link.reason.strong());
    for (index, link) in order {
        let (mut lines, heads) = strokes::within(layout, &strands[index], &levels[index]);
        let reason = match ways[index] {
            Some(way) => {
                strokes::between(&mut lines, layout, way);
                let name = measure::shorten(&visible(&link.reason.to_string()), SMALL, WIDEST_WAY);
                Some((way.left + 24.0, way.back - 4.0, name))
            }
            None => levels[index]
                .iter()
                .find(|&&spot| matches!(layout.chart.spots[spot].what, What::Link(_)))
                .map(|&spot| {
                    (
                        layout.area(spot).left + 4.0,
                        layout.y[spot] - 4.0,
                        layout.chart.spots[spot].text.clone(),
                    )
                }),
        };
        let class = if link.reason.strong() { " class=\"s\"" } else { "" };
        let title = escaped(&story(picture, link));
        let _ = write!(out, "<g{class}><title>{title}</title><path class=\"l\" d=\"{lines}\"/>");
        let _ = write!(out, "<path class=\"h\" d=\"{heads}\"/>");
        if let Some((x, y, reason)) = reason {
            let _ = write!(out, "<text class=\"r\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(&reason));
        }
        out.push_str("</g>\n");
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

/// The whole reason and the tasks it ties, for a tooltip.
fn story(picture: &Picture<'_>, link: &Link) -> String {
    let names = |tasks: &[usize]| {
        let mut names: Vec<String> =
            tasks.iter().take(NAMED).map(|&task| visible(picture.tasks[task].id)).collect();
        if tasks.len() > NAMED {
            names.push(format!("{} more", tasks.len() - NAMED));
        }
        names.join(", ")
    };
    format!("{}: {} → {}", visible(&link.reason.to_string()), names(&link.from), names(&link.to))
}
