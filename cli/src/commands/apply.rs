//! `cm apply`, `cm plan` and `cm verify`: one road, three modes.

use std::sync::Arc;

use clap::Args;
use cm_engine::ProjectPlanner;
use cm_plan::LoadOptions;
use cm_wire::Mode;

use crate::{
    drive,
    exit::Exit,
    failure::{self, Failure},
    fleet::{self, Fleet},
    interrupt::Interrupt,
    names,
    options::{Options, RoleArguments, RunArguments, WhatOnTarget},
    record::{Opening, Recorder},
    report::RunHeader,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `[ROLE[,ROLE]] on TARGET`; without roles, what the hosts' groups say belongs on them. Only verify may
    /// go without a target: then it is about all hosts, or those that the roles belong on.
    #[arg(value_name = "[ROLES] on TARGET")]
    words: Vec<String>,
    #[command(flatten)]
    role: RoleArguments,
    /// Take back what earlier versions of the roles put on the hosts and they no longer want.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    run: RunArguments,
}

pub fn run(options: &Options, arguments: &Arguments, mode: Mode) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let roles = words.names();
    if arguments.prune && (mode == Mode::Verify || !arguments.role.tags.is_empty()) {
        let with = if mode == Mode::Verify { "`cm verify`" } else { "`--tags`" };
        return Err(Failure::new(format!("`--prune` does not go with {with}"))
            .hint("what is orphaned is known only when whole roles are planned or applied"));
    }
    let command = command_word(mode);
    let everywhere = words.target.is_none();
    let target = match (words.target, mode) {
        (Some(target), _) => target,
        // Looking at everything is what one wants of a bare `cm verify`; changing everything is not.
        (None, Mode::Verify) => "all".to_owned(),
        (None, _) => {
            return Err(Failure::new(format!("`cm {command}` needs a target")).hint(format!(
                "cm {command} {}on TARGET, where TARGET is a group, a host or `all`",
                prefix(&roles)
            )));
        }
    };
    let load =
        LoadOptions { set: arguments.role.set.clone(), roles: roles.clone(), ..LoadOptions::default() };
    let fleet = Fleet::load_with(options, load)?;
    let mut selection = fleet.select(&target, &arguments.run)?;
    if everywhere && !roles.is_empty() {
        // `cm verify web` is about the hosts that `web` belongs on, not about all others as well.
        selection.hosts.retain(|&host| {
            fleet.project.roles_of(host).any(|role| roles.iter().any(|wanted| wanted == role))
        });
        if selection.hosts.is_empty() {
            return Err(Failure::new(format!("no group gives its hosts the role `{}`", roles.join(",")))
                .hint(format!("name the hosts: cm {command} {}on TARGET", prefix(&roles))));
        }
    }
    let wanted: Vec<String> = if roles.is_empty() {
        let mut all = Vec::new();
        for &host in &selection.hosts {
            for role in fleet.project.roles_of(host) {
                if !all.iter().any(|known| known == role) {
                    all.push(role.to_owned());
                }
            }
        }
        all
    } else {
        roles.clone()
    };
    if wanted.is_empty() && !selection.hosts.is_empty() {
        return Err(Failure::new(format!("no role belongs on the hosts of `{target}`"))
            .hint("name one: cm apply ROLE on TARGET; or give a group `roles: [..]` in the inventory"));
    }
    let planner = ProjectPlanner {
        other_facts: fleet.project.needs_other_facts(wanted.iter().map(String::as_str)),
        project: fleet.project.clone(),
        roles: (!roles.is_empty()).then(|| roles.clone()),
        tags: arguments.role.tags.clone(),
        orphans: mode != Mode::Verify,
        prune: arguments.prune,
        checks: mode != Mode::Plan,
        style: failure::style(),
        book: std::sync::OnceLock::new(),
    };
    let opening = Opening::new(drive::recorded_mode(mode), target, roles, fleet.addresses(&selection));
    let recorder =
        Recorder::begin(&fleet.state_file(), &names::holder(), opening).map_err(fleet::state_failure)?;
    let diff = !arguments.role.no_diff;
    let header = RunHeader {
        run: recorder.run().to_string(),
        mode,
        command,
        hosts: selection.hosts.len(),
        diff,
        verbosity: options.verbosity(),
    };
    let runtime = drive::runtime()?;
    runtime.block_on(async {
        let mut run = fleet.run(
            selection,
            &arguments.run,
            mode,
            recorder.run().to_string(),
            Some(Arc::new(planner)),
        )?;
        run.options.diff = diff;
        run.options.fail_fast = arguments.role.fail_fast;
        run.options.paranoid = arguments.role.paranoid;
        let interrupt = Interrupt::watch();
        drive::drive(run, drive::reporter(options, header), Some(recorder), interrupt, |_| {}).await
    })
}

fn command_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Plan => "plan",
        Mode::Apply => "apply",
        Mode::Verify => "verify",
    }
}

fn prefix(roles: &[String]) -> String {
    if roles.is_empty() { String::new() } else { format!("{} ", roles.join(",")) }
}
