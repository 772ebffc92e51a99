//! How old runs go.

use std::ops::ControlFlow;

use crate::{
    Pruned, Retention, RunId, RunState, StateError,
    tables::{ReadTables, Table, WriteTables},
};

use super::{results::run_prefix, runs};

/// The runs that the rules let go, newest first.
pub(crate) fn doomed(tables: &dyn ReadTables, retention: &Retention) -> Result<Vec<RunId>, StateError> {
    let mut doomed = Vec::new();
    let mut position = 0;
    let mut newest_finished = true;
    runs::each_newest_first(tables, |run| {
        let too_many = retention.keep_newest.is_some_and(|keep| position >= keep);
        let too_old = retention.started_before.is_some_and(|limit| run.started < limit);
        position += 1;
        if run.state == RunState::Running {
            return Ok(ControlFlow::Continue(()));
        }
        // `@failed` and `cm show` of the last run must go on working.
        if !std::mem::take(&mut newest_finished) && (too_many || too_old) {
            doomed.push(run.id);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(doomed)
}

pub(crate) fn prune(tables: &mut dyn WriteTables, retention: &Retention) -> Result<Pruned, StateError> {
    let runs = doomed(tables, retention)?;
    for id in &runs {
        for table in [Table::Runs, Table::OpenRuns, Table::RunHosts] {
            tables.remove(table, id.as_str().as_bytes())?;
        }
        for table in [Table::HostResults, Table::TaskLists] {
            tables.remove_prefix(table, &run_prefix(id))?;
        }
    }
    Ok(Pruned { runs })
}
