//! A written value with its templates compiled: what a parameter or a variable is before rendering.

use cm_syntax::{Diagnostic, Diagnostics, Node, Span, Yaml};
use cm_wire::Value as Wire;
use minijinja::Value;

use crate::{
    param::holds_template,
    template::{Expression, Scope, TemplateName, Templates, Text, UNDEFINED, Uses},
    value::{from_node, node_to_wire},
};

/// A written value.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub form: Form,
}

/// The forms a written value has.
#[derive(Clone, Debug)]
pub enum Form {
    /// Without any template in it.
    Literal {
        /// For the wire.
        wire: Wire,
        /// For templates; keeps the order of maps.
        value: Value,
    },
    /// Text with templates in it.
    Template(TemplateName),
    /// One expression in braces: its value, or the text it prints where a text is wanted.
    Expression(Expression, TemplateName),
    /// A list with templates in it.
    List(Vec<Argument>),
    /// A map with templates in it.
    Map(Vec<(String, Argument)>),
}

impl Argument {
    /// Compiles a value of no particular kind, such as a variable's; what is wrong with its templates is told.
    /// `owner` is the role whose template files it could include, or another name for what it belongs to.
    pub fn compile(
        owner: &str,
        node: &Node,
        scope: Scope<'_>,
        templates: &mut Templates,
        diagnostics: &mut Diagnostics,
    ) -> (Self, Uses) {
        let mut uses = Uses::default();
        let literal = || Form::Literal { wire: node_to_wire(node), value: from_node(node) };
        if !holds_template(node) {
            return (Self { span: node.span, form: literal() }, uses);
        }
        let mut inner = |node: &Node| {
            let (argument, used) = Self::compile(owner, node, scope, templates, diagnostics);
            uses.extend(&used);
            argument
        };
        let form = match &node.value {
            Yaml::List(items) => Form::List(items.iter().map(inner).collect()),
            Yaml::Map(entries) => Form::Map(
                entries.iter().map(|entry| (entry.key.value.clone(), inner(&entry.value))).collect(),
            ),
            _ => {
                let (text, used) = templates.add_text(owner, node, scope, diagnostics);
                uses.extend(&used);
                match text {
                    Text::Literal => literal(),
                    Text::Template(name) => Form::Template(name),
                    Text::Expression(expression, name) => Form::Expression(expression, name),
                }
            }
        };
        (Self { span: node.span, form }, uses)
    }

    /// Whether it is the same for every host.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.form, Form::Literal { .. })
    }

    /// The value for the wire where it is literal.
    #[must_use]
    pub fn literal(&self) -> Option<&Wire> {
        if let Form::Literal { wire, .. } = &self.form { Some(wire) } else { None }
    }

    /// The text where it is literal text.
    #[must_use]
    pub fn literal_text(&self) -> Option<&str> {
        self.literal().and_then(Wire::as_text)
    }

    /// Whether it prints secrets in another form, so that they cannot be found in what it gives.
    #[must_use]
    pub fn changes_secrets(&self, templates: &Templates) -> bool {
        match &self.form {
            Form::Literal { .. } => false,
            Form::Template(name) | Form::Expression(_, name) => templates.changes_secrets(name),
            Form::List(items) => items.iter().any(|item| item.changes_secrets(templates)),
            Form::Map(entries) => entries.iter().any(|(_, item)| item.changes_secrets(templates)),
        }
    }

    /// The value for templates, each lone expression with its own type.
    ///
    /// # Errors
    /// What went wrong, at its place.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    pub fn evaluate(&self, templates: &Templates, context: &Value) -> Result<Value, Diagnostic> {
        match &self.form {
            Form::Literal { value, .. } => Ok(value.clone()),
            Form::Template(name) => Ok(Value::from(templates.render(name, context.clone())?)),
            Form::Expression(expression, name) => {
                let value = expression.evaluate(context.clone(), templates.sources());
                // What is undefined says more when it is printed.
                match value {
                    Err(error) if error.message == UNDEFINED && templates.contains(name) => {
                        Err(templates.render(name, context.clone()).err().unwrap_or(error))
                    }
                    value => value,
                }
            }
            Form::List(items) => {
                let items: Result<Vec<Value>, _> =
                    items.iter().map(|item| item.evaluate(templates, context)).collect();
                Ok(Value::from(items?))
            }
            Form::Map(entries) => {
                let entries: Result<Vec<(Value, Value)>, _> = entries
                    .iter()
                    .map(|(key, item)| Ok((Value::from(key.as_str()), item.evaluate(templates, context)?)))
                    .collect();
                Ok(Value::from_pairs(entries?))
            }
        }
    }

    /// The text it prints; for what is not text, the value itself is returned instead.
    ///
    /// # Errors
    /// What went wrong, at its place.
    #[expect(clippy::result_large_err, reason = "an error ends the host's compilation")]
    pub fn print(&self, templates: &Templates, context: &Value) -> Result<Result<String, Value>, Diagnostic> {
        match &self.form {
            Form::Template(name) => Ok(Ok(templates.render(name, context.clone())?)),
            Form::Literal { wire: Wire::Text(text), .. } => Ok(Ok(text.clone())),
            Form::Expression(_, name) => {
                use minijinja::value::ValueKind::{Bool, Number, String};
                let value = self.evaluate(templates, context)?;
                match value.kind() {
                    String => Ok(Ok(value.to_string())),
                    Bool | Number => Ok(Ok(templates.render(name, context.clone())?)),
                    _ => Ok(Err(value)),
                }
            }
            _ => Ok(Err(self.evaluate(templates, context)?)),
        }
    }
}
