//! The agent: it receives a node's graph, applies it in parallel, looks again and tells what happened.
//!
//! [`session::serve`] is the whole of it, over any pair of byte streams. Blocking threads, no async runtime:
//! everything a node does is file and process work.

pub mod allocator;
pub mod applied;
mod boot;
pub mod contents;
pub mod guard;
mod inbox;
pub mod install;
pub mod journal;
pub mod lock;
pub mod memory;
pub mod outbox;
mod package_files;
pub mod privacy;
pub mod programs;
pub mod restart;
pub mod runner;
pub mod session;
mod settled;
pub mod standing;
pub mod state_dir;
pub mod traces;
pub mod undo;
pub mod watch;
