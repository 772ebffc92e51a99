//! The append-only log.

use std::ops::ControlFlow;

use crate::{
    AuditEntry, AuditRecord, StateError,
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
        let sequence = key.try_into().map(u64::from_be_bytes).map_err(|_| {
            Malformed("its number has not eight bytes".to_owned()).at(tables, AuditEntry::WHAT, key)
        })?;
        let AuditEntry { at, who, what, run } = stored::decode(tables, key, value)?;
        records.push(AuditRecord { sequence, at, who, what, run });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(records)
}
