//! Watches a node for drift without polling (`cm verify --watch`).
//!
//! A session that is asked to watch looks at everything once and then sleeps in one poll(2) over what the kernel
//! and systemd tell: inotify for paths, the bus for units, /proc for mounts, swap areas and the host's name. What
//! an event concerns is looked at again, after a pause in which events gather, and only a verdict that changed is
//! told. Nothing is done on time but to notice a controller that has gone, and the rare look at everything.

mod bell;
mod bus;
mod holder;
mod pace;
mod paths;
mod subjects;
mod tables;
mod verdicts;
mod watcher;

pub use bell::Bell;
pub use watcher::Watcher;
