//! Accounts of this machine.

/// What was read of passwd(5), group(5) and shadow(5).
#[derive(Default)]
pub(super) struct AccountsState {}
