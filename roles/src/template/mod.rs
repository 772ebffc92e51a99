//! Templates: minijinja set up strictly, every name checked before any host is touched, every error at its place.

mod check;
mod environment;
mod filters;
mod names;
mod origin;

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use cm_syntax::{Diagnostic, Diagnostics, Node, Sources};
use minijinja::{
    Environment, Error, ErrorKind, Value,
    machinery::{self, ast::Stmt},
};

use check::Checker;
use environment::BASE;
pub use environment::{OMIT, Omit};
pub use names::{Scope, Uses, World};
pub use origin::Origin;

/// All compiled templates of a repository, by name.
///
/// A template file is named `ROLE:FILE`; a template in a value `ROLE:` and a number, so that what it
/// includes is looked for among the files of its role.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    origins: HashMap<Arc<str>, Origin>,
    /// Templates that print secrets in another form.
    changing_secrets: HashSet<Arc<str>>,
    /// What each template includes, by full names.
    includes: HashMap<Arc<str>, Vec<TemplateName>>,
    sources: Sources,
    inline: usize,
}

/// A compiled template in [`Templates`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TemplateName(Arc<str>);

/// One expression; its value keeps its type.
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<minijinja::Expression<'static, 'static>>,
    origin: Origin,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What is told where a template asks for something that is not there.
pub const UNDEFINED: &str = "a template uses something that is not there";

/// What a string of a value is.
#[derive(Clone, Debug)]
pub enum Text {
    /// Just text.
    Literal,
    /// Text with templates in it: a string.
    Template(TemplateName),
    /// `{{ expression }}` and nothing else: whatever it gives.
    Expression(Expression, TemplateName),
}

impl Templates {
    /// Makes an empty set.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let mut environment = BASE.clone();
        environment.set_path_join_callback(|name, parent| {
            let role = parent.split_once(':').map_or("", |(role, _)| role);
            format!("{role}:{name}").into()
        });
        Self {
            environment,
            origins: HashMap::new(),
            changing_secrets: HashSet::new(),
            includes: HashMap::new(),
            sources,
            inline: 0,
        }
    }

    /// The files everything here comes from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The name a template file of a role has here.
    #[must_use]
    pub fn file_name(role: &str, file: &str) -> TemplateName {
        TemplateName(format!("{role}:{file}").into())
    }

    /// Whether there is a template of this name.
    #[must_use]
    pub fn contains(&self, name: &TemplateName) -> bool {
        self.origins.contains_key(&name.0)
    }

    /// Whether a template, or one it includes, prints secrets in another form, so that they cannot be found in the text.
    #[must_use]
    pub fn changes_secrets(&self, name: &TemplateName) -> bool {
        if self.changing_secrets.is_empty() {
            return false;
        }
        let mut reach = vec![name];
        let mut next = 0;
        while next < reach.len() {
            if self.changing_secrets.contains(&reach[next].0) {
                return true;
            }
            for included in self.includes.get(&reach[next].0).into_iter().flatten() {
                if !reach.contains(&included) {
                    reach.push(included);
                }
            }
            next += 1;
        }
        false
    }

    /// Checks and compiles a template file; tells what it uses.
    pub fn add_file(
        &mut self,
        role: &str,
        file: &str,
        origin: Origin,
        text: &str,
        scope: Scope<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Uses {
        let name = Self::file_name(role, file);
        self.add(name, text, origin, scope, diagnostics)
    }

    /// Checks and compiles a string of a value that may be a template.
    pub fn add_text(
        &mut self,
        role: &str,
        node: &Node,
        scope: Scope<'_>,
        diagnostics: &mut Diagnostics,
    ) -> (Text, Uses) {
        let text = node.as_text().unwrap_or_default();
        if !has_template(text) {
            return (Text::Literal, Uses::default());
        }
        let node = Arc::new(node.clone());
        let origin = Origin::Inline { node: node.clone(), shift: 0 };
        self.inline += 1;
        let name = TemplateName(format!("{role}:#{}", self.inline).into());
        let uses = self.add(name.clone(), text, origin, scope, diagnostics);
        // White space around an expression is text, such as the newline at the end of a file's content.
        match lone_expression(text).filter(|_| text == text.trim()) {
            Some(range) if self.contains(&name) => {
                let origin = Origin::Inline { node, shift: range.start };
                let compiled = BASE.compile_expression_owned(text[range].to_owned());
                match compiled {
                    Ok(compiled) => {
                        let expression = Expression { compiled: Arc::new(compiled), origin };
                        (Text::Expression(expression, name), uses)
                    }
                    // It parsed as a template; what is between the braces is an expression.
                    Err(_) => (Text::Template(name), uses),
                }
            }
            _ => (Text::Template(name), uses),
        }
    }

    fn add(
        &mut self,
        name: TemplateName,
        text: &str,
        origin: Origin,
        scope: Scope<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Uses {
        let ast = match machinery::parse(text, &name.0, environment::syntax()) {
            Ok(ast) => ast,
            Err(error) => {
                diagnostics.push(syntax_error(&error, text, &origin, &self.sources));
                return Uses::default();
            }
        };
        let mut checker = Checker::new(text, scope, &origin, &self.sources, diagnostics);
        checker.statement(&ast);
        let uses = checker.uses;
        if let Err(error) = self.environment.add_template_owned(name.0.to_string(), text.to_owned()) {
            diagnostics.push(syntax_error(&error, text, &origin, &self.sources));
        } else {
            if uses.secrets_changed {
                self.changing_secrets.insert(name.0.clone());
            }
            if !uses.templates.is_empty() {
                let role = name.0.split_once(':').map_or("", |(role, _)| role);
                let included = uses.templates.iter().map(|file| Self::file_name(role, file)).collect();
                self.includes.insert(name.0.clone(), included);
            }
            self.origins.insert(name.0, origin);
        }
        uses
    }

    /// Renders a template.
    ///
    /// # Errors
    /// What went wrong, at its place in the template.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    pub fn render(&self, name: &TemplateName, context: Value) -> Result<String, Diagnostic> {
        self.environment
            .get_template(&name.0)
            .and_then(|template| template.render(context))
            .map_err(|error| self.explain(&error, self.origins.get(&name.0)))
    }

    /// Turns a failed rendering into a diagnostic.
    fn explain(&self, error: &Error, fallback: Option<&Origin>) -> Diagnostic {
        // The innermost error that has a place: an error in an included file stands there.
        let mut innermost = error;
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            if let Some(inner) = source.downcast_ref::<Error>()
                && inner.range().is_some()
            {
                innermost = inner;
            }
            next = source.source();
        }
        let origin = innermost.name().and_then(|name| self.origins.get(name)).or(fallback);
        render_error(innermost, origin, &self.sources)
    }
}

impl Expression {
    /// Checks and compiles an expression that stands alone (`when: tls and port > 80`), with or without
    /// braces round it.
    pub fn parse(
        node: &Node,
        scope: Scope<'_>,
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> (Option<Self>, Uses) {
        let text = node.as_text().unwrap_or_default();
        let range = lone_expression(text).unwrap_or(0..text.len());
        let origin = Origin::Inline { node: Arc::new(node.clone()), shift: range.start };
        let source = &text[range];
        let ast = match machinery::parse_expr(source) {
            Ok(ast) => ast,
            Err(error) => {
                let mut diagnostic = syntax_error(&error, source, &origin, sources);
                if has_template(source) {
                    diagnostic = diagnostic
                        .hint("write the whole value as one expression, without braces inside of it");
                }
                diagnostics.push(diagnostic);
                return (None, Uses::default());
            }
        };
        let mut checker = Checker::new(source, scope, &origin, sources, diagnostics);
        checker.expression(&ast);
        let uses = checker.uses;
        match BASE.compile_expression_owned(source.to_owned()) {
            Ok(compiled) => (Some(Self { compiled: Arc::new(compiled), origin }), uses),
            Err(error) => {
                diagnostics.push(syntax_error(&error, source, &origin, sources));
                (None, uses)
            }
        }
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// What went wrong, at its place.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    pub fn evaluate(&self, context: Value, sources: &Sources) -> Result<Value, Diagnostic> {
        match self.compiled.eval(context) {
            Ok(value) if value.is_undefined() => {
                let place = self.origin.whole(sources);
                Err(Diagnostic::error(UNDEFINED).at(place, "undefined"))
            }
            Ok(value) => Ok(value),
            Err(error) => Err(render_error(&error, Some(&self.origin), sources)),
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// Whether a text holds anything for the template engine.
fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The range of the expression where a text is one expression in braces and nothing else.
fn lone_expression(text: &str) -> Option<Range<usize>> {
    let trimmed = text.trim();
    if !trimmed.starts_with("{{") || !trimmed.ends_with("}}") {
        return None;
    }
    let ast = machinery::parse(trimmed, "value", environment::syntax()).ok()?;
    let Stmt::Template(template) = &ast else { return None };
    let [Stmt::EmitExpr(_)] = template.children.as_slice() else { return None };
    let before = text.len() - text.trim_start().len();
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    let start = before + 2 + inner.len() - inner.strip_prefix(['-', '+']).unwrap_or(inner).len();
    let end = before + 2 + inner.strip_suffix(['-', '+']).unwrap_or(inner).len();
    let part = text.get(start..end)?;
    let lead = part.len() - part.trim_start().len();
    Some(start + lead..start + lead + part.trim().len())
}

fn syntax_error(error: &Error, text: &str, origin: &Origin, sources: &Sources) -> Diagnostic {
    let range = error_range(error, text);
    Diagnostic::error("this template cannot be read")
        .at(origin.span(sources, range), error.detail().unwrap_or("a syntax error").to_owned())
}

fn error_range(error: &Error, text: &str) -> Range<usize> {
    if let Some(range) = error.range().filter(|range| range.end <= text.len()) {
        // An error at the very end is shown at the last character.
        return if range.is_empty() { range.start..(range.start + 1).min(text.len()) } else { range };
    }
    let line = error.line().unwrap_or(1).saturating_sub(1);
    let mut start = 0;
    for (number, content) in text.split_inclusive('\n').enumerate() {
        if number == line {
            return start..start + content.trim_end().len();
        }
        start += content.len();
    }
    0..text.len()
}

fn render_error(error: &Error, origin: Option<&Origin>, sources: &Sources) -> Diagnostic {
    let detail = error.detail().map(str::to_owned);
    let mut diagnostic = match error.kind() {
        ErrorKind::UndefinedError => Diagnostic::error(UNDEFINED),
        ErrorKind::OutOfFuel => {
            Diagnostic::error("a template takes too long").hint("does it loop over something huge?")
        }
        _ => Diagnostic::error("a template cannot be rendered"),
    };
    let label = match error.kind() {
        ErrorKind::UndefinedError => detail.unwrap_or_else(|| "undefined".to_owned()),
        kind => detail.unwrap_or_else(|| kind.to_string()),
    };
    match origin {
        Some(origin) => {
            let text = match origin {
                Origin::File(file) => sources.text(*file).to_string(),
                Origin::Inline { node, shift } => {
                    node.as_text().and_then(|text| text.get(*shift..)).unwrap_or_default().to_owned()
                }
            };
            diagnostic = diagnostic.at(origin.span(sources, error_range(error, &text)), label);
        }
        None => diagnostic = diagnostic.caused_by(label),
    }
    let mut next = std::error::Error::source(error);
    let mut told = HashSet::new();
    while let Some(source) = next {
        let text = source.to_string();
        if told.insert(text.clone()) {
            diagnostic = diagnostic.caused_by(text);
        }
        next = source.source();
    }
    diagnostic
}

#[cfg(test)]
mod tests;
