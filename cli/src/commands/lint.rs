//! `cm lint`: the whole repository is read and checked; no host is needed.

use clap::Args;
use cm_plan::LoadOptions;
use cm_roles::check_scenarios;
use cm_syntax::Diagnostics;

use crate::{
    exit::Exit,
    failure::Failure,
    fleet::{self, Fleet},
    options::Options,
    report,
};

#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// Set a variable as `cm apply` would.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let load = LoadOptions { set: arguments.set.clone(), ..LoadOptions::default() };
    // What is wrong with the scenarios of `cm test` is told with all else, and by no command that goes to hosts.
    let fleet = match Fleet::load_with(options, load) {
        Ok(fleet) => {
            let mut diagnostics = Diagnostics::new();
            check_scenarios(fleet.project.root(), fleet.project.sources(), &mut diagnostics);
            if diagnostics.has_errors() {
                return Err(Failure::Diagnostics(diagnostics, fleet.project.sources().clone()));
            }
            fleet
        }
        Err(Failure::Diagnostics(mut diagnostics, sources)) => {
            check_scenarios(&fleet::root(options)?, &sources, &mut diagnostics);
            return Err(Failure::Diagnostics(diagnostics, sources));
        }
        Err(failure) => return Err(failure),
    };
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
