//! How a case and its steps went.

use std::time::Duration;

/// The columns of the report, in the order of the steps.
pub const COLUMNS: [&str; 9] =
    ["boot", "before", "plan", "apply", "again", "verify", "later", "drift", "cleanup"];

/// One step that ended.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its column: one of [`COLUMNS`].
    pub column: &'static str,
    /// What it is, where a column has several: `drift: the service is stopped`.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// What went wrong; empty: nothing.
    pub troubles: Vec<String>,
}

/// One case that ended.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The role.
    pub role: String,
    /// The scenario.
    pub scenario: String,
    /// The release.
    pub release: &'static str,
    /// Its steps, in order; after the first failed one comes none.
    pub steps: Vec<Step>,
    /// It was interrupted: nothing is wrong, but not all was seen.
    pub interrupted: bool,
    /// The lab that was kept, its hosts, and the repository.
    pub kept: Option<Kept>,
}

/// Where to look around.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The lab's name.
    pub lab: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The case's repository.
    pub repository: String,
    /// What the role is applied on.
    pub on: String,
}

impl CaseResult {
    /// Whether all went well.
    pub fn is_ok(&self) -> bool {
        !self.interrupted && self.failed().is_none()
    }

    /// The step that failed.
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.troubles.is_empty())
    }

    /// How long all of it took.
    pub fn took(&self) -> Duration {
        self.steps.iter().map(|step| step.took).sum()
    }

    /// Its name: `nginx/tls on debian-12`.
    pub fn name(&self) -> String {
        format!("{}/{} on {}", self.role, self.scenario, self.release)
    }
}
