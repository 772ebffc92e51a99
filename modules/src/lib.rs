//! What `cm` can manage: one file a module, and the node they look at and change.
//!
//! See [`Resource`] for what a module is and [`registry`] for the list.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests prepare real directories")
)]

mod account_files;
#[cfg(test)]
mod bench;
mod checks;
pub mod custom;
pub mod dbus;
mod encoding;
mod facts;
pub mod former;
mod git_program;
mod home;
pub mod in_order;
mod json;
mod module;
mod mounted;
mod nearest_name;
pub mod node;
mod overlay;
mod param;
mod real;
pub mod registry;
mod schema;
mod sign;
mod swap_value;
mod thing;

mod library;
mod text_diff;
mod unit_name;
mod version_pattern;

pub use facts::gather as gather_facts;
pub use module::{Contents, Context, Doing, Effect, Module, Prefetch, Problem, Resource, Seen};
pub use node::Node;
pub use overlay::{Empty, Overlay};
pub use param::{
    AbsolutePath, FileMode, InlineContent, Int, Kind, Param, SourceContent, SourceFolder, TemplateContent,
    parse_duration,
};
pub use real::Real;
pub use schema::{ParamError, ParamSchema, Params, Schema, is_required, key, read_param, reference};
pub use sign::Sign;
pub use thing::{Class, Thing, Touches};
