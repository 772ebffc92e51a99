//! Runs catalogs on many hosts and tells what happens as one stream of events.
//!
//! A [`Planner`] makes the catalogs, [`run`] dispatches the hosts, each host has one executor with one
//! connection and one channel, and [`RunEvent`]s go to whoever shows and stores them.

mod agent_program;
mod allowance;
mod bootstrap;
mod bounds;
mod catalog;
mod dispatcher;
mod event;
mod event_channel;
mod executor;
mod facts_pool;
mod ledger;
mod part;
mod project_planner;
mod promise;
pub mod rollout;
mod session;
mod target;
mod verdict;
mod watch;

pub use agent_program::{AgentProgram, AgentPrograms};
pub use bootstrap::Become;
pub use bounds::Excess;
pub use catalog::{HostCatalog, OtherFacts, PlanFailure, Planner, TaskLabel};
pub use dispatcher::{Run, RunOptions, Stop, run};
pub use event::{HostEnd, HostReport, Orphan, RunEvent, Trouble};
pub use event_channel::{EventReceiver, EventSender, event_channel};
pub use ledger::NodeLedger;
pub use part::part_of;
pub use project_planner::{ProjectPlanner, catalog_of};
pub use promise::{Promise, Promises, catalog_digest};
pub use session::AgentError;
pub use target::{HostTarget, Reach, SshReach};
pub use verdict::{Subject, Verdict, VerdictKind, judge};
pub use watch::{WatchEvent, watch};
