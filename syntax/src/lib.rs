//! What users write, with places: YAML whose every key and value knows where it stands, and the errors that point there.
//!
//! - [`Sources`] keeps the text of every file of one command; a [`Span`] is a range of bytes in one of them.
//! - [`parse()`] turns one file into a [`Node`]; [`MapReader`] reads a map of it strictly (types, unknown keys).
//! - [`Diagnostic`] is one thing to tell the user; [`Diagnostics`] collects them so that all are shown at once.
//!
//! This crate knows nothing of inventories, roles or hosts, and it never prints.

mod diagnostic;
mod map_reader;
mod nearest;
mod node;
mod offsets;
mod parse;
mod render;
mod scalar;
mod scalar_of_ansible;
mod sources;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use map_reader::MapReader;
pub use nearest::nearest;
pub use node::{Entry, Node, ScalarStyle, Yaml};
pub use parse::{parse, parse_collecting, parse_of_ansible, parse_part};
pub use render::Style;
pub use sources::{FileId, Sources, Span, Spanned};
