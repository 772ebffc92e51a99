//! How much of the past is remembered, and the space that the rest leaves behind.

use cm_plan::Settings;
use cm_state::{Compaction, RedbStore, Retention, StateError, Store, Timestamp};

/// Runs that are remembered unless `[history]` says otherwise, of those that changed something and of those that
/// did not.
const RUNS_KEPT: usize = 500;
/// What runs may take unless `[history]` says otherwise, in bytes.
const SIZE_KEPT: u64 = 2 << 30;
/// Rollouts that are remembered unless `[history]` says otherwise.
const ROLLOUTS_KEPT: usize = 100;
/// Lines of the audit log that are kept unless `[history]` says otherwise.
const AUDIT_KEPT: usize = 10_000;
/// Old runs go when there are this many of them: the end of most runs does not wait for it.
const STEP: usize = 10;
/// At most so many go at the end of one run.
const STRIDE: usize = 20;
/// A smaller database is not worth the time to make it smaller, in bytes.
const SMALL: u64 = 64 << 20;

/// The rules of a repository.
pub fn rules(settings: &Settings) -> Retention {
    let history = &settings.history;
    let days = history.days.as_ref().map(|days| i64::from(days.value));
    Retention {
        keep_newest: Some(history.runs.as_ref().map_or(RUNS_KEPT, |runs| runs.value as usize)),
        started_before: days.map(|days| Timestamp::now().plus_micros(-days * 86_400_000_000)),
        largest: Some(history.size.as_ref().map_or(SIZE_KEPT, |size| size.value)),
        audit_newest: Some(history.audit.as_ref().map_or(AUDIT_KEPT, |lines| lines.value as usize)),
        ..Retention::default()
    }
}

/// How many rollouts a repository remembers.
pub fn rollouts_kept(settings: &Settings) -> usize {
    settings.history.rollouts.as_ref().map_or(ROLLOUTS_KEPT, |rollouts| rollouts.value as usize)
}

/// What is done at the end of a run, in bounded time: a few old runs go; and where runs that went left most of a large
/// file empty, it is made smaller.
///
/// # Errors
/// When the database cannot be written.
pub fn tidy(store: &RedbStore, rules: Retention) -> Result<Option<Compaction>, StateError> {
    let pruned = store.prune(&Retention { least: STEP, most: Some(STRIDE), ..rules })?;
    let size = store.size()?;
    // The sum of what runs take costs nothing; only where it tells of much empty space is all looked at.
    if pruned.runs.is_empty() || size < SMALL || pruned.kept_bytes > size / 4 {
        return Ok(None);
    }
    if store.used()? > size / 2 {
        return Ok(None);
    }
    store.compact().map(Some)
}
