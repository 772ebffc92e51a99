//! The modules, one file each; `registry.rs` lists them.

mod content;
mod making;
mod ownership;
mod walk;

pub mod directory;
pub mod file;
pub mod link;
