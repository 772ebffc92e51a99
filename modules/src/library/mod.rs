//! The modules, one file each; `registry.rs` lists them.

mod ownership;

pub mod file;
