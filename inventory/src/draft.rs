//! What a source of hosts gives: names not yet looked up, nothing merged, every piece with its place.

use cm_syntax::{Node, Span, Spanned};

use crate::remote::Spec;
use crate::settings::Setting;

/// All that one or more sources say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub hosts: Vec<DraftHost>,
    pub groups: Vec<DraftGroup>,
    /// The weakest settings of all hosts.
    pub defaults: Vec<Value>,
    /// Sources that are still to be asked.
    pub sources: Vec<Spec>,
}

#[derive(Clone, Debug)]
pub(crate) struct DraftHost {
    pub name: String,
    /// The name, or the range the name comes from.
    pub span: Span,
    pub address: Option<Spanned<String>>,
    pub values: Vec<Value>,
    /// Not from our own format, which is stricter.
    pub foreign: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct DraftGroup {
    pub name: Spanned<String>,
    /// Names, ranges and globs.
    pub hosts: Vec<Spanned<String>>,
    pub groups: Vec<Spanned<String>>,
    pub order: Vec<Vec<Spanned<String>>>,
    pub roles: Vec<Spanned<String>>,
    pub values: Vec<Value>,
    /// `where`: the hosts that fit belong to it, too.
    pub rule: Option<Node>,
    /// Of groups of others on one level, the one with the higher number wins.
    pub priority: i64,
    /// Not from our own format, which is stricter.
    pub foreign: bool,
}

impl DraftGroup {
    /// A group that says nothing yet.
    pub(crate) fn new(name: Spanned<String>) -> Self {
        Self {
            name,
            hosts: Vec::new(),
            groups: Vec::new(),
            order: Vec::new(),
            roles: Vec::new(),
            values: Vec::new(),
            rule: None,
            priority: 0,
            foreign: false,
        }
    }
}

/// One thing a group or host sets. Variables, settings and arguments of roles follow the same rule of precedence,
/// so they are kept in the same way.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub key: Key,
    /// Where the key stands.
    pub span: Span,
    pub node: Node,
    /// For values of others: who wins before depth is asked, the higher one. None for values of our own format, which win
    /// over all others.
    pub rank: Option<u32>,
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
        Value { key: self.key, span: self.span, node: self.node.clone(), rank: None }
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
