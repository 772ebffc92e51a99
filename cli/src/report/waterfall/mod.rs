//! Where the time of a run went: bars over a common time, for a terminal and as SVG.

mod rows;
mod svg;
mod text;

pub use rows::{of_host, of_hosts};
pub use svg::svg;
pub use text::text;

use cm_state::TaskOutcome;

/// A chart of bars.
#[derive(Debug, PartialEq, Eq)]
pub struct Waterfall {
    /// What it is about, one line.
    pub title: String,
    /// A line for a person about what the bars leave out; empty: nothing.
    pub note: String,
    /// Its rows, in order.
    pub rows: Vec<Row>,
    /// Microseconds from the left edge to the right one.
    pub total: u64,
}

/// One bar.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is: a task's id, a host's name.
    pub label: String,
    /// Its colour.
    pub kind: Kind,
    /// Microseconds from the left edge; none: it did not start.
    pub start: Option<u64>,
    /// Microseconds it took.
    pub took: u64,
    /// What is told beside the time: `3 attempts`; empty: nothing.
    pub remark: String,
}

/// What a bar's colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ok,
    Changed,
    Failed,
    Other,
}

impl Kind {
    /// The word for it in a legend.
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Other => "not done",
        }
    }
}

impl From<TaskOutcome> for Kind {
    fn from(outcome: TaskOutcome) -> Self {
        match outcome {
            TaskOutcome::Ok => Self::Ok,
            TaskOutcome::Changed | TaskOutcome::Unknown => Self::Changed,
            TaskOutcome::Failed => Self::Failed,
            TaskOutcome::Skipped | TaskOutcome::Cancelled => Self::Other,
        }
    }
}

/// A time for a person: `1.25 s`, `340 ms`, `80 µs`.
fn time(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..10_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", microseconds / 1_000),
        1_000_000..60_000_000 => format!("{:.2} s", microseconds as f64 / 1e6),
        _ => format!("{} min {} s", microseconds / 60_000_000, microseconds / 1_000_000 % 60),
    }
}

/// Where the ticks of an axis stand: at most `most` of them, at 1, 2 or 5 times a power of ten microseconds.
fn ticks(total: u64, most: u64) -> Vec<u64> {
    let mut step = 1;
    for factor in [2, 5, 10].iter().cycle().scan(1_u64, |power, &factor| {
        let step = *power * factor;
        if factor == 10 {
            *power = power.saturating_mul(10);
        }
        Some(step)
    }) {
        if total / step < most {
            break;
        }
        step = factor;
    }
    (0..=total / step).map(|number| number * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(0, 5), [0]);
        assert_eq!(ticks(9, 5), [0, 2, 4, 6, 8]);
        assert_eq!(ticks(4_200_000, 6), [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000]);
        for total in [1, 7, 99, 12_345, 98_765_432, u64::MAX / 20] {
            let ticks = ticks(total, 8);
            assert!(ticks.len() <= 8 && !ticks.is_empty(), "{total}: {ticks:?}");
        }
    }

    #[test]
    fn times_have_three_figures_at_most() {
        let told = [7, 1_234, 340_000, 1_250_000, 61_000_000].map(time);
        assert_eq!(told, ["7 µs", "1.2 ms", "340 ms", "1.25 s", "1 min 1 s"]);
    }
}
