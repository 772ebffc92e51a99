//! The steps of one case, in order; the first that fails ends it.

use std::{collections::BTreeMap, time::Instant};

use cm_lab::{HostSpec, Lab, LabSpec, Release, WholeHost};
use cm_roles::{Scenario, Setting, Written};

use super::{
    case::Case,
    child::{self, Answer},
    folder::{self, Workplace},
    judge,
    repository::Repository,
    result::{CaseResult, Kept, Step},
};
use crate::interrupt::Interrupt;

/// What is wrong; each a line or more for a person.
type Troubles = Vec<String>;

/// Runs a case on hosts of its own.
pub fn run(
    case: &Case,
    index: usize,
    workplace: &Workplace,
    keep: bool,
    interrupt: &Interrupt,
) -> CaseResult {
    let scenario = &case.scenario;
    let mut result = CaseResult {
        role: scenario.role.clone(),
        scenario: scenario.name.clone(),
        release: case.release.name(),
        steps: Vec::new(),
        interrupted: false,
        kept: None,
    };
    let mut made = None;
    step(&mut result, interrupt, "boot", "boot", || {
        made = Some(make(case, index, workplace)?);
        Ok(())
    });
    let Some((lab, repository)) = made else { return result };
    let mut bench = Bench {
        scenario,
        lab,
        repository,
        params: Vec::new(),
        before: BTreeMap::new(),
        roles: Vec::new(),
        planned: Vec::new(),
    };
    bench.steps(&mut result, interrupt);
    if keep && result.failed().is_some() {
        folder::keep(&bench.lab);
        result.kept = Some(Kept {
            lab: bench.lab.name().to_owned(),
            hosts: scenario.hosts.iter().map(|host| host.name.clone()).collect(),
            repository: bench.repository.folder().display().to_string(),
            on: scenario.on.clone(),
        });
    } else if let Err(error) = bench.lab.down() {
        result.steps.push(Step {
            column: "cleanup",
            name: "take the lab down".into(),
            took: std::time::Duration::ZERO,
            troubles: vec![lab_trouble(&error)],
        });
    }
    result
}

/// Runs one step, unless one before it failed.
fn step(
    result: &mut CaseResult,
    interrupt: &Interrupt,
    column: &'static str,
    name: &str,
    work: impl FnOnce() -> Result<(), Troubles>,
) {
    if result.interrupted || result.failed().is_some() {
        return;
    }
    if interrupt.hit() {
        result.interrupted = true;
        return;
    }
    let start = Instant::now();
    let troubles = work().err().unwrap_or_default();
    // A command that ended by the user's Ctrl-C has not failed.
    if interrupt.hit() && !troubles.is_empty() {
        result.interrupted = true;
        return;
    }
    result.steps.push(Step { column, name: name.to_owned(), took: start.elapsed(), troubles });
}

fn make(case: &Case, index: usize, workplace: &Workplace) -> Result<(Lab, Repository), Troubles> {
    let folder = workplace.case(index);
    let scenario = &case.scenario;
    let repository =
        Repository::make(folder.join("repository"), workplace, scenario).map_err(file_trouble)?;
    let mut hosts = Vec::new();
    for host in &scenario.hosts {
        let release = match &host.release {
            Some(release) => release.parse::<Release>().map_err(|error| vec![lab_trouble(&error)])?,
            None => case.release,
        };
        hosts.push(HostSpec { name: host.name.clone(), release });
    }
    // The roles as they are with these hosts, before any of them is made; secrets need the lab's key.
    repository.inventory(None, scenario, &[]).map_err(file_trouble)?;
    if scenario.secrets.is_empty() {
        let answer = child::run(repository.folder(), &["lint"]);
        if answer.code != Some(0) {
            return Err(answer.troubles(&repository.places));
        }
    }
    let spec = LabSpec::new(Workplace::lab(index), hosts, folder.join("lab"));
    let lab = cm_lab::up(&spec, &mut |_| {}).map_err(|error| vec![lab_trouble(&error)])?;
    Ok((lab, repository))
}

/// A case with its hosts.
struct Bench<'c> {
    scenario: &'c Scenario,
    lab: Lab,
    repository: Repository,
    /// Parameters of the `later` steps so far.
    params: Vec<&'c [Setting]>,
    /// The hosts as they were before the role.
    before: BTreeMap<String, WholeHost>,
    /// The roles that were applied.
    roles: Vec<String>,
    planned: Vec<child::Difference>,
}

impl<'c> Bench<'c> {
    fn steps(&mut self, result: &mut CaseResult, interrupt: &Interrupt) {
        let scenario = self.scenario;
        let plan = format!("plan {}", scenario.role);
        step(result, interrupt, "before", "before", || self.before());
        step(result, interrupt, "plan", &plan, || self.plan());
        step(result, interrupt, "apply", "apply", || self.apply());
        step(result, interrupt, "again", "apply again", || self.again());
        step(result, interrupt, "verify", "verify", || self.verify(&[&scenario.then]));
        for later in &scenario.later {
            step(result, interrupt, "later", &format!("later: {}", later.name), || {
                self.params.push(&later.params);
                self.repository.inventory(Some(&self.lab), scenario, &self.params).map_err(file_trouble)?;
                self.converge(&[&later.then])
            });
        }
        let last = scenario.later.last().map_or(&scenario.then, |later| &later.then);
        for drift in &scenario.drift {
            step(result, interrupt, "drift", &format!("drift: {}", drift.name), || {
                self.damage(drift)?;
                self.converge(&[last, &drift.then])
            });
        }
        step(result, interrupt, "cleanup", "cleanup", || self.cleanup());
    }

    fn cm(&self, words: &[&str]) -> Answer {
        child::run(self.repository.folder(), words)
    }

    /// Demands that a command ended with one of these statuses.
    fn exits(&self, answer: Answer, codes: &[i32]) -> Result<Answer, Troubles> {
        if answer.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(answer);
        }
        let status = answer.code.map_or("a signal".to_owned(), |code| format!("exit status {code}"));
        let mut troubles = vec![format!("`{}` ended with {status}", answer.line)];
        troubles.extend(answer.troubles(&self.repository.places));
        Err(troubles)
    }

    /// The roles of `before`, then all hosts as they are from now on.
    fn before(&mut self) -> Result<(), Troubles> {
        let scenario = self.scenario;
        // Before the inventory, which names them.
        if !scenario.secrets.is_empty() {
            self.repository.secrets_for(&self.lab).map_err(file_trouble)?;
            for (name, value) in &scenario.secrets {
                self.exits(child::set_secret(self.repository.folder(), name, value), &[0])?;
            }
        }
        self.repository.inventory(Some(&self.lab), scenario, &[]).map_err(file_trouble)?;
        // The agent is put there, whoever needs it first.
        self.exits(self.cm(&["run", "true", "on", "all"]), &[0])?;
        if !scenario.before.is_empty() {
            let role = format!("{}-before", scenario.role);
            self.repository.make_role(&role, "tasks", &scenario.before).map_err(file_trouble)?;
            self.exits(self.cm(&["apply", &role, "on", "all"]), &[0])?;
        }
        for group in scenario.groups.iter().filter(|group| !group.roles.is_empty()) {
            self.exits(self.cm(&["apply", &group.roles.join(","), "on", &group.name]), &[0])?;
        }
        for host in &scenario.hosts {
            let look = self.lab.look(&host.name).map_err(|error| vec![lab_trouble(&error)])?;
            self.before.insert(host.name.clone(), look);
        }
        Ok(())
    }

    fn plan(&mut self) -> Result<(), Troubles> {
        let answer = self.cm(&["plan", &self.scenario.role, "on", &self.scenario.on]);
        let answer = self.exits(answer, &[0, 2])?;
        self.planned = answer.differences();
        Ok(())
    }

    fn apply(&mut self) -> Result<(), Troubles> {
        let answer = self.cm(&["apply", &self.scenario.role, "on", &self.scenario.on]);
        let answer = self.exits(answer, &[0])?;
        for role in answer.roles().into_iter().chain([self.scenario.role.clone()]) {
            if !self.roles.contains(&role) {
                self.roles.push(role);
            }
        }
        or_ok(judge::plan_was_exact(&std::mem::take(&mut self.planned), &answer.differences()))
    }

    fn again(&self) -> Result<(), Troubles> {
        let answer = self.cm(&["apply", &self.scenario.role, "on", &self.scenario.on]);
        let answer = self.exits(answer, &[0])?;
        or_ok(judge::nothing_changed(&answer.differences()))
    }

    /// Verify finds nothing, and the scenario's checks hold.
    fn verify(&mut self, lists: &[&Written]) -> Result<(), Troubles> {
        let on = &self.scenario.on;
        self.exits(self.cm(&["verify", &self.scenario.role, "on", on]), &[0])?;
        for list in lists.iter().filter(|list| !list.is_empty()) {
            let role = format!("{}-then", self.scenario.role);
            self.repository.make_role(&role, "verify", list).map_err(file_trouble)?;
            let answer = self.cm(&["verify", &role, "on", &self.scenario.on]);
            self.exits(answer, &[0])?;
        }
        Ok(())
    }

    /// Plan, apply, apply again, verify.
    fn converge(&mut self, lists: &[&Written]) -> Result<(), Troubles> {
        self.plan()?;
        self.apply()?;
        self.again()?;
        self.verify(lists)
    }

    /// Does damage, and demands that verify names it.
    fn damage(&self, drift: &cm_roles::Drift) -> Result<(), Troubles> {
        let hosts: Vec<String> = if drift.on.is_empty() { self.tested_hosts() } else { drift.on.clone() };
        for host in &hosts {
            for command in &drift.commands {
                let output =
                    self.lab.exec(host, &["sh", "-c", command]).map_err(|error| vec![lab_trouble(&error)])?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                    return Err(vec![format!("{host}: the damage `{command}` {}: {said}", output.status)]);
                }
            }
        }
        let answer = self.cm(&["verify", &self.scenario.role, "on", &self.scenario.on]);
        let answer = self.exits(answer, &[0, 2, 3])?;
        let wanted: Vec<String> = drift.finds.iter().map(|find| find.value.clone()).collect();
        or_ok(judge::names_exactly(&answer.differences(), &wanted, &hosts))
    }

    /// The hosts that the role is on.
    fn tested_hosts(&self) -> Vec<String> {
        let on = &self.scenario.on;
        if let Some(group) = self.scenario.groups.iter().find(|group| group.name == *on) {
            return group.hosts.clone();
        }
        let hosts = self.scenario.hosts.iter().map(|host| host.name.clone());
        hosts.filter(|host| on == "all" || host == on).collect()
    }

    /// Takes the role off, with the roles it needs, and compares the hosts.
    fn cleanup(&self) -> Result<(), Troubles> {
        let on = &self.scenario.on;
        self.exits(self.cm(&["cleanup", &self.roles.join(","), "on", on, "--yes"]), &[0])?;
        let mut troubles = Vec::new();
        for host in self.tested_hosts() {
            let after = self.lab.look(&host).map_err(|error| vec![lab_trouble(&error)])?;
            let Some(before) = self.before.get(&host) else { continue };
            let left = before.differences(&after, &self.scenario.leaves);
            troubles.extend(left.into_iter().map(|line| format!("{host}: left behind: {line}")));
        }
        or_ok(troubles)
    }
}

fn or_ok(troubles: Troubles) -> Result<(), Troubles> {
    if troubles.is_empty() { Ok(()) } else { Err(troubles) }
}

fn lab_trouble(error: &cm_lab::LabError) -> String {
    let mut text = format!("the lab: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!("\n    {error}"));
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\n    hint: {hint}"));
    }
    text
}

fn file_trouble(error: std::io::Error) -> Troubles {
    vec![format!("the files of the test cannot be written: {error}")]
}
