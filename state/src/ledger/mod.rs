//! What the operations of a [`crate::Store`] do to the tables. Pure with regard to the place the
//! tables are kept in: every function works within one transaction that its caller opened.

pub(crate) mod audit;
pub(crate) mod nodes;
pub(crate) mod resources;
pub(crate) mod results;
pub(crate) mod retention;
pub(crate) mod rollouts;
pub(crate) mod runs;

use crate::{StateError, tables::ReadTables};

/// A name out of a key.
fn name_of(tables: &dyn ReadTables, what: &str, key: &[u8]) -> Result<String, StateError> {
    String::from_utf8(key.to_vec()).map_err(|_| StateError::Damaged {
        path: tables.place().to_owned(),
        detail: format!("{what} `{}` has a name that is no text", key.escape_ascii()),
    })
}
