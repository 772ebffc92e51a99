//! Tables in memory, for tests of whoever uses a [`crate::Store`].

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{
    StateError,
    tables::{Direction, ReadTables, Table, Transact, Visit, WriteTables, prefix_end},
};

type Maps = [BTreeMap<Vec<u8>, Vec<u8>>; Table::ALL.len()];

/// A store that forgets everything when dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<View>);

#[derive(Clone, Debug, Default)]
struct View(Maps);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ReadTables for View {
    fn place(&self) -> &Path {
        Path::new("(memory)")
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0[table as usize].get(key).cloned())
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StateError> {
        let end = prefix_end(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.0[table as usize].range::<[u8], _>((Bound::Included(prefix), upper));
        loop {
            let next = match direction {
                Direction::Ascending => range.next(),
                Direction::Descending => range.next_back(),
            };
            let Some((key, value)) = next else { return Ok(()) };
            if visit(key, value)? == ControlFlow::Break(()) {
                return Ok(());
            }
        }
    }
}

impl WriteTables for View {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.0[table as usize].insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StateError> {
        self.0[table as usize].remove(key);
        Ok(())
    }

    fn remove_prefix(&mut self, table: Table, prefix: &[u8]) -> Result<(), StateError> {
        self.0[table as usize].retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }
}

impl Transact for MemoryStore {
    fn read<R>(&self, body: impl FnOnce(&dyn ReadTables) -> Result<R, StateError>) -> Result<R, StateError> {
        // A view is only replaced whole, so one that a panic left behind is consistent.
        body(&*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(
        &self,
        body: impl FnOnce(&mut dyn WriteTables) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = current.clone();
        let result = body(&mut changed)?;
        *current = changed;
        Ok(result)
    }

    fn compact_storage(&self) -> Result<(u64, u64), StateError> {
        let view = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = view.0.iter().flatten().map(|(key, value)| key.len() + value.len()).sum::<usize>() as u64;
        Ok((size, size))
    }
}
