//! Units of this machine.

/// What systemd said of units.
#[derive(Default)]
pub(super) struct UnitsState {}
