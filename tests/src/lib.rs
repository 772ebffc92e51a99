//! The harness of the workspace's own suite over the built program `cm`.
//!
//! Nothing here knows the inside of `cm`: roles are written as the contract has them, `cm` is started as a user
//! starts it, and what became of a host is read from the host itself, past SSH and past `cm`.

mod changes;
pub mod faults;
mod hosts;
mod program;
mod ran;
mod repository;
mod waiting;
mod watched;

pub use changes::{Difference, differences};
pub use hosts::{
    Hosts, cluster_hosts, drifting_hosts, fragile_hosts, hosts, quiet_hosts, rolling_hosts, undoing_hosts,
};
pub use program::{cm, measured, program, skipped};
pub use ran::{Ran, finish};
pub use repository::{Repository, Started};
pub use waiting::eventually;
pub use watched::Watched;
