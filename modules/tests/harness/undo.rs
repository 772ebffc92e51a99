//! Whatever a change did, its undo gives back the first state: after a whole run, after one that was cut short
//! at any write, and after damage was mended.

use std::{collections::HashMap, sync::Mutex};

use cm_modules::{
    Contents, Context, Node, Overlay, Problem, Seen, Thing,
    former::{Former, Item, Keep, Manner, capture, phase, restore},
    node::{Content, Stat},
};
use cm_wire::{Digest, Mode};

use crate::{
    case::{Case, Where},
    over_cases,
    play::Play,
    probe::Fault,
    snapshot::difference,
    stage::Stage,
};

/// Former contents, as the journal keeps them.
#[derive(Default)]
struct Shelf(Mutex<HashMap<Digest, Vec<u8>>>);

impl Keep for Shelf {
    fn keep(&self, node: &dyn Node, path: &std::path::Path, _stat: &Stat) -> std::io::Result<(Digest, bool)> {
        let bytes = node.read(path, 1 << 24)?;
        let digest = Digest::of(&bytes);
        self.0.lock().unwrap().insert(digest, bytes);
        Ok((digest, true))
    }
}

impl Contents for Shelf {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        let shelf = self.0.lock().unwrap();
        shelf.get(digest).cloned().map(Content::Bytes).ok_or_else(|| Problem::new("not kept"))
    }
}

#[test]
fn an_undo_gives_back_the_first_state() {
    over_cases(&[Where::Fake, Where::Tree], is_undone);
}

/// Takes back a case, and the mending of each damage.
pub fn is_undone(module: &str, case: &Case, place: Where) -> Vec<String> {
    if case.no_undo.is_some() {
        return Vec::new();
    }
    let mut broken = undone(module, case, place, None, None).err().into_iter().collect::<Vec<_>>();
    for number in 0..case.drifts.len() {
        let text = undone(module, case, place, Some(number), None).err();
        broken.extend(text.map(|text| format!("after drift {number} was mended: {text}")));
    }
    broken
}

#[test]
fn an_undo_of_a_run_that_was_cut_short_gives_back_the_first_state() {
    over_cases(&[Where::Fake, Where::Tree], |module, case, place| {
        if case.no_undo.is_some() {
            return Vec::new();
        }
        let writes = {
            let (stage, moved) = Stage::of(place, "case", case);
            match Play::new(module, &stage, &moved).apply(None) {
                Ok(writes) => writes,
                Err(problem) => return vec![problem.message],
            }
        };
        let mut broken = Vec::new();
        for call in 0..writes {
            for after in [false, true] {
                let fault = Fault { call, after };
                let text = undone(module, case, place, None, Some(fault)).err();
                broken.extend(text.map(|text| format!("{fault:?}: {text}")));
            }
        }
        broken
    });
}

/// Applies a case (or mends its damage) and takes it back.
fn undone(
    module: &str,
    case: &Case,
    place: Where,
    drift: Option<usize>,
    fault: Option<Fault>,
) -> Result<(), String> {
    let (stage, moved) = Stage::of(place, "case", case);
    let play = Play::new(module, &stage, &moved);
    let told = |problem: Problem| problem.message;
    if let Some(number) = drift {
        play.apply(None).map_err(told)?;
        stage.act(&moved.drifts[number].acts);
    }
    let all = play.things();
    let first = play.snapshot(&all);
    let shelf = Shelf::default();
    // As the agent does it: a look, what the task keeps, the change.
    let probe = play.probe(None);
    play.look(&probe, Mode::Apply).map_err(told)?;
    let mut kept: Vec<(Item, Former)> = Vec::new();
    for thing in play.keeps() {
        if let Some(item) = Item::of(&thing)
            && !kept.iter().any(|(other, _)| *other == item)
        {
            kept.push((item.clone(), capture(&probe, &item, Some(&shelf)).map_err(told)?));
        }
    }
    match (play.apply(fault), fault) {
        (Ok(_), None) | (Err(_), Some(_)) => {}
        (Ok(_), Some(_)) => return Err("the run says that it went well".into()),
        (Err(problem), None) => return Err(problem.message),
    }
    // What was made last goes first, what was removed first comes back first: parents before children.
    take_back(&play, &shelf, kept)?;
    let last = play.snapshot(&all);
    if last != first {
        return Err(format!("the undo leaves {:#?}", difference(&first, &last)));
    }
    Ok(())
}

fn take_back(play: &Play<'_>, shelf: &Shelf, mut kept: Vec<(Item, Former)>) -> Result<(), String> {
    let told = |item: &Item| {
        let item = item.to_string();
        move |problem: Problem| format!("undo of {item}: {}", problem.message)
    };
    kept.sort_by_key(|(item, former)| {
        let depth = item.path().map_or(0, |path| path.components().count() as isize);
        // What goes: the deepest first.
        (phase(item, former), if *former == Former::Absent { -depth } else { depth })
    });
    let probe = play.probe(None);
    let image = Overlay::new(&probe);
    let mut planned = Vec::new();
    for (item, former) in &kept {
        let Some(resource) = restore(item, former, Manner::default()) else {
            return Err(format!("nothing brings {item} back to {former:?}"));
        };
        let context = Context { contents: shelf, ..play.unasked(&image, Mode::Plan) };
        let seen = resource.look(&context).map_err(told(item))?;
        if seen != Seen::AsWanted {
            resource.change(&context).map_err(told(item))?;
        }
        planned.push((item, resource, seen));
    }
    for (item, resource, seen) in &planned {
        let context = Context { contents: shelf, ..play.unasked(&probe, Mode::Apply) };
        let found = resource.look(&context).map_err(told(item))?;
        if found != *seen {
            return Err(format!("the undo of {item} finds {found:?}, its plan {seen:?}"));
        }
        if found != Seen::AsWanted {
            resource.change(&context).map_err(told(item))?;
        }
        let left = resource.look(&context).map_err(told(item))?;
        if left != Seen::AsWanted {
            return Err(format!("the undo of {item} does not converge: {left:?}"));
        }
    }
    Ok(())
}

/// Things that no undo would bring back.
#[test]
fn all_that_a_change_touches_is_kept() {
    over_cases(&[Where::Fake, Where::Tree], keeps_all);
}

/// Compares what a case changes with what it says that it keeps.
pub fn keeps_all(module: &str, case: &Case, place: Where) -> Vec<String> {
    if case.foreign {
        // It keeps what its program tells; that this is enough is proven by the undo.
        return Vec::new();
    }
    let (stage, moved) = Stage::of(place, "case", case);
    let play = Play::new(module, &stage, &moved);
    let all = play.things();
    let first = play.snapshot(&all);
    if let Err(problem) = play.look(&play.probe(None), Mode::Apply) {
        return vec![problem.message];
    }
    let kept: Vec<String> = play
        .keeps()
        .into_iter()
        .map(|thing| match thing {
            Thing::Path(path) => {
                use std::os::unix::ffi::OsStrExt as _;
                path.as_os_str().as_bytes().escape_ascii().to_string()
            }
            Thing::Service(name) => format!("{:?}", Thing::Unit(name)),
            other => format!("{other:?}"),
        })
        .collect();
    if let Err(problem) = play.apply(None) {
        return vec![problem.message];
    }
    let last = play.snapshot(&all);
    first
        .keys()
        .chain(last.keys())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .filter(|name| first.get(*name) != last.get(*name))
        .map(|name| name.replace("Service(", "Unit("))
        .filter(|name| !kept.contains(name) && case.no_undo.is_none())
        // Who is in which group is kept with either.
        .filter(|name| !(name.starts_with("Group(") || name.starts_with("User(")))
        .map(|name| format!("changes {name} and does not keep it: {kept:?}"))
        .collect()
}
