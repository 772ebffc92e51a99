//! Waiting for other processes to be done with the file.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::StateError;

use super::holders;

/// How long a [`crate::RedbStore`] waits for the file unless told otherwise.
pub const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(30);

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// The attempts of one transaction to get at the file.
pub(super) struct Waiting {
    began: Instant,
    limit: Duration,
    pause: Duration,
}

impl Waiting {
    pub(super) fn new(limit: Duration) -> Self {
        Self { began: Instant::now(), limit, pause: SHORTEST_PAUSE }
    }

    /// Pauses before another attempt, unless the limit is reached.
    pub(super) fn pause(&mut self, path: &Path) -> Result<(), StateError> {
        let waited = self.began.elapsed();
        if waited >= self.limit {
            let holders = File::open(path).map(|file| holders::of(&file)).unwrap_or_default();
            return Err(StateError::Busy { path: path.to_owned(), waited, holders });
        }
        // Between half and all of it, so that those who wait do not come back together.
        let jitter = RandomState::new().hash_one(waited) % 512;
        thread::sleep(self.pause * (512 + jitter as u32) / 1024);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
