//! Profiles: where controller and agents spend their time when nothing is to change, as flame graphs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    findings::Findings,
    flame::KERNEL,
    ground::{Ground, Site},
    measure::{run, run_to_end, shown},
    plot::Plot,
    role::{Role, Size},
    section::Section,
    stacks::{Stack, UNKNOWN, counted, fold, krate, read},
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "profiles",
    title: "Profiles",
    about: "\
Where the processor time goes when nothing is to change (100 tasks, 16 hosts), sampled by `perf record -e cpu-clock`: the \
controller, a build of the same sources that keeps its symbols, and beside it all agents on the hosts. The pictures show \
which part of the samples has a function on its stack: opened by themselves they tell name and share under the pointer. \
The kernel's functions are blue and end with `[k]`, those of `cm`'s own crates are red.",
    quick: false,
    run: measure,
};

/// Samples a second.
const FREQUENCY: &str = "1999";
/// Runs whose samples are put together.
const ROUNDS: usize = 10;

fn measure(ground: &Ground) -> Result<Findings> {
    if let Err(why) = can_record(ground) {
        let note = format!("Nothing was profiled: {why:#}.");
        return Ok(Findings { notes: vec![note], ..Findings::default() });
    }
    let symbols = with_symbols(ground)?;
    let hosts = ground.pick(16, 4);
    let site = ground.applied(hosts)?;
    let role = Role::sized(Size::Usual).name;
    let apply = Apply { program: symbols, site: &site, role: &role };
    // Agents and caches of the hosts.
    run(&mut apply.command(), &[0])?;
    site.prove_unchanged(&role)?;
    let mut findings = Findings {
        commands: vec![
            "cargo rustc --release --package cm --bin cm -- -C strip=none".to_owned(),
            format!(
                "perf record -e cpu-clock -F {FREQUENCY} --call-graph dwarf -- cm apply {role} on all -q"
            ),
            format!("perf record -e cpu-clock -F {FREQUENCY} -g -a -- cm apply {role} on all -q"),
        ],
        ..Findings::default()
    };
    controller(ground, &apply, &mut findings)?;
    agent(ground, &apply, &mut findings)?;
    Ok(findings)
}

/// What is profiled.
struct Apply<'a> {
    program: PathBuf,
    site: &'a Site,
    role: &'a str,
}

impl Apply<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.words(&mut command);
        command
    }

    fn words(&self, command: &mut Command) {
        command.args(["apply", self.role, "on", "all", "-q"]).current_dir(&self.site.repository);
    }

    /// Runs it below perf [`ROUNDS`] times; the stacks of all rounds.
    fn record(&self, ground: &Ground, name: &str, options: &[&str]) -> Result<Vec<Stack>> {
        ground.say(&format!("{name}: {ROUNDS} runs below perf"));
        let data = ground.folder("profiles")?.join(format!("{name}.data"));
        let mut stacks = Vec::new();
        for _ in 0..ROUNDS {
            let mut perf = perf(&data, options);
            perf.arg("--").arg(&self.program);
            self.words(&mut perf);
            run(&mut perf, &[0])?;
            stacks.append(&mut told(&data)?);
        }
        Ok(stacks)
    }
}

fn perf(data: &Path, options: &[&str]) -> Command {
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY]).args(options).arg("-o").arg(data);
    perf
}

/// What perf has recorded.
fn told(data: &Path) -> Result<Vec<Stack>> {
    let mut script = Command::new("perf");
    script.args(["script", "--no-inline", "-F", "comm,tid,ip,sym,dso", "-i"]).arg(data);
    let output = script.stdin(Stdio::null()).stderr(Stdio::null()).output().context("perf script")?;
    ensure!(output.status.success(), "`{}` failed: {}", shown(&script), output.status);
    Ok(read(&String::from_utf8_lossy(&output.stdout)))
}

/// Why perf cannot record here, if it cannot.
fn can_record(ground: &Ground) -> Result<()> {
    let data = ground.folder("profiles")?.join("try.data");
    let mut try_it = perf(&data, &["-g", "-a"]);
    try_it.args(["--", "true"]);
    let ended = run_to_end(&mut try_it).context("Debian's linux-perf is not installed")?;
    ensure!(ended.code == Some(0), "perf cannot record here ({})", ended.output.trim());
    Ok(())
}

/// A build of `cm` with symbols. The released one is put back where cargo has it.
fn with_symbols(ground: &Ground) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the bench is in the workspace")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (built, folder) = (target.join("release/cm"), ground.folder("profiles")?);
    let (released, symbols) = (folder.join("cm-released"), folder.join("cm"));
    let known = built.exists();
    if known {
        fs::copy(&built, &released).with_context(|| format!("{}", built.display()))?;
    }
    ground.say("building cm with symbols");
    let mut cargo = Command::new("cargo");
    cargo.args(["rustc", "--release", "--locked", "--quiet", "--package", "cm", "--bin", "cm"]);
    cargo.args(["--", "-C", "strip=none"]).current_dir(root).env_remove("CM_AGENT_PROGRAM");
    run(&mut cargo, &[0])?;
    fs::copy(&built, &symbols).with_context(|| format!("{}", built.display()))?;
    if known {
        // A new file: the one that is there is a link to what cargo keeps.
        fs::remove_file(&built)?;
        fs::copy(&released, &built).with_context(|| format!("{}", built.display()))?;
    }
    Ok(symbols)
}

fn controller(ground: &Ground, apply: &Apply<'_>, findings: &mut Findings) -> Result<()> {
    let mut stacks = apply.record(ground, "controller", &["--call-graph", "dwarf,16384"])?;
    for stack in &mut stacks {
        // perf itself, until it has become cm; and threads by number.
        stack.thread = stack.thread.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
    }
    stacks.retain(|stack| !stack.thread.starts_with("perf"));
    ensure!(!stacks.is_empty(), "perf has no sample of the controller");
    let functions = counted(&stacks, |stack| {
        stack
            .calls
            .iter()
            .map(String::as_str)
            .filter(|name| krate(name).is_some_and(|of| !FRAMES.contains(&of)))
    });
    let mut table =
        top("Controller: functions by the samples they are in, with all they call", &functions, &stacks);
    table.heads[0] = "function".into();
    findings.tables.push(table);
    let owners = counted(&stacks, |stack| [owner(stack)]);
    findings.tables.push(top("Controller: what was at work itself", &owners, &stacks));
    findings.notes.push(
        "In the table of functions those of std and tokio are left out: every stack begins with them. What was at work is \
         the innermost crate that is neither std nor core; C and assembly are cryptography and allocation."
            .into(),
    );
    findings.plots.push(plot("controller", "Controller, nothing to change", &stacks));
    Ok(())
}

/// Crates that carry all others.
const FRAMES: &[&str] = &["std", "core", "alloc", "tokio", "__rustc", "test"];

/// Who was at work: the kernel, C, or the innermost crate that is not a mere container.
fn owner(stack: &Stack) -> &str {
    let last = stack.calls.last().map_or(UNKNOWN, String::as_str);
    if last.ends_with(KERNEL) {
        return "kernel";
    }
    if krate(last).is_none() {
        return "C and assembly";
    }
    let crates = || stack.calls.iter().rev().filter_map(|name| krate(name));
    crates().find(|of| !["std", "core", "alloc", "__rustc"].contains(of)).unwrap_or("std")
}

/// The agent is shipped without symbols.
const OWN: &str = "the agent's own code";

fn agent(ground: &Ground, apply: &Apply<'_>, findings: &mut Findings) -> Result<()> {
    let mut stacks = apply.record(ground, "agent", &["-g", "-a"])?;
    stacks.retain(|stack| stack.thread.starts_with("cm-agent"));
    ensure!(!stacks.is_empty(), "perf has no sample of an agent");
    for stack in &mut stacks {
        "cm-agent".clone_into(&mut stack.thread);
        let mut calls = vec![OWN.to_owned()];
        let kernel = stack.calls.drain(..).filter(|name| name.ends_with(KERNEL));
        calls.extend(kernel.filter(|name| !ENTRIES.iter().any(|entry| name.starts_with(entry))));
        stack.calls = calls;
    }
    let entered = counted(&stacks, |stack| [stack.calls.get(1).map_or(OWN, String::as_str)]);
    let mut table = top("Agents: by what the kernel was asked for", &entered, &stacks);
    table.heads[0] = "system call or fault".into();
    findings.tables.push(table);
    findings.notes.push(
        "The agent is profiled as it is shipped, which is without symbols: its own functions are one frame, and above \
         it is what the kernel does for it. Agents start with every run, so mapping and faulting in their pages is theirs."
            .into(),
    );
    findings.plots.push(plot("agent", "Agents on the hosts, nothing to change", &stacks));
    Ok(())
}

/// How every way into the kernel begins.
const ENTRIES: &[&str] = &[
    "entry_SYSCALL",
    "do_syscall_64",
    "x64_sys_call",
    "el0t_64_sync",
    "el0_svc",
    "do_el0_svc",
    "invoke_syscall",
];

fn top(caption: &str, counts: &[(&str, usize)], stacks: &[Stack]) -> Table {
    let mut table = Table::new(format!("{caption} ({} samples)", stacks.len()), &["what", "share"]);
    for (name, count) in counts.iter().take(10) {
        let share = exact(*count) * 100.0 / exact(stacks.len().max(1));
        table.row([
            format!("`{}`", name.trim_end_matches(KERNEL).replace('|', "\\|")),
            format!("{share:.1} %"),
        ]);
    }
    table
}

fn plot(name: &str, title: &str, stacks: &[Stack]) -> Plot {
    let mut root = fold("all", stacks);
    // What is narrower than a line is not seen.
    root.prune((root.samples / 400).max(1));
    Plot::flames(name, title, root)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below the bits of an f64")]
fn exact(count: usize) -> f64 {
    count as f64
}
