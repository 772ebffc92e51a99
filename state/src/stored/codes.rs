//! The numbers that stand for states in the file. A number is never used again for another
//! meaning; a new one raises [`super::FORMAT`].

use crate::{HostState, Lifecycle, RunMode, RunState, TaskOutcome};

use super::Malformed;

/// An enum that is stored as one byte.
pub(crate) trait Code: Sized + Copy + PartialEq + 'static {
    const WHAT: &'static str;
    const CODES: &'static [(u8, Self)];

    fn code(self) -> u8 {
        // Every value is in the table: a test counts them, and 255 is never read back.
        Self::CODES.iter().find(|(_, value)| *value == self).map_or(u8::MAX, |(code, _)| *code)
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        Self::CODES
            .iter()
            .find(|(known, _)| *known == code)
            .map(|(_, value)| *value)
            .ok_or_else(|| Malformed(format!("{code} is no {}", Self::WHAT)))
    }
}

impl Code for RunMode {
    const WHAT: &'static str = "kind of run";
    const CODES: &'static [(u8, Self)] = &[
        (0, Self::Plan),
        (1, Self::Apply),
        (2, Self::Verify),
        (3, Self::Run),
        (4, Self::Rollback),
        (5, Self::Cleanup),
    ];
}

impl Code for RunState {
    const WHAT: &'static str = "state of a run";
    const CODES: &'static [(u8, Self)] = &[
        (0, Self::Running),
        (1, Self::Ok),
        (2, Self::Changed),
        (3, Self::Failed),
        (4, Self::Interrupted),
        (5, Self::Aborted),
    ];
}

impl Code for HostState {
    const WHAT: &'static str = "state of a host";
    const CODES: &'static [(u8, Self)] = &[
        (0, Self::Ok),
        (1, Self::Changed),
        (2, Self::Failed),
        (3, Self::Unreachable),
        (4, Self::Interrupted),
        (5, Self::Skipped),
        (6, Self::Unfinished),
    ];
}

impl Code for TaskOutcome {
    const WHAT: &'static str = "outcome of a task";
    const CODES: &'static [(u8, Self)] = &[
        (0, Self::Ok),
        (1, Self::Changed),
        (2, Self::Failed),
        (3, Self::Skipped),
        (4, Self::Unknown),
        (5, Self::Cancelled),
    ];
}

impl Code for Lifecycle {
    const WHAT: &'static str = "place in a node's life";
    const CODES: &'static [(u8, Self)] = &[
        (0, Self::Discovered),
        (1, Self::Commissioning),
        (2, Self::Commissioned),
        (3, Self::Cordoned),
        (4, Self::Decommissioning),
        (5, Self::Decommissioned),
    ];
}

#[cfg(test)]
mod tests {
    use super::Code;
    use crate::{HostState, Lifecycle, RunMode, RunState, TaskOutcome};

    fn check<C: Code + std::fmt::Debug>(all: &[C]) {
        assert_eq!(C::CODES.len(), all.len());
        for (position, value) in all.iter().enumerate() {
            assert_eq!(usize::from(value.code()), position, "{value:?}");
            assert_eq!(C::from_code(value.code()).ok(), Some(*value));
        }
        assert!(C::from_code(all.len() as u8).is_err());
    }

    #[test]
    fn every_state_has_its_number_and_comes_back() {
        use Lifecycle::{Commissioned, Commissioning, Cordoned, Decommissioned, Decommissioning, Discovered};
        check(&[
            RunMode::Plan,
            RunMode::Apply,
            RunMode::Verify,
            RunMode::Run,
            RunMode::Rollback,
            RunMode::Cleanup,
        ]);
        check(&[
            RunState::Running,
            RunState::Ok,
            RunState::Changed,
            RunState::Failed,
            RunState::Interrupted,
            RunState::Aborted,
        ]);
        check(&[
            HostState::Ok,
            HostState::Changed,
            HostState::Failed,
            HostState::Unreachable,
            HostState::Interrupted,
            HostState::Skipped,
            HostState::Unfinished,
        ]);
        check(&[
            TaskOutcome::Ok,
            TaskOutcome::Changed,
            TaskOutcome::Failed,
            TaskOutcome::Skipped,
            TaskOutcome::Unknown,
            TaskOutcome::Cancelled,
        ]);
        check(&[Discovered, Commissioning, Commissioned, Cordoned, Decommissioning, Decommissioned]);
    }
}
