//! One harness over every module: what each promises, tried on the fake node and in a real directory.
//!
//! `case.rs` says how cases are written. Each check below goes over all of them and tells everything that is
//! broken at once.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare real directories")]

mod case;
mod cases;
mod coverage;
mod faults;
mod liars;
mod lone_task;
mod play;
mod probe;
mod promises;
mod snapshot;
mod stage;
mod syscalls;
mod undo;

use case::{Case, Cases, Where};

/// Runs a check over the cases of all modules that can be played at a place; tells all that fail.
///
/// The environment variable `CASE` (`MODULE` or `MODULE/NAME`) picks some.
fn over_cases(places: &[Where], check: impl Fn(&str, &Case, Where) -> Vec<String>) {
    let only = std::env::var("CASE").unwrap_or_default();
    let mut broken = Vec::new();
    for Cases { module, cases, .. } in cases::all() {
        for case in cases {
            let name = format!("{module}/{}", case.name);
            if !only.is_empty() && only != module && only != name {
                continue;
            }
            for place in places.iter().filter(|place| case.runs.contains(place)) {
                let found =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(module, &case, *place)))
                        .unwrap_or_else(|panic| {
                            let text = panic.downcast_ref::<String>().cloned();
                            vec![text.unwrap_or_else(|| "it panicked; see above".into())]
                        });
                broken.extend(found.into_iter().map(|text| format!("{name} ({place:?}): {text}")));
            }
        }
    }
    assert!(broken.is_empty(), "{} broken promises:\n{}", broken.len(), broken.join("\n"));
}
