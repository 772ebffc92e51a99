//! The modules, one file each; `registry.rs` lists them.

mod checksum;
mod fetch;
mod account_name;
pub(crate) mod content;
mod glob;
pub(crate) mod making;
mod ownership;
mod place;
mod presence;
mod text_edit;
#[cfg(test)]
mod trial;
mod walk;

pub mod download;
pub mod authorized_key;
pub mod command;
pub mod directory;
pub mod file;
pub mod group;
pub mod line;
pub mod link;
pub mod package;
pub mod service;
pub mod tree;
pub mod unit;
pub mod user;
pub mod wait;
