//! What was read of files, read again only when they have changed.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A value and the signature of the files it was read from.
#[derive(Debug)]
pub(super) struct Versioned<S, T> {
    known: Mutex<Known<S, T>>,
}

#[derive(Debug)]
struct Known<S, T> {
    value: Option<(S, Arc<T>)>,
    /// Whether a change of the files is none of ours to notice, until we are told otherwise.
    still: bool,
    /// Whether the signature was compared since then.
    compared: bool,
}

impl<S, T> Default for Versioned<S, T> {
    fn default() -> Self {
        Self { known: Mutex::new(Known { value: None, still: false, compared: false }) }
    }
}

impl<S: PartialEq, T> Versioned<S, T> {
    fn known(&self) -> MutexGuard<'_, Known<S, T>> {
        // Poisoned: another look panicked; what it held is only a cache.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value as it is now.
    pub(super) fn get(
        &self,
        signature: impl FnOnce() -> io::Result<S>,
        read: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<Arc<T>> {
        let mut known = self.known();
        if known.still
            && known.compared
            && let Some((_, value)) = &known.value
        {
            return Ok(Arc::clone(value));
        }
        // Taken before reading: a change in between shows as a difference at the next look.
        let signature = signature()?;
        known.compared = true;
        if let Some((then, value)) = &known.value
            && *then == signature
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(read()?);
        known.value = Some((signature, Arc::clone(&value)));
        Ok(value)
    }

    /// From here on the files are compared once, until this is called again.
    pub(super) fn hold_still(&self, still: bool) {
        let mut known = self.known();
        (known.still, known.compared) = (still, false);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn files_are_compared_at_each_look_or_once_while_they_are_held_still() {
        let versioned = Versioned::default();
        let (version, compared) = (Cell::new(1), Cell::new(0));
        let get = || {
            let signature = || {
                compared.set(compared.get() + 1);
                Ok(version.get())
            };
            *versioned.get(signature, || Ok(version.get())).unwrap()
        };
        assert_eq!((get(), get(), compared.get()), (1, 1, 2));
        version.set(2);
        versioned.hold_still(true);
        assert_eq!((get(), get(), compared.get()), (2, 2, 3), "what came before is seen");
        version.set(3);
        assert_eq!((get(), compared.get()), (2, 3), "what comes meanwhile is not");
        versioned.hold_still(false);
        assert_eq!((get(), compared.get()), (3, 4));
    }
}
