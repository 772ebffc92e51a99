//! Throw-away real Debian hosts on this machine: systemd and sshd in systemd-nspawn, booted in seconds.
//!
//! A lab is a bridge with its own subnet and a handful of hosts on it. Each host is an overlay over a
//! cached image, boots its own systemd, and is reached by SSH as any other host is. Hosts can be cut
//! from the network, frozen, killed like by a power cut, and started again.
//!
//! The library never prints and never touches what it did not make: everything a lab owns bears a name
//! derived from its number, and the number is recorded before the first thing is made, so that a lab
//! left behind by a killed run is found and removed.
//!
//! ```no_run
//! # fn main() -> Result<(), cm_lab::LabError> {
//! let spec = cm_lab::LabSpec::numbered("demo", 3, cm_lab::Release::Debian12, "/tmp/demo");
//! let lab = cm_lab::up(&spec, &mut |_progress| {})?;
//! let answer = lab.exec("web1", &["hostname"])?;
//! assert_eq!(answer.stdout, b"web1\n");
//! lab.down()?;
//! # Ok(())
//! # }
//! ```

mod apt_access;
mod boot;
mod cgroup;
mod command;
mod delay;
mod error;
mod files;
mod host;
mod host_root;
mod image;
mod inventory_file;
mod keys;
mod lab;
mod machine_settings;
mod mounts;
mod network;
mod packages;
mod process;
mod progress;
mod record;
mod requirements;
#[cfg(test)]
mod skipped;
mod spec;
mod teardown;
mod up;
mod whole_host;

pub use command::CommandError;
pub use error::LabError;
pub use host::{HostState, HostStatus};
pub use image::{IMAGE_CACHE, build_image, image_tree};
pub use lab::{Lab, LabState, find, list};
pub use progress::Progress;
pub use requirements::{Missing, MissingTool, requirements};
pub use spec::{HostSpec, LabSpec, PackageSource, Release, Storage};
pub use teardown::{Removed, down, down_all, down_left_behind};
pub use up::up;
pub use whole_host::WholeHost;
