//! Turns a panic inside the database library into an error.
//!
//! redb checks a file's header and, after a crash, its pages; but a file that was damaged
//! behind its back can still make it panic. A person with a damaged file needs to be told so.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    path::Path,
    sync::Once,
};

use crate::StateError;

static HOOK: Once = Once::new();

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; a panic that is not of this crate's own code comes back as damage of the file.
pub(super) fn guarded<R>(path: &Path, body: impl FnOnce() -> Result<R, StateError>) -> Result<R, StateError> {
    // The default hook would print a backtrace of something that is about to be explained.
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if GUARDED.get() && !is_own(info) {
                CAUGHT.set(Some(info.to_string().replace('\n', " ")));
            } else {
                previous(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    // Nothing that `body` leaves half-done is used again: the file is closed by the unwinding.
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(outer);
    match (result, CAUGHT.take()) {
        (Ok(result), _) => result,
        (Err(_), Some(message)) => Err(StateError::Damaged {
            path: path.to_owned(),
            detail: format!("the database library stumbled over it ({message})"),
        }),
        (Err(own), None) => panic::resume_unwind(own),
    }
}

fn is_own(info: &PanicHookInfo<'_>) -> bool {
    let here = file!().trim_end_matches("file/guard.rs");
    info.location()
        .is_some_and(|location| location.file().starts_with(here) && location.file() != TEST_STAND_IN)
}

/// A file whose panics count as the library's, in tests.
const TEST_STAND_IN: &str = if cfg!(test) { file!() } else { "" };

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::guarded;
    use crate::StateError;

    #[test]
    fn a_panic_of_the_library_is_damage() {
        let result = guarded(Path::new("s.redb"), || -> Result<(), StateError> { panic!("page 7\nis odd") });
        let Err(StateError::Damaged { detail, .. }) = result else { panic!("{result:?}") };
        assert!(detail.contains("page 7 is odd"), "{detail}");
        assert_eq!(guarded(Path::new("s.redb"), || Ok(1)).unwrap(), 1);
    }
}
