//! Inventories of Ansible, read as Ansible reads them: INI, YAML, executable ones, folders of them, and `group_vars/` and
//! `host_vars/` beside.
//!
//! All of it goes into one [`World`], by Ansible's rules of who wins; [`into_draft`] hands that on in the form that our own
//! inventories have. What ansible-core says of the same files is what `tests/ansible.rs` compares with.

pub(crate) mod connection;
pub(crate) mod folder;
pub(crate) mod ini;
pub(crate) mod into_draft;
pub(crate) mod json;
pub(crate) mod pattern;
pub(crate) mod program;
pub(crate) mod python;
pub(crate) mod script;
pub(crate) mod ssh_args;
pub(crate) mod vars_files;
pub(crate) mod words;
pub(crate) mod world;
pub(crate) mod yaml;

pub(crate) use world::World;
