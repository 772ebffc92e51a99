//! `cm lint`: the whole repository is read and checked; no host is needed.

use clap::Args;
use cm_plan::LoadOptions;

use crate::{exit::Exit, failure::Failure, fleet::Fleet, options::Options, report};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Set a variable as `cm apply` would.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let fleet =
        Fleet::load_with(options, LoadOptions { set: arguments.set.clone(), ..LoadOptions::default() })?;
    let project = &fleet.project;
    let (hosts, groups) = (project.inventory().hosts().len(), project.inventory().groups().len());
    let roles = project.roles().count();
    if options.json {
        let line = serde_json::json!({ "event": "lint", "ok": true, "hosts": hosts, "groups": groups, "roles": roles });
        report::print(&format!("{line}\n"));
    } else if !options.quiet {
        let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        report::print(&format!(
            "all is well: {}, {}, {}\n",
            count(hosts, "host"),
            count(groups, "group"),
            count(roles, "role")
        ));
    }
    Ok(Exit::Ok)
}
