//! What a role's `verify:` list can ask, one file each; `registry.rs` lists them.
//!
//! A check is a [`Probe`]: one quick look that says what it saw. [`Check`] makes a resource of it, which
//! never changes anything: its "change" is to look again until it holds or its time is out. The `wait`
//! module waits for the same probes.

mod address;
mod http_client;
mod probe;

pub mod command;
pub mod file;
pub mod http;
pub mod port;
pub mod process;
pub mod service;

pub use address::Address;
pub use command::CommandProbe;
pub use file::{FileProbe, FileState};
pub use http::{HttpProbe, Url};
pub use http_client::{Request, Target, download};
pub use port::{PortProbe, PortState, connect};
pub use probe::{Check, Miss, ONE_LOOK, Probe, Seeing, poll, seconds};
