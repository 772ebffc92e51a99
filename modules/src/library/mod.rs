//! The modules, one file each; `registry.rs` lists them.

mod account_name;
mod checksum;
pub(crate) mod content;
mod fetch;
mod fstab;
mod glob;
pub(crate) mod making;
mod own_file;
mod ownership;
mod place;
mod presence;
pub mod repository;
mod scalar;
mod text_edit;
#[cfg(test)]
pub(crate) mod trial;
mod walk;

pub mod alternatives;
pub mod authorized_key;
pub mod block;
pub mod command;
pub mod debconf;
pub mod directory;
pub mod download;
pub mod file;
pub mod group;
pub mod hostname;
pub mod ini;
pub mod kernel_module;
pub mod line;
pub mod link;
pub mod mount;
pub mod package;
pub mod replace;
pub mod service;
pub mod swap;
pub mod timezone;
pub mod tree;
pub mod unit;
pub mod user;
pub mod wait;
