//! The file system of this machine.

/// What the file system part remembers.
#[derive(Default)]
pub(super) struct FilesState {}
