//! Rows and claims that the sections on one lab have in common.

use crate::{
    findings::Claim,
    measure::{Cost, Ratio, typical},
    table::Table,
};

/// A table of costs.
pub fn costs(caption: &str) -> Table {
    Table::new(caption, &["what", "wall, median", "controller CPU, median", "peak memory of a process"])
}

/// A row of [`costs`].
pub fn cost_row(table: &mut Table, what: &str, costs: &[Cost]) {
    let Cost { wall, cpu, peak_kib } = typical(costs);
    let milliseconds = |time: std::time::Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    #[expect(clippy::cast_precision_loss, reason = "far below the bits of an f64")]
    let peak = format!("{:.1} MiB", peak_kib as f64 / 1024.0);
    table.row([what.to_owned(), milliseconds(wall), milliseconds(cpu), peak]);
}

/// The claim that a ratio is no more than a limit.
pub fn ratio_claim(text: &str, ratio: Ratio, limit: f64) -> Claim {
    Claim::at_most(text, ratio.median, limit, "×").between(ratio.spread)
}
