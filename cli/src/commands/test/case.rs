//! What is tested: one scenario on one release.

use cm_lab::Release;
use cm_roles::{Scenario, read_scenarios};
use cm_syntax::{Diagnostics, Sources};

use super::folder::Workplace;
use crate::failure::Failure;

/// One scenario on one release.
#[derive(Debug)]
pub struct Case {
    /// What happens.
    pub scenario: Scenario,
    /// Where.
    pub release: Release,
}

/// All cases of these roles, checked before any host is made.
pub fn all(
    workplace: &Workplace,
    roles: &[String],
    only: &[String],
    matrix: &[Release],
) -> Result<Vec<Case>, Failure> {
    let sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let mut scenarios = Vec::new();
    for role in roles {
        scenarios.extend(read_scenarios(workplace.root(), role, &sources, &mut diagnostics));
    }
    if diagnostics.has_errors() {
        return Err(Failure::Diagnostics(diagnostics, sources));
    }
    for name in only {
        if !scenarios.iter().any(|scenario| scenario.name == *name) {
            let known = scenarios.iter().map(|scenario| scenario.name.as_str());
            let near = cm_syntax::nearest(name, known).map(|near| format!("did you mean `{near}`?"));
            return Err(Failure::new(format!("no role has the scenario `{name}`")).maybe_hint(near));
        }
    }
    let mut cases = Vec::new();
    for scenario in scenarios {
        if !only.is_empty() && !only.contains(&scenario.name) {
            continue;
        }
        for &release in matrix.iter().filter(|release| scenario.is_for(release.name())) {
            cases.push(Case { scenario: scenario.clone(), release });
        }
    }
    Ok(cases)
}
