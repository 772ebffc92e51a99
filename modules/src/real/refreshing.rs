//! When an index of packages has to be refreshed, whatever package manager it belongs to.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use crate::Problem;

/// A name that an index younger than this does not know is not looked for again, in seconds.
pub(super) const UNKNOWN_AGE: u64 = 60;
/// Any age will do: what is asked is only whether the index is missing or older than its sources.
pub(super) const ANY_AGE: u64 = u64::MAX;

/// A refresh of the index.
pub(super) struct Refreshed {
    /// Of the copy, not of the node's own.
    copy: bool,
    when: Instant,
    /// When its sources had last changed.
    sources: Option<SystemTime>,
    result: Result<(), Problem>,
}

impl Refreshed {
    /// One that has just ended like this.
    pub(super) fn now(copy: bool, sources: Option<SystemTime>, result: Result<(), Problem>) -> Self {
        Self { copy, when: Instant::now(), sources, result }
    }

    /// The answer for whoever wants another one: it was done, or it failed just now; none where it has to be
    /// done again.
    pub(super) fn answers(
        &self,
        copy: bool,
        sources: Option<SystemTime>,
        older_than: u64,
    ) -> Option<Result<bool, Problem>> {
        if (self.copy, self.sources) != (copy, sources) {
            return None;
        }
        // A source that did not answer just now would be waited for again by every package.
        let since = self.when.elapsed().as_secs();
        match &self.result {
            Ok(()) if older_than > 0 && since <= older_than => Some(Ok(false)),
            Err(problem) if since <= UNKNOWN_AGE => Some(Err(problem.clone())),
            _ => None,
        }
    }
}

/// Whether an index that was refreshed at this time (none: it is not there) is at most this many seconds old
/// and not older than its sources.
pub(super) fn is_fresh(refreshed: Option<SystemTime>, sources: Option<SystemTime>, older_than: u64) -> bool {
    let Some(refreshed) = refreshed.filter(|_| older_than > 0) else { return false };
    let now = SystemTime::now();
    // A time to come says nothing: the clock was wrong then or is now.
    if sources.is_some_and(|changed| changed > refreshed && changed <= now) {
        return false;
    }
    now.duration_since(refreshed).is_ok_and(|age| age <= Duration::from_secs(older_than))
}

/// When a path was last written; none where it is not there.
pub(super) fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).and_then(|data| data.modified()).ok()
}
