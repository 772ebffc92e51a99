//! The role language: reads `role.yaml` files and their templates, and tells everything that is wrong with them
//! before any host is known.
//!
//! - [`read_roles`] reads all roles of a repository into [`Roles`]; [`World`] says what else the repository names.
//! - [`read_scenarios`] reads what `cm test` does with a role into [`Scenario`]s.
//! - [`template`] is the template language as `cm` sets it up.
//! - [`Task`] is what rendering starts from; its values are [`Argument`]s.
//!
//! What a module takes is known only from its schema: nothing here knows any module by name, but for `service`, which
//! the language itself names (`restarts: nginx`).

mod argument;
mod custom;
mod files;
mod library;
mod literal;
mod param;
mod read;
mod role;
mod rollout;
mod scenario;
mod task;
pub mod template;
pub mod value;

pub use argument::{Argument, Form};
pub use custom::{CustomModules, MODULES};
pub use files::{RoleFile, RoleFiles};
pub use library::{files as shipped_files, names as shipped_names};
pub use param::{Mismatch, ParamType, RoleParam, holds_template};
pub use read::{ROLES, Roles, TESTS, check_scenarios, means, read_roles, read_scenarios, subject_text};
pub use role::{Need, Role, TaskList};
pub use rollout::{Gate, GateKind, OrderSection, RolloutHook, RolloutSection, SpreadSection, judge};
pub use scenario::{Drift, Later, RELEASES, Scenario, ScenarioGroup, ScenarioHost, Setting, Written};
pub use task::{Reference, ReferenceText, RunAs, SERVICE, Target, Task, TaskParam, When};
pub use template::{Expression, Scope, TemplateName, Templates, Text, Uses, World};
