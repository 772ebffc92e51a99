//! Measures how long it takes to read a repository and to compile many hosts on one core:
//! `cargo run --release -p cm-plan --example compile_speed -- HOSTS TASKS`.

use std::time::Instant;

use cm_plan::{FactsBook, LoadOptions, Project, Request};
use cm_wire::Facts;

// The one that `cargo xtask counts` plans.
#[path = "../../counts/src/project.rs"]
mod project;

#[expect(clippy::print_stdout, reason = "a measurement")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (hosts, tasks) = (arguments.next().unwrap_or(1000), arguments.next().unwrap_or(200));
    let folder = tempfile::tempdir()?;
    project::write(folder.path(), hosts, tasks)?;

    let start = Instant::now();
    let project = Project::load(folder.path(), &LoadOptions::default())
        .map_err(|error| error.diagnostics.render(&error.sources, cm_syntax::Style::plain()))?;
    println!("read and checked: {:?}", start.elapsed());
    let facts = Facts { cpus: 4, ..Facts::default() };
    let start = Instant::now();
    let mut count = 0;
    for (host, _) in project.inventory().hosts() {
        let plan = project.compile(host, &facts, &FactsBook::default(), &Request::default());
        let plan =
            plan.map_err(|diagnostics| diagnostics.render(project.sources(), cm_syntax::Style::plain()))?;
        count += plan.tasks.len();
    }
    let took = start.elapsed();
    println!("{hosts} hosts, {count} tasks: {took:?}, {:?} a task", took / u32::try_from(count)?);
    Ok(())
}
