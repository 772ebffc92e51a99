//! Holds the edges against those that are found plainly.

use std::path::{Path, PathBuf};

use cm_modules::{Class, Thing, Touches};
use proptest::prelude::*;

use super::{EVERYWHERE, Edge, Reason, TaskView, edges, paths, reference};

fn thing() -> impl Strategy<Value = Thing> {
    let path = prop_oneof![
        8 => "(/[ab]){1,4}".prop_map(PathBuf::from),
        1 => "/?([ab.]{0,2}/){0,4}[ab.]{0,2}".prop_map(PathBuf::from),
        1 => (0..EVERYWHERE.len(), "(/[ab]){0,2}").prop_map(|(at, more)| PathBuf::from(format!("{}{more}", EVERYWHERE[at]))),
    ];
    prop_oneof![
        6 => path.clone().prop_map(Thing::Path),
        2 => path.prop_map(Thing::Mount),
        1 => "[ab]".prop_map(Thing::User),
        1 => "[ab]".prop_map(Thing::Group),
    ]
}

fn touches() -> impl Strategy<Value = Touches> {
    let things = || prop::collection::vec(thing(), 0..3);
    (things(), things(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(makes, needs, removes, part, parents)| Touches {
            makes,
            needs,
            removes,
            part,
            parents,
            ..Touches::new(Class::File)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn edges_are_those_that_are_found_plainly(all in prop::collection::vec(touches(), 1..12)) {
        let tasks: Vec<TaskView<'_>> = all.iter().map(|touches| {
            TaskView { role: 0, touches, needs: &[], restarts: &[], reloads: &[], parallel: false }
        }).collect();
        // Users before groups that go is not part of what is compared.
        let mut wanted = reference::edges(&tasks);
        super::leaving_groups(&tasks, &mut wanted);
        prop_assert_eq!(shown(edges(&tasks)), shown(wanted));
    }
}

/// Edges with the paths of their reasons in one spelling; modules give no other.
fn shown(edges: Vec<Edge>) -> Vec<(usize, usize, String)> {
    let one_spelling = |reason: Reason| {
        let text = reason.to_string();
        let words = text.split(' ').map(|word| {
            let path = word.trim_end_matches(',');
            format!("{}{}", paths::plain(Path::new(path)).display(), &word[path.len()..])
        });
        words.collect::<Vec<_>>().join(" ")
    };
    edges.into_iter().map(|edge| (edge.from, edge.to, one_spelling(edge.reason))).collect()
}
