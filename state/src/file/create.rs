//! Making the file, so that nobody ever sees half of it.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use crate::StateError;

use super::{
    backend::{InOrder, builder, storage},
    explain::explain,
    format,
};

/// A half-made file that is older than this belongs to nobody any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Makes the file, and its folder where that is missing. That another process was quicker is
/// fine.
pub(super) fn create(path: &Path) -> Result<(), StateError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StateError::NoSpace { path: path.to_owned(), source }
        }
        _ => StateError::Create { path: path.to_owned(), source },
    };
    let folder = folder(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
    sweep(path);
    let draft = draft_name(path, &format!("{}-{:x}", std::process::id(), RandomState::new().hash_one(path)));
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(refused)?;
    let made = fill(path, file)
        .and_then(|()| publish(&draft, path).map_err(refused))
        .and_then(|()| File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused));
    // Gone already, unless something failed or another process was quicker.
    let _ = fs::remove_file(&draft);
    made
}

fn fill(path: &Path, file: File) -> Result<(), StateError> {
    let in_order = InOrder::new(true.into());
    let database = builder()
        .create_with_backend(storage(path, file, &in_order)?)
        .map_err(|error| explain(path, error))?;
    let mut transaction = database.begin_write().map_err(|error| explain(path, error))?;
    transaction.set_quick_repair(true);
    format::initialize(path, &transaction)?;
    transaction.commit().map_err(|error| explain(path, error))?;
    database.close().map_err(|error| explain(path, error))
}

/// Gives the draft its name, unless there is such a file.
fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    let published = match rustix::fs::renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems (NFS among them) know no such rename, but all that matter know links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(draft, path),
        renamed => renamed.map_err(io::Error::from),
    };
    match published {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        published => published,
    }
}

/// Removes what killed processes left half-made. Failing at that harms nobody.
fn sweep(path: &Path) {
    let prefix = draft_name(path, "");
    let Ok(entries) = fs::read_dir(folder(path)) else { return };
    for entry in entries.flatten() {
        let is_draft = prefix.file_name().is_some_and(|prefix| {
            entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
        });
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if is_draft && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn draft_name(path: &Path, unique: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new-");
    name.push(unique);
    path.with_file_name(name)
}
