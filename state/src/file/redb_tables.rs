//! The tables within a redb transaction.

use std::{
    ops::{Bound, ControlFlow},
    path::Path,
};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use crate::{
    StateError,
    tables::{Direction, ReadTables, Table, Visit, WriteTables, prefix_end},
};

use super::explain::explain;

type Bytes = &'static [u8];

/// Keys and values are plain bytes: redb's own encodings of other types may change (5.0 does).
pub(super) const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// The tables of a read transaction.
pub(super) struct ReadView<'t> {
    path: &'t Path,
    /// By number; none: the file is older than the table.
    tables: Vec<Option<ReadOnlyTable<Bytes, Bytes>>>,
}

/// The tables of a write transaction.
pub(super) struct WriteView<'t> {
    path: &'t Path,
    tables: Vec<redb::Table<'t, Bytes, Bytes>>,
}

/// The tables of a file that does not exist: all empty.
pub(super) struct NoTables<'t>(pub(super) &'t Path);

impl<'t> ReadView<'t> {
    pub(super) fn open(path: &'t Path, transaction: &ReadTransaction) -> Result<Self, StateError> {
        let tables = Table::ALL.map(|table| match transaction.open_table(definition(table)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(explain(path, error)),
        });
        Ok(Self { path, tables: tables.into_iter().collect::<Result<_, _>>()? })
    }
}

impl<'t> WriteView<'t> {
    pub(super) fn open(path: &'t Path, transaction: &'t WriteTransaction) -> Result<Self, StateError> {
        let tables = Table::ALL
            .map(|table| transaction.open_table(definition(table)).map_err(|error| explain(path, error)));
        Ok(Self { path, tables: tables.into_iter().collect::<Result<_, _>>()? })
    }
}

fn get(
    path: &Path,
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StateError> {
    let value = table.get(key).map_err(|error| explain(path, error))?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn scan(
    path: &Path,
    table: &impl ReadableTable<Bytes, Bytes>,
    prefix: &[u8],
    direction: Direction,
    visit: &mut Visit<'_>,
) -> Result<(), StateError> {
    let end = prefix_end(prefix);
    let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut range =
        table.range::<&[u8]>((Bound::Included(prefix), upper)).map_err(|error| explain(path, error))?;
    let mut visited = 0_u64;
    loop {
        let next = match direction {
            Direction::Ascending => range.next(),
            Direction::Descending => range.next_back(),
        };
        let Some(entry) = next else { break };
        visited += 1;
        let (key, value) = entry.map_err(|error| explain(path, error))?;
        if !key.value().starts_with(prefix) {
            let detail = format!("the record `{}` is out of order", key.value().escape_ascii());
            return Err(StateError::Damaged { path: path.to_owned(), detail });
        }
        if visit(key.value(), value.value())? == ControlFlow::Break(()) {
            return Ok(());
        }
    }
    // A damaged key high up in the tree hides what lies below it. The tree's own count tells.
    let expected = table.len().map_err(|error| explain(path, error))?;
    if prefix.is_empty() && visited != expected {
        let detail = format!("{visited} of {expected} records of a table are found");
        return Err(StateError::Damaged { path: path.to_owned(), detail });
    }
    Ok(())
}

impl ReadTables for ReadView<'_> {
    fn place(&self) -> &Path {
        self.path
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.tables[table as usize].as_ref().map_or(Ok(None), |table| get(self.path, table, key))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StateError> {
        match &self.tables[table as usize] {
            Some(table) => scan(self.path, table, prefix, direction, visit),
            None => Ok(()),
        }
    }
}

impl ReadTables for WriteView<'_> {
    fn place(&self) -> &Path {
        self.path
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        get(self.path, &self.tables[table as usize], key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StateError> {
        scan(self.path, &self.tables[table as usize], prefix, direction, visit)
    }
}

impl WriteTables for WriteView<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.tables[table as usize].insert(key, value).map_err(|error| explain(self.path, error))?;
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StateError> {
        self.tables[table as usize].remove(key).map_err(|error| explain(self.path, error))?;
        Ok(())
    }

    fn remove_prefix(&mut self, table: Table, prefix: &[u8]) -> Result<(), StateError> {
        let end = prefix_end(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.tables[table as usize]
            .retain_in::<&[u8], _>((Bound::Included(prefix), upper), |_, _| false)
            .map_err(|error| explain(self.path, error))
    }
}

impl ReadTables for NoTables<'_> {
    fn place(&self) -> &Path {
        self.0
    }

    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }

    fn scan(&self, _: Table, _: &[u8], _: Direction, _: &mut Visit<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
