//! What must hold for every layout.

use proptest::prelude::*;

use super::{super::tests, *};
use crate::{
    draw::DrawTask,
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
            // Lanes that come and go have a role, but stand before or behind its frame.
            let inside = spots[a].home == Some(role) && area.left > frame.left && area.right < frame.right;
            if overlap(area, frame) != inside {
                return Err(format!("{:?} in or out of the frame of role {role}", spots[a].what));
            }
        }
    }
    for (index, &frame) in layout.frames.iter().enumerate() {
        if layout.frames[..index].iter().any(|&other| overlap(frame, other)) {
            return Err(format!("the frame of role {index} lies on another"));
        }
    }
    for way in &layout.ways {
        let (exit, entry) = (layout.y[way.wrap.exit], layout.y[way.wrap.entry]);
        let thin = |a: (f64, f64), b: (f64, f64)| Area {
            left: a.0.min(b.0) - 1.0,
            top: a.1.min(b.1) - 1.0,
            right: a.0.max(b.0) + 1.0,
            bottom: a.1.max(b.1) + 1.0,
        };
        let corners = [
            (layout.area(way.wrap.exit).left, exit),
            (way.right, exit),
            (way.right, way.back),
            (way.left, way.back),
            (way.left, entry),
            (layout.area(way.wrap.entry).right, entry),
        ];
        for stretch in corners.windows(2).map(|pair| thin(pair[0], pair[1])) {
            if layout.frames.iter().any(|&frame| overlap(frame, stretch)) {
                return Err(format!("the way of link {} crosses a frame", way.wrap.link));
            }
        }
        for other in layout.ways.iter().filter(|other| other.wrap.link < way.wrap.link) {
            let reach = |way: &wraps::Way| {
                let (exit, back) = (layout.y[way.wrap.exit], way.back);
                (exit.min(back), exit.max(back))
            };
            let (a, b) = (reach(way), reach(other));
            let beside = way.right == other.right && a.0 < b.1 && b.0 < a.1;
            if other.back == way.back || beside {
                return Err(format!("links {} and {} share a stretch", other.wrap.link, way.wrap.link));
            }
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
fn it_is_xml_with_a_tooltip_for_each_task_link_and_role() {
    let plan = tests::sixty();
    let (graph, tasks) = plan.graph();
    let picture = Picture::new(&graph, &tasks);
    let svg = write(&picture);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let titles = document.descendants().filter(|node| node.has_tag_name("title")).count();
    assert_eq!(titles, tasks.len() + picture.links.len() + picture.roles.len());
}

fn anything() -> impl Strategy<Value = (Graph, Vec<usize>)> {
    let edges = prop::collection::vec((0..24usize, 0..24usize, 0..4usize), 0..60);
    let barriers = prop::collection::vec((0..24usize, 0..24usize, 0..24usize), 0..3);
    (edges, barriers, prop::collection::vec(0..4usize, 24)).prop_map(|(edges, barriers, roles)| {
        let reasons = [Reason::Needs, Reason::Command, Reason::Check, Reason::Holds("/srv".into())];
        let mut made: Vec<Edge> = edges
            .into_iter()
            .map(|(a, b, kind)| Edge { from: a.min(b), to: a.max(b), reason: reasons[kind].clone() })
            .collect();
        for (a, b, c) in barriers {
            let mut cuts = [a, b, c];
            cuts.sort_unstable();
            for from in cuts[0]..cuts[1] {
                made.extend((cuts[1]..cuts[2]).map(|to| Edge { from, to, reason: Reason::Repository }));
            }
        }
        made.retain(|edge| edge.from != edge.to);
        (Graph { tasks: 24, edges: made, barriers: Vec::new() }, roles)
    })
}

fn tasks(roles: &[usize]) -> Vec<DrawTask<'static>> {
    let ids = ["a", "file:/etc/nginx/sites-enabled/some-rather-long-name.conf", "service:b"];
    let classes = crate::draw::palette::CLASSES;
    let task = |(n, &role): (usize, &usize)| DrawTask {
        id: ids[n % ids.len()],
        role: ["base", "web", "a role with a rather long name indeed", "d"][role],
        class: classes[n % classes.len()],
    };
    roles.iter().enumerate().map(task).collect()
}

proptest! {
    // Each case compares every pair of boxes.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_ever_overlaps((graph, roles) in anything()) {
        let tasks = tasks(&roles);
        let picture = Picture::new(&graph, &tasks);
        if let Err(wrong) = check(&picture) {
            prop_assert!(false, "{}", wrong);
        }
        prop_assert!(roxmltree::Document::parse(&write(&picture)).is_ok());
    }

    #[test]
    fn time_runs_to_the_right((graph, roles) in anything()) {
        let tasks = tasks(&roles);
        let picture = Picture::new(&graph, &tasks);
        let layout = Layout::new(&picture);
        for strand in &layout.chart.strands {
            prop_assert!(layout.area(strand.from).right < layout.area(strand.to).left);
        }
    }
}
