//! One thing to tell the user, with its places; and the collection that is shown in one go.

use crate::Span;

/// How bad it is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing can be done until the user mends it.
    Error,
    /// The command goes on.
    Warning,
}

/// A place with a few words about it; the words stand behind the underline and may be empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Label {
    /// What is underlined.
    pub span: Span,
    /// What is said about it.
    pub text: String,
}

/// One thing to tell the user: what, where, why, and what to do.
///
/// ```
/// # use cm_syntax::{Diagnostic, Sources, Span};
/// # let sources = Sources::new();
/// # let file = sources.add("role.yaml", "notfy: nginx\n".into());
/// # let span = Span::new(file, 0, 5);
/// let diagnostic = Diagnostic::error("unknown key `notfy` in task `file:/etc/motd`")
///     .at(span, "not a key of `file` tasks")
///     .hint("did you mean `reloads`?");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one lowercase sentence without a full stop; names stand in backquotes.
    pub message: String,
    /// The place to mend.
    pub primary: Option<Label>,
    /// Other places that matter, such as the first of two.
    pub others: Vec<Label>,
    /// Why, where there is no text to point at: shown as `Caused by:`.
    pub causes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// Starts an error.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// Starts a warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        Self { severity, message, primary: None, others: Vec::new(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Sets the place to mend.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into() });
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label { span, text: text.into() });
        self
    }

    /// Adds a reason.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the hint "did you mean `…`?" when there is a near name.
    #[must_use]
    pub fn did_you_mean(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// What has been found so far; shown all at once with [`Diagnostics::render`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Makes an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds many.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(diagnostics);
    }

    /// Says whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, duplicates included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there is an error, as opposed to warnings alone.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Goes through them in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Gives them without duplicates and in the order they are shown: those without a place first, then by file (in the
    /// order files were read) and position.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut seen = std::collections::HashSet::new();
        let mut sorted: Vec<&Diagnostic> =
            self.0.iter().filter(|diagnostic| seen.insert(*diagnostic)).collect();
        sorted.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| label.span));
        sorted
    }

    /// Counts errors and warnings without duplicates.
    pub fn counts(&self) -> (usize, usize) {
        let all = self.sorted();
        let errors = all.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        (errors, all.len() - errors)
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}
