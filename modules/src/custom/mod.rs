//! Modules of the user's repository: a program that is sent by digest, asked on its standard input and answers on
//! its standard output, both JSON. docs/custom-modules.md is the protocol.
//!
//! A task of such a module carries its module's [`Declaration`] among its parameters, so that controller and
//! agent make the same resource of it, and nothing foreign runs before the node's own look.

mod answer;
mod ask;
mod declaration;
mod pattern;
mod task;

pub use answer::{Answer, Refused, Verb, read_answer};
pub use ask::Call;
pub(crate) use ask::{Asking, ask};
pub use declaration::{Custom, Declaration, Undo};
pub use pattern::Pattern;
pub(crate) use task::{compile, is_custom};

/// The version of the protocol between the agent and a module's program.
pub const PROTOCOL: i64 = 1;
