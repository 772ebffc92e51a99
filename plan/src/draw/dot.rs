//! Writes a picture for graphviz.

use std::fmt::Write as _;

use super::{
    bundle::Link,
    palette::{GREY, INK, STRONG, look},
    picture::Picture,
    text::visible,
};

/// The picture as a digraph: roles are clusters, a link between whole sets is a node that bears its reason.
pub fn write(picture: &Picture<'_>) -> String {
    let mut out = String::from("digraph tasks {\n");
    let _ = writeln!(
        out,
        "  graph [rankdir=LR, bgcolor=transparent, nodesep=0.15, ranksep=0.5, fontname=\"sans-serif\", fontsize=12, \
         fontcolor=\"{GREY}\", color=\"{GREY}\", style=rounded];\n  \
         node [fontname=\"sans-serif\", fontsize=11, fontcolor=\"{INK}\", height=0.3, style=filled];\n  \
         edge [fontname=\"sans-serif\", fontsize=9, arrowsize=0.7];"
    );
    for (role, name) in picture.roles.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{role} {{\n    label={};", quoted(name));
        for task in picture.members(role) {
            let (look, id) = (look(picture.tasks[task].class), quoted(picture.tasks[task].id));
            let _ = writeln!(
                out,
                "    n{task} [label={id}, shape={}, fillcolor=\"{}\", color=\"{}\"];",
                look.dot, look.fill, look.stroke
            );
        }
        for (index, link) in joints(picture).filter(|(_, link)| picture.home(link) == Some(role)) {
            joint(&mut out, "    ", index, link);
        }
        out.push_str("  }\n");
    }
    for (index, link) in joints(picture).filter(|(_, link)| picture.home(link).is_none()) {
        joint(&mut out, "  ", index, link);
    }
    for (index, link) in picture.links.iter().enumerate() {
        edges(&mut out, index, link);
    }
    out.push_str("}\n");
    out
}

fn joints<'a>(picture: &'a Picture<'_>) -> impl Iterator<Item = (usize, &'a Link)> {
    picture.links.iter().enumerate().filter(|(_, link)| link.is_joint())
}

fn joint(out: &mut String, indent: &str, index: usize, link: &Link) {
    let (reason, colour) = (quoted(&link.reason.to_string()), colour(link));
    let _ = writeln!(
        out,
        "{indent}j{index} [label={reason}, shape=plaintext, style=solid, fontsize=9, fontcolor=\"{colour}\", \
         height=0.2, margin=0.04];"
    );
}

fn edges(out: &mut String, index: usize, link: &Link) {
    let (colour, style) = (colour(link), if link.reason.strong() { "solid" } else { "dashed" });
    let look = format!("color=\"{colour}\", style={style}");
    if link.is_joint() {
        for from in &link.from {
            let _ = writeln!(out, "  n{from} -> j{index} [{look}, arrowhead=none];");
        }
        for to in &link.to {
            let _ = writeln!(out, "  j{index} -> n{to} [{look}];");
        }
        return;
    }
    let reason = quoted(&link.reason.to_string());
    for from in &link.from {
        for to in &link.to {
            let _ = writeln!(out, "  n{from} -> n{to} [label={reason}, fontcolor=\"{colour}\", {look}];");
        }
    }
}

fn colour(link: &Link) -> &'static str {
    if link.reason.strong() { STRONG } else { GREY }
}

/// A label as graphviz reads it: quotes end it, backslashes begin escapes, ampersands begin entities.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in visible(text).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
