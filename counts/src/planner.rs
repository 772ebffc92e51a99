//! The planner: a project read, checked and compiled for each of its hosts.

use cm_plan::{FactsBook, LoadOptions, Project, Request};
use cm_syntax::Style;
use cm_wire::Facts;

use crate::{Failure, project, prove};

const HOSTS: usize = 40;
const TASKS: usize = 200;

/// 40 hosts of 200 tasks.
pub fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    project::write(folder.path(), HOSTS, TASKS)?;
    let project = Project::load(folder.path(), &LoadOptions::default())
        .map_err(|error| error.diagnostics.render(&error.sources, Style::plain()))?;
    let facts = Facts { cpus: 4, ..Facts::default() };
    let mut compiled = 0;
    for (host, _) in project.inventory().hosts() {
        let plan = project.compile(host, &facts, &FactsBook::default(), &Request::default());
        let plan = plan.map_err(|diagnostics| diagnostics.render(project.sources(), Style::plain()))?;
        compiled += plan.tasks.len();
    }
    prove(compiled >= HOSTS * TASKS / 2, "too few tasks were compiled")
}
