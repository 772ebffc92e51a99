//! `--set name=value`: what is typed on the command line, typed as the parameter wants it.

use cm_roles::{ParamType, RoleParam, value::from_node};
use cm_syntax::{Diagnostic, Diagnostics, Node, Sources, Span, Spanned, parse_part};
use minijinja::Value;

/// A value given by `--set`.
#[derive(Clone, Debug)]
pub(crate) struct SetValue {
    /// The value's place.
    pub span: Span,
    text: String,
    /// As YAML; none where it is not.
    node: Option<Node>,
}

impl SetValue {
    /// Reads one `name=value`.
    pub fn parse(
        written: &str,
        sources: &Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Spanned<String>, Self)> {
        let file = sources.add("--set", written.to_owned());
        // Within u32: nobody types that much.
        let at = |start: usize, end: usize| Span::new(file, start as u32, end as u32);
        let Some((name, text)) = written.split_once('=') else {
            diagnostics.push(
                Diagnostic::error("`--set` wants name=value")
                    .at(at(0, written.len()), "there is no `=` here"),
            );
            return None;
        };
        let span = at(name.len() + 1, written.len());
        let node = parse_part(sources, span).ok();
        Some((Spanned::new(name.to_owned(), at(0, name.len())), Self { span, text: text.to_owned(), node }))
    }

    /// The value for a parameter, or for a variable without a type.
    pub fn value(&self, param: Option<&RoleParam>) -> Value {
        let text = || Value::from(self.text.as_str());
        let textual = |kind| matches!(kind, ParamType::Text | ParamType::Path | ParamType::Duration);
        match (param, &self.node) {
            (Some(param), _) if textual(param.kind) => text(),
            (_, Some(node)) => from_node(node),
            (_, None) => text(),
        }
    }
}
