//! Packages of this machine.

/// What was read of the package manager's database.
#[derive(Default)]
pub(super) struct PackagesState {}
