//! Profiles: where controller and agents spend their time when nothing is to change, as flame graphs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use cm_simulated::{Fleet, Hanging};

use crate::{
    findings::Findings,
    ground::{Ground, Site},
    measure::{run, shown},
    perf::{Perf, Scope},
    role::{Role, Size},
    section::Section,
    with_symbols,
};

use super::scale;

mod parts;
mod told;

/// The section.
pub const SECTION: Section =
    Section { name: "profiles", title: "Profiles", about: told::ABOUT, quick: false, run: measure };

/// Samples a second of processor time: odd, so as not to keep step with anything.
const FREQUENCY: u32 = 1999;
/// Hosts at work at once among the simulated ones.
const FORKS: &str = "100";

fn measure(ground: &Ground) -> Result<Findings> {
    let perf = match Perf::new(ground.folder("profiles")?) {
        Ok(perf) => perf,
        Err(why) => {
            let note = format!("Nothing was profiled: {why:#}.");
            return Ok(Findings { notes: vec![note], ..Findings::default() });
        }
    };
    let programs =
        Programs { controller: with_symbols::controller(ground)?, agent: with_symbols::agent(ground)? };
    perf.know(&programs.agent)?;
    let mut findings = Findings::default();
    on_hosts(ground, &perf, &programs, &mut findings)?;
    on_simulated(ground, &perf, &programs, &mut findings)?;
    findings.notes = told::DONE.iter().map(|note| (*note).to_owned()).collect();
    let record = |scope: Scope| {
        format!("perf record -e cpu-clock -F {FREQUENCY} {} -- cm apply … -q", scope.options().join(" "))
    };
    findings.commands = vec![
        with_symbols::CONTROLLER.to_owned(),
        with_symbols::AGENT.to_owned(),
        format!("{}   # the controller", record(Scope::Program)),
        format!("{}   # the agents", record(Scope::Machine)),
    ];
    Ok(findings)
}

/// What is profiled.
struct Programs {
    controller: PathBuf,
    agent: PathBuf,
}

/// The controller and all agents of a real run, 16 hosts.
fn on_hosts(ground: &Ground, perf: &Perf, programs: &Programs, findings: &mut Findings) -> Result<()> {
    let role = Role::sized(Size::Usual).name;
    let rounds = ground.pick(20, 4);
    let site = ground.applied(ground.pick(16, 4))?;
    let mut profiled = Command::new(&programs.controller);
    profiled.args(["apply", &role, "on", "all", "-q"]).current_dir(&site.repository);
    // The shipped agent comes to the hosts, if it is not there, and is replaced by one with symbols.
    run(&mut profiled, &[0])?;
    site.prove_unchanged(&role)?;
    replace_agents(&site, &programs.agent)?;
    let hosts = site.hosts.len();
    ground.say(&format!("controller, {hosts} hosts: {rounds} runs below perf"));
    let mut stacks = Vec::new();
    for _ in 0..rounds {
        stacks.append(&mut perf.record(Scope::Program, FREQUENCY, &profiled)?);
    }
    told::controller(findings, "profile-controller", &format!("Controller, {hosts} hosts"), stacks)?;
    ground.say(&format!("agents, {hosts} hosts: {rounds} runs below perf"));
    let mut stacks = Vec::new();
    for _ in 0..rounds {
        stacks.append(&mut perf.record(Scope::Machine, FREQUENCY, &profiled)?);
    }
    told::machine(findings, &format!("{hosts} hosts"), &stacks);
    told::agents(findings, "profile-agent", &format!("Agents on {hosts} hosts"), stacks)?;
    drop(site);
    // Agents with symbols are nothing for other sections.
    ground.end_shared();
    Ok(())
}

/// Puts an agent in the place of the one that the hosts have, so that the next run starts it.
fn replace_agents(site: &Site, agent: &Path) -> Result<()> {
    for host in &site.hosts {
        let mut command = site.lab.enter_command(host)?;
        command.args(["sh", "-c", REPLACE]).stdin(fs::File::open(agent)?);
        let status = command.status().context("a host cannot be entered")?;
        ensure!(status.success(), "the agent of {host} cannot be replaced: {status}");
    }
    Ok(())
}

/// The agent's file bears a digest as its name; where an older one lies beside it, that is replaced, too.
const REPLACE: &str = "set -e; cd /var/lib/cm/agent; cat > new; chmod 700 new; \
                       for a in cm-agent-*; do cp -p new new2; mv new2 \"$a\"; done; rm new";

/// The controller and all agents of a run with simulated nodes.
fn on_simulated(ground: &Ground, perf: &Perf, programs: &Programs, findings: &mut Findings) -> Result<()> {
    let hosts = ground.pick(1000, 200);
    let mut fleet = scale::fleet_of(ground, &programs.controller, cm_simulated::TASKS)?;
    replace_simulated(&fleet, &programs.agent)?;
    fleet.up(hosts, &Hanging::default())?;
    fleet.apply(&fleet.repository(hosts)?, &["--forks", FORKS])?;
    fleet.apply_unchanged(hosts, &["--forks", FORKS])?;
    let command = fleet.command(&fleet.repository(hosts)?, &["--forks", FORKS, "-q"]);
    ground.say(&format!("controller, {hosts} simulated hosts: {}", shown(&command)));
    let stacks = perf.record(Scope::Program, FREQUENCY, &command)?;
    told::controller(
        findings,
        "profile-controller-scale",
        &format!("Controller, {hosts} simulated hosts"),
        stacks,
    )?;
    ground.say(&format!("agents, {hosts} simulated hosts"));
    let stacks = perf.record(Scope::Machine, FREQUENCY / 2, &command)?;
    told::agents(findings, "profile-agent-scale", &format!("Agents of {hosts} simulated hosts"), stacks)
}

/// The same for the tree that all simulated nodes begin with.
fn replace_simulated(fleet: &Fleet, agent: &Path) -> Result<()> {
    let folder = fleet.folder().join("base/0/upper/var/lib/cm/agent");
    let mut replaced = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("cm-agent-") {
            // Written over: its owner and mode stay.
            fs::copy(agent, entry.path())?;
            fs::set_permissions(entry.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            replaced += 1;
        }
    }
    ensure!(replaced == 1, "{replaced} agents in {}", folder.display());
    Ok(())
}
