//! Whether a redb file is ours, and of a format this program knows.

use std::path::Path;

use redb::{ReadTransaction, TableDefinition, TableError, TableHandle, WriteTransaction};

use crate::{StateError, stored::FORMAT, tables::Table};

use super::{explain::explain, redb_tables::definition};

/// Where the format's number stands, as four bytes, little-endian. This never changes.
const FORMAT_KEY: &[u8] = b"format";
const META: TableDefinition<'static, &'static [u8], &'static [u8]> = definition(Table::Meta);

/// Refuses files that are not ours, or newer than this program.
pub(super) fn check(path: &Path, transaction: &ReadTransaction) -> Result<(), StateError> {
    let names = || -> Result<Vec<String>, StateError> {
        let tables = transaction.list_tables().map_err(|error| explain(path, error))?;
        Ok(tables.map(|table| table.name().to_owned()).collect())
    };
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Err(foreign(path, &names()?)),
        Err(error) => return Err(explain(path, error)),
    };
    let value = redb::ReadableTable::get(&meta, FORMAT_KEY).map_err(|error| explain(path, error))?;
    judge(path, value.as_ref().map(redb::AccessGuard::value)).map(|_| ())
}

/// The same for a file about to be written, whose number is raised when it is older.
pub(super) fn check_and_raise(path: &Path, transaction: &WriteTransaction) -> Result<(), StateError> {
    let mut names = transaction
        .list_tables()
        .map_err(|error| explain(path, error))?
        .map(|table| table.name().to_owned())
        .collect::<Vec<_>>();
    names.sort();
    // Opening a table to write makes it: ask first.
    if !names.iter().any(|name| name == Table::Meta.name()) {
        return Err(foreign(path, &names));
    }
    let mut meta = transaction.open_table(META).map_err(|error| explain(path, error))?;
    let found = {
        let value = redb::ReadableTable::get(&meta, FORMAT_KEY).map_err(|error| explain(path, error))?;
        judge(path, value.as_ref().map(redb::AccessGuard::value))?
    };
    if found < FORMAT {
        meta.insert(FORMAT_KEY, &FORMAT.to_le_bytes()[..]).map_err(|error| explain(path, error))?;
    }
    Ok(())
}

/// Makes an empty database ours: all tables, and the format's number.
pub(super) fn initialize(path: &Path, transaction: &WriteTransaction) -> Result<(), StateError> {
    for table in Table::ALL {
        let mut opened = transaction.open_table(definition(table)).map_err(|error| explain(path, error))?;
        if table == Table::Meta {
            opened.insert(FORMAT_KEY, &FORMAT.to_le_bytes()[..]).map_err(|error| explain(path, error))?;
        }
    }
    Ok(())
}

fn judge(path: &Path, value: Option<&[u8]>) -> Result<u32, StateError> {
    let found = value.and_then(|value| value.try_into().ok()).map(u32::from_le_bytes);
    match found {
        Some(found @ 1..=FORMAT) => Ok(found),
        Some(found) if found > FORMAT => {
            Err(StateError::Newer { path: path.to_owned(), found, supported: FORMAT })
        }
        _ => Err(StateError::Damaged {
            path: path.to_owned(),
            detail: "it does not say its format".to_owned(),
        }),
    }
}

fn foreign(path: &Path, tables: &[String]) -> StateError {
    let found = if tables.is_empty() {
        "is a redb database without any table".to_owned()
    } else {
        format!("is a redb database of another program (its tables: {})", tables.join(", "))
    };
    StateError::Foreign { path: path.to_owned(), found }
}
