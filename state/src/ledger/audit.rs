//! The log, to which lines are only added; the oldest may go.

use std::ops::ControlFlow;

use crate::{
    AuditEntry, AuditRecord, Retention, StateError,
    stored::{self, Malformed, Stored},
    tables::{Direction, ReadTables, Table, WriteTables},
};

pub(crate) fn append(tables: &mut dyn WriteTables, entries: &[AuditEntry]) -> Result<(), StateError> {
    let mut sequence = newest(tables, 1)?.first().map_or(0, |newest| newest.sequence);
    for entry in entries {
        sequence += 1;
        stored::put(tables, &sequence.to_be_bytes(), entry)?;
    }
    Ok(())
}

pub(crate) fn newest(tables: &dyn ReadTables, limit: usize) -> Result<Vec<AuditRecord>, StateError> {
    let mut records = Vec::new();
    tables.scan(Table::Audit, b"", Direction::Descending, &mut |key, value| {
        if records.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        let sequence = sequence_of(tables, key)?;
        let AuditEntry { at, who, what, run } = stored::decode(tables, key, value)?;
        records.push(AuditRecord { sequence, at, who, what, run });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(records)
}

fn sequence_of(tables: &dyn ReadTables, key: &[u8]) -> Result<u64, StateError> {
    key.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| Malformed("its number has not eight bytes".to_owned()).at(tables, AuditEntry::WHAT, key))
}

/// How many of the oldest lines the rules let go.
pub(crate) fn surplus(tables: &dyn ReadTables, retention: &Retention) -> Result<u64, StateError> {
    let Some(keep) = retention.audit_newest else { return Ok(0) };
    // Numbers are given without a gap, and only the oldest go.
    let mut ends = [0, 0];
    for (end, direction) in ends.iter_mut().zip([Direction::Ascending, Direction::Descending]) {
        tables.scan(Table::Audit, b"", direction, &mut |key, _| {
            *end = sequence_of(tables, key)?;
            Ok(ControlFlow::Break(()))
        })?;
    }
    let [oldest, newest] = ends;
    if newest == 0 {
        return Ok(0);
    }
    let lines = newest.saturating_sub(oldest).saturating_add(1);
    let surplus = lines.saturating_sub(keep as u64);
    if surplus < retention.least as u64 {
        return Ok(0);
    }
    Ok(surplus.min(retention.most.map_or(u64::MAX, |most| most as u64)))
}

/// Takes the oldest lines away.
pub(crate) fn drop_oldest(tables: &mut dyn WriteTables, lines: u64) -> Result<(), StateError> {
    let mut doomed: Vec<Vec<u8>> = Vec::new();
    tables.scan(Table::Audit, b"", Direction::Ascending, &mut |key, _| {
        if doomed.len() as u64 == lines {
            return Ok(ControlFlow::Break(()));
        }
        doomed.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for key in doomed {
        tables.remove(Table::Audit, &key)?;
    }
    Ok(())
}
