//! The modules, one file each; `registry.rs` lists them.

mod account_name;
mod checksum;
pub(crate) mod content;
mod fetch;
mod glob;
pub(crate) mod making;
mod ownership;
mod place;
mod presence;
pub mod repository;
mod scalar;
mod text_edit;
#[cfg(test)]
mod trial;
mod walk;

pub mod authorized_key;
pub mod block;
pub mod command;
pub mod directory;
pub mod download;
pub mod file;
pub mod group;
pub mod ini;
pub mod line;
pub mod link;
pub mod package;
pub mod replace;
pub mod service;
pub mod tree;
pub mod unit;
pub mod user;
pub mod wait;
