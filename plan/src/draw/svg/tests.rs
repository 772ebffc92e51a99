//! What must hold for every layout.

use proptest::prelude::*;

use super::{super::tests, *};
use crate::{
    draw::{DrawTask, Format, draw},
    graph::{Edge, Graph, Reason},
};

fn overlap(a: Area, b: Area) -> bool {
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

/// Boxes, labels and lanes lie on nothing else; frames hold what is theirs and nothing more; all is on the sheet.
fn check(picture: &Picture<'_>) -> Result<(), String> {
    let layout = Layout::new(picture);
    let spots = &layout.chart.spots;
    for a in 0..spots.len() {
        let area = layout.area(a);
        if area.left < 0.0 || area.top < 0.0 || area.right > layout.width || area.bottom > layout.height {
            return Err(format!("{:?} is off the sheet", spots[a].what));
        }
        for b in 0..a {
            if overlap(area, layout.area(b)) {
                return Err(format!("{:?} lies on {:?}", spots[a].what, spots[b].what));
            }
        }
        for (role, &frame) in layout.frames.iter().enumerate() {
            if overlap(area, frame) != (spots[a].home == Some(role)) {
                return Err(format!("{:?} in or out of the frame of role {role}", spots[a].what));
            }
        }
    }
    for (index, &frame) in layout.frames.iter().enumerate() {
        if layout.frames[..index].iter().any(|&other| overlap(frame, other)) {
            return Err(format!("the frame of role {index} lies on another"));
        }
    }
    Ok(())
}

#[test]
fn nothing_overlaps_in_the_examples() {
    for plan in [tests::example(), tests::sixty()] {
        let (graph, tasks) = plan.graph();
        check(&Picture::new(&graph, &tasks)).unwrap();
    }
}

#[test]
fn it_is_xml_with_a_tooltip_for_each_task_and_link() {
    let (graph, tasks) = tests::sixty().graph().clone_for_test();
    let svg = draw(&graph, &tasks.iter().map(tests::OwnedTask::borrow).collect::<Vec<_>>(), Format::Svg);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let titles = document.descendants().filter(|node| node.has_tag_name("title")).count();
    assert!(titles > tasks.len());
}
