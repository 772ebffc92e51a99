//! Hosts, groups, variables and their origins, targets: what a repository says about the machines it is for.
//!
//! - [`Inventory::load_from`] reads `inventory.yaml` or the `inventory/` folder and tells all that is wrong in one go.
//! - [`Inventory::variables`], [`Inventory::settings`], [`Inventory::roles_of`] answer for one host, with origins.
//! - [`Inventory::select`] turns a target (`web:!web03`) into hosts; [`Inventory::run_order`] says who waits for whom.
//!
//! Where hosts come from is kept apart from what is made of them: a source gives a `Draft` (our own YAML, Ansible's inventories, commands and
//! HTTP), and `build` checks and links whatever drafts there are. This crate touches no host and never prints.

mod ansible;
mod build;
mod draft;
mod duration;
mod fill;
mod host_set;
mod inventory;
mod layer;
mod load;
mod native;
mod order;
mod range;
mod remote;
mod rules;
mod select;
mod settings;
mod shown;
mod target;
mod variables;

pub use inventory::{AssignedRole, Group, GroupId, Host, HostId, Inventory, RoleArgument};
pub use load::Reading;
pub use order::{Barrier, RunOrder};
pub use remote::GiveSecret;
pub use select::Request;
pub use settings::{Connection, HostKeys, Settings, Ssh, SshConfig};
pub use variables::{Origin, OriginKind, Variable};
