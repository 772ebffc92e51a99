//! Commands of this machine.

/// What running commands needs to remember.
#[derive(Default)]
pub(super) struct CommandsState {}
