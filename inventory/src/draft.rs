//! What a source of hosts gives: names not yet looked up, nothing merged, every piece with its place.

use cm_syntax::{Node, Span, Spanned};

use crate::settings::Setting;

/// All that one or more sources say.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub hosts: Vec<DraftHost>,
    pub groups: Vec<DraftGroup>,
    /// The weakest settings of all hosts.
    pub defaults: Vec<Value>,
}

#[derive(Debug)]
pub(crate) struct DraftHost {
    pub name: String,
    /// The name, or the range the name comes from.
    pub span: Span,
    pub address: Option<Spanned<String>>,
    pub values: Vec<Value>,
}

#[derive(Debug)]
pub(crate) struct DraftGroup {
    pub name: Spanned<String>,
    /// Names, ranges and globs.
    pub hosts: Vec<Spanned<String>>,
    pub groups: Vec<Spanned<String>>,
    pub order: Vec<Vec<Spanned<String>>>,
    pub roles: Vec<Spanned<String>>,
    pub values: Vec<Value>,
}

/// One thing a group or host sets. Variables, settings and arguments of roles follow the same rule of precedence,
/// so they are kept in the same way.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub key: Key,
    /// Where the key stands.
    pub span: Span,
    pub node: Node,
}

/// A [`Value`] as it stands in the file, before templates of ranges are filled in.
#[derive(Clone, Debug)]
pub(crate) struct Written<'a> {
    pub key: Key,
    /// Where the key stands.
    pub span: Span,
    pub node: &'a Node,
}

impl Written<'_> {
    /// Takes the value as it is.
    pub(crate) fn own(self) -> Value {
        Value { key: self.key, span: self.span, node: self.node.clone() }
    }
}

/// What is set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Key {
    Variable(String),
    Setting(Setting),
    /// `roles: [{role: …, with: {…}}]`
    With {
        role: String,
        name: String,
    },
}

impl Key {
    /// How messages call it.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Variable(name) => format!("`{name}`"),
            Self::Setting(setting) => format!("`{}`", setting.name()),
            Self::With { role, name } => format!("`{name}` of role `{role}`"),
        }
    }
}
