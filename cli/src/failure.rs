//! Why a command did not get to touch a host, told once and in one shape.

use std::{error::Error, fmt};

use cm_syntax::{Diagnostics, Sources, Style};
use owo_colors::OwoColorize;

/// A failure before any host was touched.
pub enum Failure {
    /// Errors in the user's files, with places.
    Diagnostics(Diagnostics, Sources),
    /// Anything else: what, why, what to do.
    Told {
        /// What failed.
        what: String,
        /// Why, outermost first.
        causes: Vec<String>,
        /// What to do.
        hints: Vec<String>,
    },
}

impl Failure {
    /// A failure described by a sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self::Told { what: what.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// A failure with an error behind it.
    pub fn because(what: impl Into<String>, error: &dyn Error) -> Self {
        let mut causes = vec![error.to_string()];
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self::Told { what: what.into(), causes, hints: Vec::new() }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Told { hints, .. } = &mut self {
            hints.push(hint.into());
        }
        self
    }

    /// Adds what to do, where something is known.
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Writes it to standard error.
    pub fn show(&self) {
        anstream::eprint!("{self}");
    }
}

/// How diagnostics look here and now.
pub fn style() -> Style {
    let choice = anstream::AutoStream::choice(&std::io::stderr());
    Style { color: choice != anstream::ColorChoice::Never, ..Style::plain() }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diagnostics(diagnostics, sources) => f.write_str(&diagnostics.render(sources, style())),
            Self::Told { what, causes, hints } => {
                writeln!(f, "{}: {what}", "error".red().bold())?;
                for cause in causes {
                    writeln!(f, "  Caused by: {cause}")?;
                }
                for hint in hints {
                    writeln!(f, "{}: {hint}", "hint".cyan().bold())?;
                }
                Ok(())
            }
        }
    }
}
