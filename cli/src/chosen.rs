//! What `apply`, `plan` and `verify` are about: roles and hosts, as chosen by `[ROLES] on TARGET`.

use std::sync::OnceLock;

use cm_engine::ProjectPlanner;
use cm_plan::{LoadOptions, RolloutOverrides, RolloutSpec};

use crate::{
    failure::{self, Failure},
    fleet::{Fleet, Selection},
    options::{Options, RoleArguments, RunArguments, WhatOnTarget},
};

/// The words of the command line, and what they mean to the command.
pub struct Asked<'a> {
    /// The command's name, for messages.
    pub command: &'static str,
    /// `[ROLES] on TARGET`.
    pub words: &'a [String],
    /// How roles are read.
    pub role: &'a RoleArguments,
    /// Which hosts, further.
    pub run: &'a RunArguments,
    /// Whether all hosts are meant where no target is named: looking at everything is what one wants of a bare
    /// command, changing everything is not.
    pub everywhere: bool,
}

/// A checked repository, and which of its roles and hosts a command is about.
pub struct Chosen {
    /// The repository.
    pub fleet: Fleet,
    /// The hosts.
    pub selection: Selection,
    /// The target as given; `all` where none was.
    pub target: String,
    /// The roles as given; none: those that each host's groups assign.
    pub roles: Vec<String>,
    /// All roles that any of the hosts may get.
    wanted: Vec<String>,
}

impl Asked<'_> {
    /// Reads the repository and chooses.
    ///
    /// # Errors
    /// When the repository is wrong, or the words mean no host or no role.
    pub fn choose(&self, options: &Options) -> Result<Chosen, Failure> {
        let words = WhatOnTarget::split(self.words);
        let roles = words.names();
        let named = words.target.is_some();
        let target = match words.target {
            Some(target) => target,
            None if self.everywhere => "all".to_owned(),
            None => {
                return Err(Failure::new(format!("`cm {}` needs a target", self.command)).hint(format!(
                    "cm {} {}on TARGET, where TARGET is a group, a host or `all`",
                    self.command,
                    prefix(&roles)
                )));
            }
        };
        let load = LoadOptions { set: self.role.set.clone(), roles: roles.clone(), ..LoadOptions::default() };
        let fleet = Fleet::load_with(options, load)?;
        let fleet = fleet.resolve(options, &target, self.run)?;
        let mut selection = fleet.select(&target, self.run)?;
        if !named && !roles.is_empty() {
            // `cm verify web` is about the hosts that `web` belongs on, not about all others as well.
            selection.hosts.retain(|&host| {
                fleet.project.roles_of(host).any(|role| roles.iter().any(|wanted| wanted == role))
            });
            if selection.hosts.is_empty() {
                return Err(Failure::new(format!("no group gives its hosts the role `{}`", roles.join(",")))
                    .hint(format!("name the hosts: cm {} {}on TARGET", self.command, prefix(&roles))));
            }
        }
        let wanted = if roles.is_empty() { roles_of(&fleet, &selection) } else { roles.clone() };
        if wanted.is_empty() && !selection.hosts.is_empty() {
            return Err(Failure::new(format!("no role belongs on the hosts of `{target}`"))
                .hint("name one: cm apply ROLE on TARGET; or give a group `roles: [..]` in the inventory"));
        }
        Ok(Chosen { fleet, selection, target, roles, wanted })
    }
}

impl Chosen {
    /// How its roles are rolled out.
    ///
    /// # Errors
    /// Where the roles disagree, or the command line is wrong.
    pub fn rollout(&self, overrides: &RolloutOverrides) -> Result<RolloutSpec, Failure> {
        let project = &self.fleet.project;
        project
            .rollout(&self.wanted, overrides)
            .map_err(|diagnostics| Failure::Diagnostics(diagnostics, project.sources().clone()))
    }

    /// What compiles the roles for each host; checks, orphans and pruning as the command wants them.
    #[must_use]
    pub fn planner(&self, role: &RoleArguments) -> ProjectPlanner {
        let project = self.fleet.project.clone();
        ProjectPlanner {
            other_facts: project.needs_other_facts(self.wanted.iter().map(String::as_str)),
            project,
            roles: (!self.roles.is_empty()).then(|| self.roles.clone()),
            tags: role.tags.clone(),
            start_at: role.start_at.clone(),
            orphans: true,
            prune: false,
            checks: true,
            style: failure::style(),
            book: OnceLock::new(),
        }
    }
}

/// The roles that the groups of the hosts assign, each once.
fn roles_of(fleet: &Fleet, selection: &Selection) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for &host in &selection.hosts {
        for role in fleet.project.roles_of(host) {
            if !all.iter().any(|known| known == role) {
                all.push(role.to_owned());
            }
        }
    }
    all
}

fn prefix(roles: &[String]) -> String {
    if roles.is_empty() { String::new() } else { format!("{} ", roles.join(",")) }
}
