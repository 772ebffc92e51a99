//! What the operations of a [`crate::Store`] do to the tables. Pure with regard to the place the
//! tables are kept in: every function works within one transaction that its caller opened.

pub(crate) mod audit;
pub(crate) mod nodes;
pub(crate) mod remembered;
pub(crate) mod resources;
pub(crate) mod results;
pub(crate) mod retention;
pub(crate) mod rollouts;
pub(crate) mod runs;

use std::ops::ControlFlow;

use crate::{
    StateError,
    stored::{self, Stored},
    tables::{Direction, ReadTables},
};

/// Reads the record under a key, for an answer. Damage may lead a look-up astray, so that one
/// is not there is believed only after going over the whole table.
fn look_up<R: Stored>(tables: &dyn ReadTables, key: &[u8]) -> Result<Option<R>, StateError> {
    let found = stored::get(tables, key)?;
    if found.is_none() {
        tables.scan(R::TABLE, b"", Direction::Ascending, &mut |other, _| {
            if other == key {
                let malformed = stored::Malformed("it is there, but not found where it should be".to_owned());
                return Err(malformed.at(tables, R::WHAT, key));
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(found)
}

/// A name out of a key.
fn name_of(tables: &dyn ReadTables, what: &str, key: &[u8]) -> Result<String, StateError> {
    String::from_utf8(key.to_vec()).map_err(|_| StateError::Damaged {
        path: tables.place().to_owned(),
        detail: format!("{what} `{}` has a name that is no text", key.escape_ascii()),
    })
}
