//! A parameter's value as it travels: self-describing, so that the codec knows no module.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, bounded};

/// A rendered parameter value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Nothing was given.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(#[serde(deserialize_with = "bounded::nested")] Vec<Value>),
    /// A map with text keys.
    Map(#[serde(deserialize_with = "bounded::nested")] BTreeMap<String, Value>),
    /// A content that the controller holds and the agent asks for by digest when it lacks it.
    Content(ContentRef),
    /// A folder of contents.
    Tree(Vec<TreeEntry>),
}

/// Names a content by digest and size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContentRef {
    /// BLAKE3 of the content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// One entry of a folder to copy; entries are sorted by path, folders before what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path relative to the folder, as bytes: a name need not be UTF-8.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: TreeKind,
}

/// What a tree entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeKind {
    /// A folder.
    Directory,
    /// A regular file; `executable` is whether its owner may execute it at the source.
    File {
        /// Its content.
        content: ContentRef,
        /// Whether the source is executable.
        executable: bool,
    },
    /// A symbolic link to this target (bytes).
    Link(Vec<u8>),
}

impl Value {
    /// What this is, for messages: `a string`, `a list` and so on.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Content(_) => "a content",
            Self::Tree(_) => "a folder",
        }
    }

    /// The text, when it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
