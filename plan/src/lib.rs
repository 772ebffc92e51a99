//! What a host is asked for: a repository, read and checked as a whole, and for each host its roles rendered, merged and
//! put in order. Pure: nothing here knows of runs, connections or state, and nothing but the repository's files is read.
//!
//! ```no_run
//! use cm_plan::{FactsBook, LoadOptions, Project, Request};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let facts = cm_wire::Facts::default();
//! let project = match Project::load(std::path::Path::new("."), &LoadOptions::default()) {
//!     Ok(project) => project,
//!     // Render `error.diagnostics` with `error.sources`.
//!     Err(error) => return Err(format!("{} errors", error.diagnostics.len()).into()),
//! };
//! let host = project.inventory().host_id("web1").ok_or("no such host")?;
//! let plan = project.compile(host, &facts, &FactsBook::default(), &Request::default());
//! if let Ok(plan) = plan {
//!     // plan.tasks go over the wire, plan.contents answer what the agent asks for.
//!     assert_eq!(plan.tasks.len(), plan.origins.len());
//! }
//! # Ok(())
//! # }
//! ```

mod compile;
mod content;
pub mod draw;
mod facts;
mod failures;
mod fast_hash;
pub mod graph;
mod project;
mod rollout;
mod rules;
mod scope;
mod secrets;
mod settings;
mod variables;
mod waivers;

pub use cm_roles::{Argument, Expression, Gate, GateKind, RolloutHook, TaskList, judge};
pub use compile::{HostPlan, Request, TaskOrigin};
pub use content::ContentSource;
pub use facts::FactsBook;
pub use failures::gather_failures;
pub use project::{LoadError, LoadOptions, Project};
pub use rollout::{HostValues, RolloutOverrides, RolloutSpec, Written};
pub use rules::{KnownHost, Members};
pub use secrets::{EncryptError, SECRETS_FILE, Secrets, SecretsFileError, decrypt, encrypt, set_secret};
pub use settings::{HistorySettings, SETTINGS_FILE, Settings, SshSettings};
pub use variables::{ShownValue, ShownVariable};
pub use waivers::{Day, WAIVERS_FILE, Waiver, Waivers};
