//! Plan, apply, a second apply, verify, damage and its mending, odd names, secrets.

use cm_modules::Context;
use cm_wire::Mode;

use crate::{
    case::{Case, Where},
    over_cases,
    play::Play,
    snapshot::difference,
    stage::Stage,
};

/// A folder that a careless shell line or line-based file would stumble over.
pub const ODD_NAME: &str = "it's a \"folder\"\nwith $(odd) `names` %s \\ \u{fc}";

#[test]
fn a_change_is_what_the_plan_said_and_the_second_finds_nothing() {
    over_cases(&[Where::Fake, Where::Tree], |module, case, place| converges(module, case, place, "case"));
}

#[test]
fn names_may_have_spaces_quotes_and_line_breaks() {
    over_cases(&[Where::Fake, Where::Tree], |module, case, place| match case.plain_names {
        Some(_) => Vec::new(),
        None => converges(module, case, place, ODD_NAME),
    });
}

/// Applies a case in a folder of this name.
pub fn converges(module: &str, case: &Case, place: Where, folder: &str) -> Vec<String> {
    let (stage, case) = Stage::of(place, folder, case);
    let play = Play::new(module, &stage, &case);
    match play.keeps_promises() {
        Err(broken) => vec![broken],
        Ok(found) if found.is_empty() != case.at_rest => {
            vec![format!("on the prepared node it finds {found:?}")]
        }
        Ok(_) => stage.wrong(&case.ends),
    }
}

#[test]
fn damage_is_found_named_and_mended() {
    over_cases(&[Where::Fake, Where::Tree], mends);
}

/// Damages a case in each of its ways.
pub fn mends(module: &str, case: &Case, place: Where) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, drift) in case.drifts.iter().enumerate() {
        let (stage, moved) = Stage::of(place, "case", case);
        let play = Play::new(module, &stage, &moved);
        if let Err(problem) = play.apply(None) {
            return vec![problem.message];
        }
        let things = play.things();
        let wanted = play.snapshot(&things);
        stage.act(&moved.drifts[number].acts);
        let told = |text: String| format!("drift {number} of {:?}: {text}", drift.params);
        match play.keeps_promises() {
            Err(text) => broken.push(told(text)),
            Ok(found) if !found.iter().any(|change| change.attribute == drift.attribute) => {
                broken.push(told(format!("no change of `{}` in {found:?}", drift.attribute)));
            }
            Ok(_) => {
                let mended = play.snapshot(&things);
                if drift.loose {
                    continue;
                }
                broken.extend(stage.wrong(&moved.ends).into_iter().map(told));
                if mended != wanted {
                    let left = difference(&wanted, &mended);
                    broken.push(told(format!("mending leaves {left:#?}")));
                }
            }
        }
    }
    broken
}

#[test]
fn secrets_are_not_in_what_a_look_tells() {
    over_cases(&[Where::Fake], hides_secrets);
}

/// Looks at a case that is to be kept secret.
pub fn hides_secrets(module: &str, case: &Case, place: Where) -> Vec<String> {
    let (stage, case) = Stage::of(place, "case", case);
    let play = Play::new(module, &stage, &case);
    let probe = play.probe(None);
    let context = Context { sensitive: true, ..play.context(&probe, Mode::Plan, true) };
    match play.resource.look(&context) {
        Ok(cm_modules::Seen::Differs(changes)) => changes
            .iter()
            .filter(|change| change.diff.is_some())
            .map(|change| format!("a sensitive task tells {change:?}"))
            .collect(),
        Ok(_) => Vec::new(),
        Err(problem) => vec![problem.message],
    }
}
