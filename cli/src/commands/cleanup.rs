//! `cm cleanup [ROLE[,ROLE]] on TARGET`: nodes without what roles put there.

use std::sync::Arc;

use clap::Args;
use cm_engine::{HostCatalog, NodeLedger, OtherFacts, PlanFailure, Planner, catalog_of};
use cm_plan::{FactsBook, LoadOptions, Project, Request, TaskList};
use cm_state::RunMode;
use cm_wire::{Facts, Undo};

use crate::{
    exit::Exit,
    failure::Failure,
    fleet::Fleet,
    options::{Options, RunArguments, WhatOnTarget},
    record,
    take_back::TakeBack,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// `[ROLE[,ROLE]] on TARGET`; without roles, all that `cm` ever put on the hosts.
    #[arg(required = true, value_name = "[ROLES] on TARGET")]
    words: Vec<String>,
    /// Set a variable, stronger than everything else; the value is read as YAML.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Only show what would be taken back.
    #[arg(long)]
    plan: bool,
    /// Do not show diffs of texts.
    #[arg(long)]
    no_diff: bool,
    #[command(flatten)]
    run: RunArguments,
}

/// The `cleanup:` lists of the roles that a node remembers; the rest nodes make themselves.
struct CleanupLists {
    /// The repository; none: it cannot be read, and there are no lists.
    project: Option<Project>,
    /// The roles; empty: all.
    roles: Vec<String>,
    other_facts: bool,
}

impl Planner for CleanupLists {
    fn needs_other_facts(&self) -> bool {
        self.other_facts
    }

    fn needs_ledger(&self) -> bool {
        true
    }

    fn catalog(&self, _: &str, _: &Facts, _: &OtherFacts) -> Result<HostCatalog, PlanFailure> {
        Ok(HostCatalog::default())
    }

    fn catalog_with(
        &self,
        host: &str,
        facts: &Facts,
        others: &OtherFacts,
        ledger: &NodeLedger,
    ) -> Result<HostCatalog, PlanFailure> {
        let remembered = ledger.roles();
        let mut notes: Vec<String> = self
            .roles
            .iter()
            .filter(|role| !remembered.contains(role))
            .map(|role| format!("it remembers nothing of role {role}"))
            .collect();
        let wanted = remembered.into_iter().filter(|role| self.roles.is_empty() || self.roles.contains(role));
        let Some(project) = &self.project else { return Ok(HostCatalog { notes, ..HostCatalog::default() }) };
        let (known, unknown): (Vec<String>, Vec<String>) =
            wanted.partition(|role| project.role(role).is_some());
        notes.extend(unknown.iter().map(|role| {
            format!(
                "role {role} is not in the repository: there is no cleanup list, only what the node remembers"
            )
        }));
        let none = |notes| HostCatalog { notes, ..HostCatalog::default() };
        let Some(id) = project.inventory().host_id(host).filter(|_| !known.is_empty()) else {
            return Ok(none(notes));
        };
        let book = FactsBook::new(others.iter().map(|(name, facts)| (name.clone(), Arc::clone(facts))));
        let settings = project.inventory().settings(id);
        let request = Request {
            roles: Some(&known),
            list: TaskList::Cleanup,
            login: settings.ssh.user.as_ref().map(|user| user.value.as_str()),
            ..Request::default()
        };
        Ok(match project.compile(id, facts, &book, &request) {
            Ok(plan) => HostCatalog { notes, ..catalog_of(plan, false) },
            Err(diagnostics) => {
                let why = diagnostics.iter().next().map_or_else(String::new, |first| first.message.clone());
                notes.push(format!(
                    "the cleanup lists of {} do not compile and are left out: {why}",
                    known.join(", ")
                ));
                none(notes)
            }
        })
    }
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let words = WhatOnTarget::split(&arguments.words);
    let roles = words.names();
    let Some(target) = words.target.clone() else {
        return Err(Failure::new("`cm cleanup` needs a target").hint("cm cleanup [ROLE[,ROLE]] on TARGET"));
    };
    let (fleet, whole) = load(options, arguments, &roles)?;
    let selection = fleet.select(&target, &arguments.run)?;
    let project = whole.then(|| fleet.project.clone());
    let names: Vec<&str> = match roles.as_slice() {
        [] => fleet.project.roles().map(|role| &*role.name).collect(),
        named => named.iter().map(String::as_str).collect(),
    };
    let planner = CleanupLists {
        other_facts: whole && fleet.project.needs_other_facts(names),
        project,
        roles: roles.clone(),
    };
    let take_back = TakeBack {
        command: "cleanup",
        mode: RunMode::Cleanup,
        undo: Undo::Roles(roles.clone()),
        planner: Arc::new(planner),
        target,
        roles,
        command_line: record::command_line(),
        plan_only: arguments.plan,
        diff: !arguments.no_diff,
    };
    take_back.run(options, &fleet, selection, &arguments.run)
}

/// The repository with these roles, or, where it is broken, its hosts alone; whether it is whole.
fn load(options: &Options, arguments: &Arguments, roles: &[String]) -> Result<(Fleet, bool), Failure> {
    let load = LoadOptions { set: arguments.set.clone(), ..LoadOptions::default() };
    let hosts_only = |why: &Failure| {
        let fleet = Fleet::load_with(options, LoadOptions { hosts_only: true, ..LoadOptions::default() })?;
        why.show();
        anstream::eprintln!(
            "warning: because of that, cleanup lists of roles are left out; what nodes remember is taken back"
        );
        Ok((fleet, false))
    };
    let fleet = match Fleet::load_with(options, load.clone()) {
        Ok(fleet) => fleet,
        Err(why @ Failure::Diagnostics(..)) => return hosts_only(&why),
        Err(other) => return Err(other),
    };
    // Roles that ship with the program are read only where they are wanted.
    let shipped: Vec<String> = roles
        .iter()
        .filter(|role| fleet.project.role(role).is_none())
        .filter(|role| fleet.project.role_names().any(|known| known == role.as_str()))
        .cloned()
        .collect();
    for role in roles {
        if fleet.project.role(role).is_none() && !shipped.contains(role) {
            let near = cm_syntax::nearest(role, fleet.project.role_names());
            let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
            anstream::eprintln!("warning: there is no role `{role}` in the repository{near}");
        }
    }
    if shipped.is_empty() {
        return Ok((fleet, true));
    }
    match Fleet::load_with(options, LoadOptions { roles: shipped, ..load }) {
        Ok(fleet) => Ok((fleet, true)),
        Err(why) => hosts_only(&why),
    }
}
