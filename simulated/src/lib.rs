//! Simulated nodes: SSH servers in processes of their own, one address of 127/8 a node, that start the real agent in
//! a private root. They show what the controller costs with thousands of hosts.
//!
//! What is real: the SSH protocol with key exchange and log-in, the start script, the agent, its looks, its journal.
//! What is not: all nodes share two cores, one kernel and the memory of one machine, so the wall time of a run is that
//! of all agents together. What is measured is therefore the controller's own process: CPU, memory, open files.

mod address;
mod fleet;
mod handshakes;
mod measured;
mod node_root;
mod process;
mod role;
mod scale;
mod serve;
mod server;

pub use address::{PORT, address, name};
pub use fleet::{Fleet, Ground, Hanging};
pub use measured::{Measured, forget_peak, measure};
pub use process::process;
pub use role::TASKS;
pub use scale::{Hung, Point, Scale, hanging, scale};
