//! Where a template's text stands, so that an offset in it becomes a place a person can open.

use std::{ops::Range, sync::Arc};

use cm_syntax::{FileId, Node, Sources, Span};

/// Where a template's text stands.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It is a whole file.
    File(FileId),
    /// It is a part of a YAML string.
    Inline {
        /// The string.
        node: Arc<Node>,
        /// Bytes of the string before the part.
        shift: usize,
    },
}

impl Origin {
    /// The place of a range of the text.
    #[must_use]
    pub fn span(&self, sources: &Sources, range: Range<usize>) -> Span {
        match self {
            // Within u32: sources refuse larger files.
            Self::File(file) => Span::new(*file, range.start as u32, range.end as u32),
            Self::Inline { node, shift } => node.span_within(sources, range.start + shift..range.end + shift),
        }
    }

    /// The place of the whole text.
    #[must_use]
    pub fn whole(&self, sources: &Sources) -> Span {
        match self {
            Self::File(file) => {
                let length = sources.text(*file).lines().next().map_or(0, str::len);
                Span::new(*file, 0, length as u32)
            }
            Self::Inline { node, .. } => node.span,
        }
    }
}
