//! What modules of the user's repository manage: their programs tell its state and bring it back.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use cm_wire::Mode;

use crate::{
    Problem,
    custom::{Asking, Call, Verb, ask},
    real::Real,
};

/// Stands before a state that is not to be shown.
const SECRET: &str = "secret ";

/// How modules are asked, by what they manage.
#[derive(Default)]
pub(super) struct CustomState {
    calls: Mutex<BTreeMap<String, (Call, Option<String>)>>,
}

impl CustomState {
    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, (Call, Option<String>)>> {
        // Poisoned: a thread panicked between two whole states.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, key: &str, call: &Call, state: Option<String>) {
        self.calls().insert(key.to_owned(), (call.clone(), state));
    }

    pub(super) fn known(&self, key: &str) -> Option<Call> {
        self.calls().get(key).map(|(call, _)| call.clone())
    }
}

pub(super) fn read(real: &Real, state: &CustomState, key: &str) -> Result<Option<String>, Problem> {
    // A state answers once: a program is asked again for what may have changed since.
    let known = state.calls().get_mut(key).map(|(call, state)| (call.clone(), state.take()));
    let Some((call, told)) = known else { return Ok(None) };
    if !call.has_undo {
        return Ok(None);
    }
    let now = match told {
        Some(now) => Some(now),
        None => ask(real, &call, &asking(Verb::Look, &call, None, call.deadline()))?.state,
    };
    let mark = if call.hidden { SECRET } else { "" };
    Ok(now.map(|now| format!("{mark}{now}")))
}

pub(super) fn set(
    real: &Real,
    state: &CustomState,
    key: &str,
    value: Option<&str>,
    deadline: Instant,
) -> Result<(), Problem> {
    let known = state.calls().get_mut(key).map(|(call, state)| {
        *state = None;
        call.clone()
    });
    let (Some(call), Some(value)) = (known, value) else {
        return Err(Problem::new(format!("nothing is known of how {key} can be brought back")));
    };
    let former = value.strip_prefix(SECRET).unwrap_or(value);
    ask(real, &call, &asking(Verb::Undo, &call, Some(former), deadline)).map(drop)
}

fn asking<'a>(verb: Verb, call: &Call, state: Option<&'a str>, deadline: Instant) -> Asking<'a> {
    Asking { verb, mode: Mode::Apply, state, deadline, live: None, hidden: call.hidden }
}
