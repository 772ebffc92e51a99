//! How a node looks: one word, one sign and one pair of colours in every picture. Never the colour alone.

use crate::{Node, NodeState};

use super::text::Tone;

/// What a picture tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    Pending,
    Leaving,
    Applying,
    Gating,
    Held,
    Returning,
    Done,
    Failed,
    RollingBack,
    Restored,
    Unreachable,
    Gone,
}

impl Look {
    /// All of them, in the order of a legend.
    pub(super) const ALL: [Self; 12] = [
        Self::Pending,
        Self::Leaving,
        Self::Applying,
        Self::Gating,
        Self::Held,
        Self::Returning,
        Self::Done,
        Self::Failed,
        Self::RollingBack,
        Self::Restored,
        Self::Unreachable,
        Self::Gone,
    ];

    pub(super) fn of(node: &Node) -> Self {
        match &node.state {
            NodeState::Pending if !node.reachable => Self::Unreachable,
            NodeState::Pending => Self::Pending,
            NodeState::Asking { .. } | NodeState::Before { .. } => Self::Leaving,
            NodeState::Applying => Self::Applying,
            NodeState::Gating(gating) if gating.held => Self::Held,
            NodeState::Gating(_) => Self::Gating,
            NodeState::After { .. } => Self::Returning,
            NodeState::Done => Self::Done,
            NodeState::Failed { .. } => Self::Failed,
            NodeState::RollingBack => Self::RollingBack,
            NodeState::Restored => Self::Restored,
            NodeState::Gone => Self::Gone,
        }
    }

    /// Its word in legends and beside nodes.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leaving => "draining",
            Self::Applying => "applying",
            Self::Gating => "at its gates",
            Self::Held => "gate unclear",
            Self::Returning => "undraining",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::RollingBack => "rolling back",
            Self::Restored => "rolled back",
            Self::Unreachable => "unreachable",
            Self::Gone => "no target any more",
        }
    }

    /// Its sign, one column wide.
    pub(super) fn sign(self) -> char {
        match self {
            Self::Pending => '·',
            Self::Leaving => '▽',
            Self::Applying => '▶',
            Self::Gating => '◔',
            Self::Held => '?',
            Self::Returning => '△',
            Self::Done => '●',
            Self::Failed => '✗',
            Self::RollingBack => '◀',
            Self::Restored => '○',
            Self::Unreachable => '!',
            Self::Gone => '-',
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Pending | Self::Gone => Tone::Dim,
            Self::Leaving | Self::Applying | Self::Gating | Self::Returning | Self::RollingBack => Tone::Busy,
            Self::Held | Self::Unreachable => Tone::Doubt,
            Self::Done => Tone::Good,
            Self::Restored => Tone::Plain,
            Self::Failed => Tone::Bad,
        }
    }

    /// The ground, the outline and the ink of its cell.
    pub(super) fn colors(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Pending => ("#f8fafc", "#cbd5e1", "#64748b"),
            Self::Leaving => ("#e0f2fe", "#7dd3fc", "#075985"),
            Self::Applying => ("#dbeafe", "#3b82f6", "#1e3a8a"),
            Self::Gating => ("#e0e7ff", "#818cf8", "#3730a3"),
            Self::Held => ("#fef3c7", "#f59e0b", "#78350f"),
            Self::Returning => ("#ccfbf1", "#5eead4", "#115e59"),
            Self::Done => ("#dcfce7", "#4ade80", "#14532d"),
            Self::Failed => ("#fee2e2", "#ef4444", "#7f1d1d"),
            Self::RollingBack => ("#f3e8ff", "#c084fc", "#581c87"),
            Self::Restored => ("#faf5ff", "#d8b4fe", "#6b21a8"),
            Self::Unreachable => ("#fff7ed", "#fb923c", "#7c2d12"),
            Self::Gone => ("#ffffff", "#e2e8f0", "#94a3b8"),
        }
    }
}
