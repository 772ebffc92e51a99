//! The records as callers see them. They derive `Serialize` for `--json`; what is stored is
//! defined apart, in `stored`.

mod audit;
mod controller;
mod host_result;
mod names;
mod node;
mod resource;
mod retention;
mod run;
mod run_id;
mod timestamp;

pub use audit::{AuditEntry, AuditRecord};
pub use controller::{ControllerId, Liveness, UNKNOWN_CONTROLLER_GRACE};
pub use host_result::{
    FailedHosts, HostCounts, HostRecord, HostResult, HostState, HostSummary, QUICK, TaskChange, TaskCounts,
    TaskFilter, TaskOutcome, TaskOutput, TaskResult,
};
pub use names::UnknownName;
pub use node::{Lifecycle, Node, NodeUpdate};
pub use resource::{Digest, LastChange, NodeResources, Resource};
pub use retention::{Compaction, Pruned, Retention};
pub use run::{NewRun, RememberedRun, Restored, RunFinish, RunMode, RunState, RunSummary};
pub use run_id::{ParseRunIdError, RunId};
pub use timestamp::Timestamp;
