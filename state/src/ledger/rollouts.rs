//! Rollouts: bytes kept for later, under a name.

use std::ops::ControlFlow;

use crate::{
    StateError,
    stored::{self, StoredRollout},
    tables::{Direction, ReadTables, Table, WriteTables},
};

use super::{look_up, name_of};

pub(crate) fn put(tables: &mut dyn WriteTables, id: &str, bytes: &[u8]) -> Result<(), StateError> {
    stored::put(tables, id.as_bytes(), &StoredRollout(bytes.to_vec()))
}

pub(crate) fn get(tables: &dyn ReadTables, id: &str) -> Result<Option<Vec<u8>>, StateError> {
    Ok(look_up::<StoredRollout>(tables, id.as_bytes())?.map(|rollout| rollout.0))
}

pub(crate) fn forget(tables: &mut dyn WriteTables, id: &str) -> Result<(), StateError> {
    tables.remove(Table::Rollouts, id.as_bytes())
}

pub(crate) fn ids(tables: &dyn ReadTables) -> Result<Vec<String>, StateError> {
    let mut ids = Vec::new();
    tables.scan(Table::Rollouts, b"", Direction::Ascending, &mut |key, _| {
        ids.push(name_of(tables, "the rollout", key)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ids)
}
