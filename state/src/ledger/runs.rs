//! Runs as a whole: begin, end, find, and end those that nobody drives any more.

use std::ops::ControlFlow;

use crate::{
    AuditEntry, HostCounts, Liveness, NewRun, RunFinish, RunId, RunState, RunSummary, StateError, TaskCounts,
    Timestamp, UNKNOWN_CONTROLLER_GRACE,
    stored::{self, PlannedHosts, StoredRun},
    tables::{Direction, ReadTables, Table, WriteTables},
};

use super::{audit, look_up, name_of};

pub(crate) fn begin(tables: &mut dyn WriteTables, new: &NewRun) -> Result<RunId, StateError> {
    let id = RunId::new(new.started, newest_id(tables)?.as_ref());
    let NewRun { command_line, user, target, roles, mode, started, controller, hosts } = new.clone();
    let entry =
        AuditEntry { at: started, who: user.clone(), what: command_line.clone(), run: Some(id.clone()) };
    audit::append(tables, &[entry])?;
    let mut planned = hosts;
    planned.sort();
    planned.dedup();
    let summary = RunSummary {
        id: id.clone(),
        command_line,
        user,
        target,
        roles,
        mode,
        state: RunState::Running,
        started,
        finished: None,
        error: None,
        controller,
        hosts: HostCounts { total: planned.len() as u64, ..HostCounts::default() },
        tasks: TaskCounts::default(),
    };
    let key = id.as_str().as_bytes();
    stored::put(tables, key, &StoredRun { summary, last_sign: started, bytes: 0 })?;
    stored::put(tables, key, &PlannedHosts(planned))?;
    tables.put(Table::OpenRuns, key, &[])?;
    Ok(id)
}

pub(crate) fn finish(
    tables: &mut dyn WriteTables,
    id: &RunId,
    finish: &RunFinish,
) -> Result<RunSummary, StateError> {
    let key = id.as_str().as_bytes();
    let mut run = require(tables, id)?;
    if run.summary.state == RunState::Running {
        run.summary.state = finish.state;
        // A clock that was set back meanwhile must not make the run end before it began.
        run.summary.finished = Some(finish.finished.max(run.summary.started));
        run.summary.error.clone_from(&finish.error);
        stored::put(tables, key, &run)?;
        tables.remove(Table::OpenRuns, key)?;
    }
    Ok(run.summary)
}

/// The run of this id, which must be there.
pub(crate) fn require(tables: &dyn ReadTables, id: &RunId) -> Result<StoredRun, StateError> {
    look_up(tables, id.as_str().as_bytes())?
        .ok_or_else(|| StateError::UnknownRun { given: id.as_str().to_owned() })
}

pub(crate) fn newest(tables: &dyn ReadTables, limit: usize) -> Result<Vec<RunSummary>, StateError> {
    let mut runs = Vec::new();
    each_newest_first(tables, |run| {
        if runs.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        runs.push(run.summary);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(runs)
}

/// Visits every run, the newest first.
pub(crate) fn each_newest_first(
    tables: &dyn ReadTables,
    mut visit: impl FnMut(StoredRun) -> Result<ControlFlow<()>, StateError>,
) -> Result<(), StateError> {
    tables.scan(Table::Runs, b"", Direction::Descending, &mut |key, value| {
        visit(stored::decode::<StoredRun>(tables, key, value)?)
    })
}

fn newest_id(tables: &dyn ReadTables) -> Result<Option<RunId>, StateError> {
    let mut newest = None;
    tables.scan(Table::Runs, b"", Direction::Descending, &mut |key, value| {
        newest = Some(stored::decode::<StoredRun>(tables, key, value)?.summary.id);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(newest)
}

pub(crate) fn find(tables: &dyn ReadTables, given: &str) -> Result<RunSummary, StateError> {
    let mut candidates = Vec::new();
    let mut exact = None;
    if !given.is_empty() {
        tables.scan(Table::Runs, b"", Direction::Descending, &mut |key, _| {
            let name = name_of(tables, "the run", key)?;
            if name == given {
                exact = Some(name);
                return Ok(ControlFlow::Break(()));
            }
            let suffix = name.rsplit('-').next().unwrap_or_default();
            if name.starts_with(given) || suffix.starts_with(given) {
                candidates.push(name);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let name = match (exact, candidates.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only.clone(),
        (None, []) => return Err(StateError::UnknownRun { given: given.to_owned() }),
        (None, _) => return Err(StateError::AmbiguousRun { given: given.to_owned(), candidates }),
    };
    match look_up::<StoredRun>(tables, name.as_bytes())? {
        Some(run) => Ok(run.summary),
        None => Err(StateError::UnknownRun { given: given.to_owned() }),
    }
}

/// Runs that are marked as running but whose controller is gone.
pub(crate) fn abandoned(tables: &dyn ReadTables, now: Timestamp) -> Result<Vec<RunId>, StateError> {
    let mut open = Vec::new();
    tables.scan(Table::OpenRuns, b"", Direction::Descending, &mut |key, _| {
        open.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    let mut abandoned = Vec::new();
    for key in open {
        let Some(StoredRun { summary, .. }) = stored::get(tables, &key)? else { continue };
        let gone = match summary.controller.liveness() {
            Liveness::Alive => false,
            Liveness::Dead => true,
            Liveness::Unknown => now.micros_since(summary.started) > UNKNOWN_CONTROLLER_GRACE,
        };
        if gone {
            abandoned.push(summary.id);
        }
    }
    Ok(abandoned)
}

/// Ends these runs as interrupted, those of them that are still marked as running.
pub(crate) fn close(
    tables: &mut dyn WriteTables,
    abandoned: &[RunId],
    now: Timestamp,
) -> Result<Vec<RunSummary>, StateError> {
    let mut closed = Vec::new();
    for id in abandoned {
        let key = id.as_str().as_bytes();
        let Some(mut run) = stored::get::<StoredRun>(tables, key)? else { continue };
        if run.summary.state != RunState::Running {
            continue;
        }
        run.summary.state = RunState::Interrupted;
        run.summary.finished = Some(run.last_sign.min(now).max(run.summary.started));
        run.summary.error = Some(format!(
            "its controller (process {} on {}) ended without finishing it",
            run.summary.controller.pid, run.summary.controller.machine
        ));
        stored::put(tables, key, &run)?;
        tables.remove(Table::OpenRuns, key)?;
        closed.push(run.summary);
    }
    Ok(closed)
}
