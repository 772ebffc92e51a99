//! One section of the benchmark: a question, and the program that answers it by measuring.

use anyhow::Result;

use crate::{findings::Findings, ground::Ground};

/// A section. It is run by its name, stands on itself, and leaves nothing behind.
pub struct Section {
    /// The word on the command line and the name of its files: `unchanged`.
    pub name: &'static str,
    /// The heading on the page.
    pub title: &'static str,
    /// What is measured against what, and how: Markdown for the page.
    pub about: &'static str,
    /// Whether `--quick` without names runs it. All that do take less than five minutes together.
    pub quick: bool,
    /// Measures. What is told while it goes on is told by [`Ground::say`].
    pub run: fn(&Ground) -> Result<Findings>,
}
