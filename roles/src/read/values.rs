//! Written values to [`Argument`]s: templates compiled, literals checked, files looked up.

use cm_modules::Kind;
use cm_syntax::{Node, Yaml};

use super::RoleReader;
use crate::{
    argument::{Argument, Form},
    literal,
    param::holds_template,
    template::Text,
    value::{from_node, node_to_wire},
};

impl RoleReader<'_> {
    /// Reads a value; `wanted` is what its parameter takes and how that is called in messages.
    pub(super) fn argument(&mut self, node: &Node, wanted: Option<(&Kind, &str)>) -> Argument {
        if !holds_template(node) {
            if let Some((kind, what)) = wanted {
                self.check_literal(node, kind, what);
            }
            return Argument {
                span: node.span,
                form: Form::Literal { wire: node_to_wire(node), value: from_node(node) },
            };
        }
        let form = match &node.value {
            Yaml::List(items) => {
                let inner = match wanted {
                    Some((Kind::List(inner), what)) => Some((*inner, what)),
                    Some((Kind::Any, _)) | None => None,
                    Some((kind, what)) => {
                        self.diagnostics.extend(literal::check(node, kind, what));
                        None
                    }
                };
                Form::List(items.iter().map(|item| self.argument(item, inner)).collect())
            }
            Yaml::Map(entries) => {
                let inner = match wanted {
                    Some((Kind::Map(inner), what)) => Some((*inner, what)),
                    Some((Kind::List(Kind::Map(inner)), what)) => Some((*inner, what)),
                    Some((Kind::Any | Kind::List(Kind::Any), _)) | None => None,
                    Some((kind, what)) => {
                        self.diagnostics.extend(literal::check(node, kind, what));
                        None
                    }
                };
                let entries = entries.iter();
                Form::Map(
                    entries
                        .map(|entry| (entry.key.value.clone(), self.argument(&entry.value, inner)))
                        .collect(),
                )
            }
            _ => {
                let scope = self.scope();
                let (text, uses) = self.templates.add_text(self.name, node, scope, self.diagnostics);
                for name in &uses.templates {
                    if self.files.find("templates", name).is_none() {
                        self.missing_file(name, node.span, "templates");
                    }
                }
                self.uses.extend(&uses);
                match text {
                    Text::Literal => Form::Literal { wire: node_to_wire(node), value: from_node(node) },
                    Text::Template(name) => Form::Template(name),
                    Text::Expression(expression, name) => Form::Expression(expression, name),
                }
            }
        };
        Argument { span: node.span, form }
    }

    fn check_literal(&mut self, node: &Node, kind: &Kind, what: &str) {
        if let Some(diagnostic) = literal::check(node, kind, what) {
            self.diagnostics.push(diagnostic);
            return;
        }
        match (kind, &node.value) {
            (Kind::Template | Kind::Source | Kind::SourceTree, Yaml::Text(name)) => {
                self.check_file(node, kind, name);
            }
            (Kind::List(inner), Yaml::List(items)) => {
                items.iter().for_each(|item| self.check_literal(item, inner, &format!("an item of {what}")));
            }
            (Kind::Map(inner), Yaml::Map(entries)) => {
                for entry in entries {
                    self.check_literal(&entry.value, inner, &format!("`{}` in {what}", entry.key.value));
                }
            }
            _ => {}
        }
    }

    fn check_file(&mut self, node: &Node, kind: &Kind, name: &str) {
        let below = if *kind == Kind::Template { "templates" } else { "files" };
        let name = name.trim_end_matches('/');
        if *kind == Kind::Template {
            self.named_templates.insert(name.to_owned());
        }
        let shipped_folder = *kind == Kind::SourceTree && !self.files.shipped_below(name).is_empty();
        let whole_folder = *kind == Kind::SourceTree && matches!(name, "" | ".");
        if shipped_folder || whole_folder {
            return;
        }
        match self.files.find(below, name) {
            None => self.missing_file(name, node.span, below),
            Some(crate::files::RoleFile::Path(path)) => {
                let (is_folder, wants_folder) = (path.is_dir(), *kind == Kind::SourceTree);
                if is_folder != wants_folder {
                    let (what, hint) = if is_folder {
                        ("a folder", "`- tree: PATH` with `source` copies a folder")
                    } else {
                        ("a file", "`- file: PATH` with `source` copies a file")
                    };
                    let message = format!("`{}/{below}/{name}` is {what}", self.files.shown());
                    self.diagnostics.push(cm_syntax::Diagnostic::error(message).at(node.span, "").hint(hint));
                }
            }
            Some(crate::files::RoleFile::Bytes(_)) => {}
        }
    }
}
