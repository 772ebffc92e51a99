//! `cm graph ROLE`: the order of a role's tasks, each edge with its reason.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cm_plan::{FactsBook, LoadOptions, Request, draw};

use crate::{exit::Exit, failure::Failure, fleet::Fleet, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The role, or several (comma separated).
    #[arg(value_delimiter = ',', required = true)]
    roles: Vec<String>,
    /// As which host sees it; otherwise the first host that the role belongs on, or the first of all.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// How to draw it.
    #[arg(long, value_enum, default_value = "dot")]
    format: Format,
    /// Write to a file instead.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Set a variable, stronger than everything else.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Dot,
    Mermaid,
    Svg,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let load =
        LoadOptions { set: arguments.set.clone(), roles: arguments.roles.clone(), ..LoadOptions::default() };
    let fleet = Fleet::load_with(options, load)?;
    let project = &fleet.project;
    let inventory = project.inventory();
    let host = match &arguments.on {
        Some(name) => inventory.host_id(name).ok_or_else(|| {
            let near = inventory.nearest_host(name).map(|near| format!("did you mean `{near}`?"));
            Failure::new(format!("there is no host `{name}` in the inventory")).maybe_hint(near)
        })?,
        None => inventory
            .hosts()
            .map(|(id, _)| id)
            .find(|id| project.roles_of(*id).any(|role| arguments.roles.iter().any(|wanted| wanted == role)))
            .or_else(|| inventory.hosts().next().map(|(id, _)| id))
            .ok_or_else(|| Failure::new("the inventory has no host to draw the graph for"))?,
    };
    let remembered = fleet.remembered_facts();
    let name = inventory.host(host).name();
    // A graph can be drawn before a host was ever reached: then its facts are empty.
    let facts = remembered.get(name).cloned().unwrap_or_default();
    let request = Request { roles: Some(&arguments.roles), ..Request::default() };
    let plan = project
        .compile(host, &facts, &FactsBook::new(remembered), &request)
        .map_err(|diagnostics| Failure::Diagnostics(diagnostics, project.sources().clone()))?;
    let resources: Vec<_> = plan
        .tasks
        .iter()
        .map(|task| {
            cm_modules::registry::compile(&task.module, &task.params).map(|resource| resource.touches().class)
        })
        .collect();
    let tasks: Vec<draw::DrawTask<'_>> = plan
        .tasks
        .iter()
        .zip(&resources)
        .map(|(task, class)| draw::DrawTask {
            id: &task.id,
            role: &task.role,
            class: class.as_ref().copied().unwrap_or(cm_modules::Class::Free),
        })
        .collect();
    let format = match arguments.format {
        Format::Dot => draw::Format::Dot,
        Format::Mermaid => draw::Format::Mermaid,
        Format::Svg => draw::Format::Svg,
    };
    let picture = draw::draw(&plan.graph, &tasks, format);
    match &arguments.output {
        None => report::print(&picture),
        Some(file) => std::fs::write(file, picture)
            .map_err(|error| Failure::because(format!("{} could not be written", file.display()), &error))?,
    }
    Ok(Exit::Ok)
}
