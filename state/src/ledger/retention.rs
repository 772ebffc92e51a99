//! How old runs go.

use std::ops::ControlFlow;

use crate::{
    Pruned, Retention, RunId, RunMode, RunState, StateError,
    tables::{ReadTables, Table, WriteTables},
};

use super::{audit, results::run_prefix, runs};

/// The runs that the rules let go, newest first, the bytes of the others, and how many lines of the log.
pub(crate) fn doomed(tables: &dyn ReadTables, retention: &Retention) -> Result<Pruned, StateError> {
    let mut doomed: Vec<(RunId, u64)> = Vec::new();
    // By what they are counted: those that changed something, and those that did not.
    let mut positions = [0_usize; 2];
    let (mut newest_finished, mut newest_done) = (true, true);
    let mut kept_bytes = 0_u64;
    let mut full = false;
    runs::each_newest_first(tables, |stored| {
        let (run, bytes) = (stored.summary, stored.bytes);
        let position = &mut positions[usize::from(run.is_quiet())];
        let too_many = retention.keep_newest.is_some_and(|keep| *position >= keep);
        let too_old = retention.started_before.is_some_and(|limit| run.started < limit);
        *position += 1;
        let with = kept_bytes.saturating_add(bytes);
        // A large one must not go and leave older ones behind.
        full |= retention.largest.is_some_and(|limit| with > limit);
        let finished = run.state != RunState::Running;
        // `@failed` and `cm show` of the last run must go on working.
        let is_newest = finished && std::mem::take(&mut newest_finished);
        let is_newest_done = finished && run.mode != RunMode::Plan && std::mem::take(&mut newest_done);
        if finished && !is_newest && !is_newest_done && (too_many || too_old || full) {
            doomed.push((run.id, bytes));
        } else {
            kept_bytes = with;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if doomed.len() < retention.least {
        doomed.clear();
    }
    // The oldest stand last.
    let spared = doomed.len().saturating_sub(retention.most.unwrap_or(usize::MAX));
    kept_bytes += doomed.drain(..spared).map(|(_, bytes)| bytes).sum::<u64>();
    let audit_lines = audit::surplus(tables, retention)?;
    Ok(Pruned { runs: doomed.into_iter().map(|(id, _)| id).collect(), kept_bytes, audit_lines })
}

pub(crate) fn prune(tables: &mut dyn WriteTables, retention: &Retention) -> Result<Pruned, StateError> {
    let pruned = doomed(tables, retention)?;
    for id in &pruned.runs {
        for table in [Table::Runs, Table::OpenRuns, Table::RunHosts] {
            tables.remove(table, id.as_str().as_bytes())?;
        }
        for table in [Table::HostResults, Table::TaskLists] {
            tables.remove_prefix(table, &run_prefix(id))?;
        }
    }
    audit::drop_oldest(tables, pruned.audit_lines)?;
    Ok(pruned)
}
