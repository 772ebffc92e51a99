//! How the program ends: the one place that maps what happened to exit codes.

use cm_wire::Mode;

use crate::report::Summary;

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All as wanted.
    Ok = 0,
    /// The user's input or the program failed before any host was touched.
    Input = 1,
    /// Changes pending or drift.
    Differs = 2,
    /// A task or a gate failed.
    Failed = 3,
    /// A host could not be reached.
    Unreachable = 4,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// The code of a run.
    pub fn of(summary: &Summary, mode: Mode, interrupted: bool) -> Self {
        let hosts = summary.hosts;
        let invalid = summary
            .troubles
            .iter()
            .filter(|trouble| trouble.kind == crate::report::TroubleKind::Invalid)
            .count();
        if interrupted {
            Self::Interrupted
        } else if hosts.unreachable > 0 {
            Self::Unreachable
        } else if invalid > 0 && summary.touched == 0 {
            Self::Input
        } else if hosts.failed > 0 || hosts.cancelled > 0 {
            Self::Failed
        } else if mode != Mode::Apply && hosts.changed > 0 {
            Self::Differs
        } else {
            Self::Ok
        }
    }
}
