//! A failure at every call that writes, before and after it is made: what is there is whole, and the next run
//! ends as if nothing had happened.

use crate::{
    case::{Case, Where},
    over_cases,
    play::Play,
    probe::Fault,
    snapshot::{contents, difference},
    stage::Stage,
};

#[test]
fn a_failure_at_any_write_leaves_whole_files_and_a_second_run_converges() {
    over_cases(&[Where::Fake, Where::Tree], survives_all);
}

/// Lets each writing call of a case fail.
pub fn survives_all(module: &str, case: &Case, place: Where) -> Vec<String> {
    let (stage, moved) = Stage::of(place, "case", case);
    let play = Play::new(module, &stage, &moved);
    let old = contents(stage.node(), &stage.base);
    let writes = match play.apply(None) {
        Ok(writes) => writes,
        Err(problem) => return vec![problem.message],
    };
    let new = contents(stage.node(), &stage.base);
    let whole: Vec<Vec<u8>> = old.into_values().chain(new.into_values()).collect();
    let mut broken = Vec::new();
    for call in 0..writes {
        for after in [false, true] {
            let fault = Fault { call, after };
            let found = survives(module, case, place, fault, &whole);
            broken.extend(found.into_iter().map(|text| format!("{fault:?}: {text}")));
        }
    }
    broken
}

/// What is broken when the run is cut short by this fault. `whole` are the contents that files may have.
fn survives(module: &str, case: &Case, place: Where, fault: Fault, whole: &[Vec<u8>]) -> Vec<String> {
    let (stage, moved) = Stage::of(place, "case", case);
    let play = Play::new(module, &stage, &moved);
    let things = play.things();
    let mut broken = Vec::new();
    if play.apply(Some(fault)).is_ok() {
        broken.push("the run says that it went well".to_owned());
    }
    for (path, content) in contents(stage.node(), &stage.base) {
        if !whole.contains(&content) {
            broken.push(format!("{} is half written: {}", path.display(), content.escape_ascii()));
        }
    }
    if let Err(problem) = play.apply(None) {
        broken.push(format!("the next run fails: {}", problem.message));
        return broken;
    }
    broken.extend(stage.wrong(&moved.ends));
    let (undisturbed, other) = Stage::of(place, "case", case);
    let reference = Play::new(module, &undisturbed, &other);
    if let Err(problem) = reference.apply(None) {
        broken.push(problem.message);
    }
    let relative = |stage: &Stage, play: &Play<'_>| {
        let root = stage.root.to_string_lossy().into_owned();
        let shown = play.snapshot(&things).into_iter();
        shown.map(|(name, state)| (name.replace(&root, "/"), state.replace(&root, "/"))).collect()
    };
    let left = difference(&relative(&undisturbed, &reference), &relative(&stage, &play));
    if !left.is_empty() {
        broken.push(format!("the next run ends otherwise: {left:#?}"));
    }
    broken
}
