//! What a section found: tables, claims that hold or do not, plots, commands. Kept as JSON, so that a later
//! run of one section leaves what is known of the others.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{plot::Plot, table::Table};

/// All that a section found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Figures, in the order of the page.
    pub tables: Vec<Table>,
    /// What must hold.
    pub claims: Vec<Claim>,
    /// Pictures.
    pub plots: Vec<Plot>,
    /// The command lines that were measured, as one would type them.
    pub commands: Vec<String>,
    /// What a reader must know to judge the figures: Markdown, each a paragraph.
    pub notes: Vec<String>,
    /// Where and when; filled in by the frame.
    #[serde(default)]
    pub taken: Taken,
}

/// Where and when figures were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Processor, cores, memory, kernel.
    pub machine: String,
    /// `2026-11-23 04:30 UTC`
    pub date: String,
    /// The commit, with `+` behind it where the tree had other changes.
    pub commit: String,
    /// Whether it was a quick run, whose figures are only good for a look.
    pub quick: bool,
}

/// What must hold, with the figure that says whether it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed: `wall time, cm / 16 ssh`.
    pub text: String,
    /// The figure; without one it was refused.
    pub measured: Option<f64>,
    /// The figure's bound.
    pub limit: f64,
    /// On which side of `limit` it must be.
    pub bound: Bound,
    /// `×`, `ms`, `KB a host`.
    pub unit: String,
    /// Least and greatest of the single measurements, where there were several.
    #[serde(default)]
    pub spread: Option<(f64, f64)>,
    /// Why there is no figure.
    #[serde(default)]
    pub refused: Option<String>,
}

/// A side of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// No more than the limit.
    AtMost,
    /// No less than the limit.
    AtLeast,
}

impl Claim {
    /// A figure that must be no more than `limit`.
    pub fn at_most(text: impl Into<String>, measured: f64, limit: f64, unit: impl Into<String>) -> Self {
        Self::new(text.into(), Some(measured), limit, Bound::AtMost, unit.into())
    }

    /// A figure that must be no less than `limit`.
    pub fn at_least(text: impl Into<String>, measured: f64, limit: f64, unit: impl Into<String>) -> Self {
        Self::new(text.into(), Some(measured), limit, Bound::AtLeast, unit.into())
    }

    /// A figure that would mean nothing, and why: it does not hold.
    pub fn refused(
        text: impl Into<String>,
        limit: f64,
        unit: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        let claim = Self::new(text.into(), None, limit, Bound::AtMost, unit.into());
        Self { refused: Some(why.into()), ..claim }
    }

    fn new(text: String, measured: Option<f64>, limit: f64, bound: Bound, unit: String) -> Self {
        Self { text, measured, limit, bound, unit, spread: None, refused: None }
    }

    /// The claim with the least and the greatest of the single measurements.
    #[must_use]
    pub fn between(self, spread: (f64, f64)) -> Self {
        Self { spread: Some(spread), ..self }
    }

    /// Whether the figure is on the right side of its limit.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.measured.is_some_and(|measured| match self.bound {
            Bound::AtMost => measured <= self.limit,
            Bound::AtLeast => measured >= self.limit,
        })
    }

    /// `holds` or `DOES NOT HOLD`.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        if self.holds() { "holds" } else { "DOES NOT HOLD" }
    }
}

/// All claims as a table.
#[must_use]
pub fn claims_table(claims: &[Claim]) -> Table {
    let mut table = Table::new("", &["claim", "measured", "limit", ""]);
    for claim in claims {
        let unit = if claim.unit.is_empty() || claim.unit == "×" {
            claim.unit.clone()
        } else {
            format!(" {}", claim.unit)
        };
        let measured = match (claim.measured, claim.spread) {
            (None, _) => format!("refused: {}", claim.refused.as_deref().unwrap_or("no figure")),
            (Some(figure), None) => format!("{}{unit}", number(figure)),
            (Some(figure), Some((least, greatest))) => {
                format!("{}{unit} ({}–{})", number(figure), number(least), number(greatest))
            }
        };
        let sign = match claim.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        let limit = format!("{sign} {}{unit}", number(claim.limit));
        table.row([claim.text.clone(), measured, limit, claim.verdict().to_owned()]);
    }
    table
}

/// A figure with three digits that mean something.
#[must_use]
pub fn number(figure: f64) -> String {
    let size = figure.abs();
    if size >= 100.0 || (size.fract() == 0.0 && size >= 1.0) || size == 0.0 {
        format!("{figure:.0}")
    } else if size >= 10.0 {
        format!("{figure:.1}")
    } else if size >= 0.1 {
        format!("{figure:.2}")
    } else {
        format!("{figure:.4}")
    }
}

/// Where the findings of a section are kept.
#[must_use]
pub fn kept_at(folder: &Path, section: &str) -> PathBuf {
    folder.join(format!("{section}.json"))
}

impl Findings {
    /// Keeps them for later runs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, folder: &Path, section: &str) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = kept_at(folder, section);
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// What an earlier run has kept, if there is something.
    ///
    /// # Errors
    /// The file cannot be read, or an older bench wrote it in another way.
    pub fn kept(folder: &Path, section: &str) -> Result<Option<Self>> {
        let path = kept_at(folder, section);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let findings = serde_json::from_str(&text)
            .with_context(|| format!("{} is not as this bench writes it; remove it", path.display()))?;
        Ok(Some(findings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_on_its_side_of_the_limit_and_never_without_a_figure() {
        assert!(Claim::at_most("a", 1.0, 1.0, "×").holds());
        assert!(!Claim::at_most("a", 1.01, 1.0, "×").holds());
        assert!(Claim::at_least("a", 50.0, 50.0, "×").holds());
        assert!(!Claim::at_least("a", 49.0, 50.0, "×").holds());
        assert_eq!(Claim::refused("a", 1.0, "×", "n01 differs").verdict(), "DOES NOT HOLD");
    }

    #[test]
    fn claims_are_told_with_spread_limit_and_verdict() {
        let table = claims_table(&[
            Claim::at_most("wall", 0.914, 1.0, "×").between((0.85, 1.02)),
            Claim::at_least("faster", 61.5, 50.0, "×"),
            Claim::refused("cpu", 1.0, "×", "n01 differs"),
        ]);
        assert_eq!(
            table.rows,
            [
                ["wall", "0.91× (0.85–1.02)", "≤ 1×", "holds"],
                ["faster", "61.5×", "≥ 50×", "holds"],
                ["cpu", "refused: n01 differs", "≤ 1×", "DOES NOT HOLD"],
            ]
        );
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Findings::kept(folder.path(), "x").unwrap(), None);
        let findings = Findings {
            claims: vec![Claim::at_most("a", 0.5, 1.0, "×").between((0.4, 0.6))],
            commands: vec!["cm apply".into()],
            ..Findings::default()
        };
        findings.keep(folder.path(), "x").unwrap();
        assert_eq!(Findings::kept(folder.path(), "x").unwrap(), Some(findings));
        fs::write(kept_at(folder.path(), "x"), "{").unwrap();
        assert!(Findings::kept(folder.path(), "x").is_err());
    }
}
