//! A YAML value that knows where it was written.

use std::ops::Range;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::offsets::span_of_range;
use crate::{Sources, Span, Spanned};

/// A value and the place it was written at.
///
/// An alias (`*name`) and a merged key (`<<`) carry the place of what they stand for.
/// A `Node` serializes as its bare value, so it can be handed to serde_json or minijinja as it is.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value stands: a scalar with its quotes; a block collection from its first to its last child.
    pub span: Span,
    /// The value.
    pub value: Yaml,
    style: ScalarStyle,
    raw: Option<Box<str>>,
}

/// A value by the core schema of YAML 1.2: `yes`, `no`, `on` and `off` are text.
#[derive(Clone, Debug)]
pub enum Yaml {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Decimal, `0o17` or `0xff`. A leading zero does not make it octal; see [`Node::raw`].
    Int(i64),
    /// With a point or an exponent, `.inf`, `.nan`.
    Float(f64),
    /// Anything else, and everything in quotes.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order written; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key as text; numbers and booleans were accepted as they are spelled.
    pub key: Spanned<String>,
    /// The value.
    pub value: Node,
}

/// How a scalar was written.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum ScalarStyle {
    /// Without quotes; also what is not a scalar.
    #[default]
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

impl Node {
    /// Makes a node that was not parsed, such as a computed value; `span` says what it comes from.
    pub fn new(span: Span, value: Yaml) -> Self {
        Self { span, value, style: ScalarStyle::Plain, raw: None }
    }

    pub(crate) fn scalar(span: Span, value: Yaml, style: ScalarStyle, text: &str) -> Self {
        let raw = match value {
            Yaml::Text(_) => None,
            _ => Some(text.into()),
        };
        Self { span, value, style, raw }
    }

    /// The text, if it is one. Numbers and booleans are not text; see [`Node::raw`].
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Yaml::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Yaml::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Yaml::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The number, whole or not, if it is one.
    pub fn as_float(&self) -> Option<f64> {
        match self.value {
            Yaml::Int(value) => Some(value as f64),
            Yaml::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Yaml::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries in the order written, if it is a map.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Yaml::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, if this is a map that has it. Takes time in proportion to the map's size.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    /// Says whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Yaml::Null)
    }

    /// The kind of value with its article, for messages: "a string", "a list".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Int(_) | Yaml::Float(_) => "a number",
            Yaml::Text(_) => "a string",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    /// Kind and, for a short scalar, spelling, for messages: "the string \"yes\"", "the number 0644", "a list".
    pub fn described(&self) -> String {
        const SHORT: usize = 40;
        match (&self.value, self.raw()) {
            (Yaml::Text(text), _) if text.chars().count() <= SHORT => format!("the string {text:?}"),
            (Yaml::Bool(value), _) => format!("the boolean {value}"),
            (Yaml::Int(value), None) => format!("the number {value}"),
            (Yaml::Float(value), None) => format!("the number {value}"),
            (Yaml::Int(_) | Yaml::Float(_), Some(raw)) => format!("the number {raw}"),
            _ => self.kind().to_owned(),
        }
    }

    /// The scalar as it was spelled: `0644` for a number the value of which is 644. None for lists, maps and
    /// values that were not parsed.
    pub fn raw(&self) -> Option<&str> {
        self.raw.as_deref().or_else(|| self.as_text())
    }

    /// How the scalar was written.
    pub fn style(&self) -> ScalarStyle {
        self.style
    }

    /// Says whether the scalar stood in quotes or in a block, so that it is text whatever it looks like.
    pub fn is_quoted(&self) -> bool {
        self.style != ScalarStyle::Plain
    }

    /// Finds where a range (in bytes) of the decoded text stands in the file, through quotes, escapes, folded lines and
    /// block indentation. Gives the whole scalar where that cannot be told.
    pub fn span_within(&self, sources: &Sources, range: Range<usize>) -> Span {
        match (self.as_text(), sources.file(self.span.file)) {
            (Some(text), Some(file)) => {
                span_of_range(&file.text()[file.range(self.span)], self.style, text, range).map_or(
                    self.span,
                    |found| {
                        let offset = |byte: usize| self.span.start + byte as u32;
                        Span::new(self.span.file, offset(found.start), offset(found.end))
                    },
                )
            }
            _ => self.span,
        }
    }

    /// Says whether two values are the same wherever they stand and however they are written; the order of a map's keys
    /// does not count, and 1 is not 1.0.
    pub fn same_value(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Yaml::Null, Yaml::Null) => true,
            (Yaml::Bool(a), Yaml::Bool(b)) => a == b,
            (Yaml::Int(a), Yaml::Int(b)) => a == b,
            (Yaml::Float(a), Yaml::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Yaml::Text(a), Yaml::Text(b)) => a == b,
            (Yaml::List(a), Yaml::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_value(b))
            }
            (Yaml::Map(a), Yaml::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|entry| {
                        other.get(&entry.key.value).is_some_and(|value| entry.value.same_value(value))
                    })
            }
            _ => false,
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Yaml::Null => serializer.serialize_unit(),
            Yaml::Bool(value) => serializer.serialize_bool(*value),
            Yaml::Int(value) => serializer.serialize_i64(*value),
            Yaml::Float(value) => serializer.serialize_f64(*value),
            Yaml::Text(text) => serializer.serialize_str(text),
            Yaml::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Yaml::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for entry in entries {
                    map.serialize_entry(&entry.key.value, &entry.value)?;
                }
                map.end()
            }
        }
    }
}
