//! What an error of the database library means to a person.

use std::{io, path::Path};

use crate::StateError;

/// The state's error for one of the library.
pub(super) fn explain(path: &Path, error: impl Into<redb::Error>) -> StateError {
    let path = path.to_owned();
    match error.into() {
        redb::Error::Io(source) => match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StateError::NoSpace { path, source }
            }
            // redb reads only where its own structures point to.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                StateError::Damaged { path, detail: source.to_string() }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StateError::Denied { path, action: "write", source }
            }
            _ => StateError::Io { path, source },
        },
        redb::Error::Corrupted(detail) => StateError::Damaged { path, detail },
        redb::Error::UpgradeRequired(format) => StateError::Foreign {
            path,
            found: format!("is a redb database in the outdated format {format}, which cm never wrote"),
        },
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }) => {
            StateError::Foreign { path, found: format!("is a redb database with other contents ({error})") }
        }
        error => StateError::Engine { path, detail: error.to_string() },
    }
}
