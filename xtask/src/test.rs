//! Everything that is checked before a change lands; `.ci/run` calls this and nothing else.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Instant,
};

use anyhow::{Result, bail};

use crate::{ansible, counts, packages, shell, supply_chain};

/// What ran.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    skipped: Vec<String>,
    /// What could not be checked here for want of a network; told at the end, and no failure.
    out_of_reach: Vec<String>,
}

type Step = (&'static str, fn(&mut Tally) -> Result<()>);

const STEPS: &[Step] = &[
    ("format", format),
    ("lints", lints),
    ("deny", deny),
    ("release", release),
    ("tests", tests),
    ("hosts", hosts),
    ("roles", roles),
    ("counts", instructions),
    ("docs", docs),
];

/// The names of the steps.
pub fn names() -> Vec<&'static str> {
    STEPS.iter().map(|(name, _)| *name).collect()
}

/// Runs all steps or one; all failures are told, not only the first.
pub fn run(only: Option<&str>) -> Result<()> {
    if only.is_some_and(|only| !names().contains(&only)) {
        bail!("there is no step `{}`; the steps are {}", only.unwrap_or_default(), names().join(", "));
    }
    packages::install(packages::ALL)?;
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        println!("\n=== {name}");
        let start = Instant::now();
        if let Err(error) = step(&mut tally) {
            eprintln!("error: {error:#}");
            broken.push(*name);
        }
        println!("=== {name} took {:.0} s", start.elapsed().as_secs_f64());
    }
    println!();
    for reason in tally.skipped.iter().chain(&tally.out_of_reach) {
        println!("{reason}");
    }
    if !broken.is_empty() {
        println!("broken: {}", broken.join(", "));
    }
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failed,
        tally.ignored + (tally.skipped.len() + tally.out_of_reach.len()) as u64
    );
    if !broken.is_empty() || tally.failed > 0 {
        bail!("not all is well");
    }
    if std::env::var_os("CI").is_some() && !tally.skipped.is_empty() {
        bail!("in CI no test may be skipped for want of a tool that can be installed");
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> std::process::Command {
    shell::command("cargo", arguments)
}

fn format(_: &mut Tally) -> Result<()> {
    shell::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lints(_: &mut Tally) -> Result<()> {
    shell::run(
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])
            .env("CM_AGENT_PROGRAM", "none"),
    )
}

/// Licences, sources and known vulnerabilities of all that is built in.
fn deny(tally: &mut Tally) -> Result<()> {
    tally.out_of_reach.extend(supply_chain::check()?);
    Ok(())
}

/// The one build of the README: it must give a `cm` that carries its agent.
fn release(_: &mut Tally) -> Result<()> {
    shell::run(&mut cargo(&["build", "--release", "--locked"]))
}

/// Everything but the suites that boot hosts.
fn tests(tally: &mut Tally) -> Result<()> {
    // Without it the comparison is skipped, which only CI does not allow.
    if let Err(error) = ansible::prepare() {
        eprintln!("ansible-core cannot be installed: {error:#}");
    }
    let arguments =
        ["test", "--workspace", "--locked", "--no-fail-fast", "--exclude", "cm-tests", "--exclude", "cm-lab"];
    counted(cargo(&arguments).env("CM_AGENT_PROGRAM", "none"), tally)
}

/// The suites over real hosts, with the release build.
fn hosts(tally: &mut Tally) -> Result<()> {
    let program = shell::root().join("target/release/cm");
    if !program.exists() {
        release(tally)?;
    }
    let suites = ["test", "--locked", "--no-fail-fast", "--package", "cm-lab", "--package", "cm-tests"];
    let mut arguments = suites.to_vec();
    // Labs share two processors and one bridge namespace of names: one test at a time.
    arguments.extend(["--", "--test-threads", "1"]);
    counted(cargo(&arguments).env("CM_PROGRAM", &program), tally)
}

/// The roles that ship, each on fresh hosts, with the release build: two scenarios at once.
fn roles(tally: &mut Tally) -> Result<()> {
    let program = shell::root().join("target/release/cm");
    if !program.exists() {
        release(tally)?;
    }
    let program = program.to_string_lossy().into_owned();
    let mut command = shell::command(&program, &["test", "--library", "--forks", "2", "--color", "never"]);
    println!("$ {}", shell::show(&command));
    let output = command.stdin(Stdio::null()).output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{stderr}{stdout}");
    if stderr.contains("no hosts can be made") {
        tally.skipped.push("skipped: the roles that ship: no hosts can be made here".to_owned());
        return Ok(());
    }
    // The last line: `23 ok, 0 failed`.
    let last = stdout.lines().last().unwrap_or_default();
    tally.passed += number_before(last, "ok");
    tally.failed += number_before(last, "failed");
    if !output.status.success() {
        bail!("`{}` ended with {}", shell::show(&command), output.status);
    }
    Ok(())
}

/// Instructions of planner, codec, ready queue and looks beside those that are kept.
fn instructions(tally: &mut Tally) -> Result<()> {
    match counts::check()? {
        Some(compared) => {
            tally.passed += compared.passed;
            tally.failed += compared.failed;
        }
        None => tally.out_of_reach.push("skipped: counts: those that are kept are of x86_64".to_owned()),
    }
    Ok(())
}

fn docs(_: &mut Tally) -> Result<()> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"]);
    shell::run(command.env("RUSTDOCFLAGS", "--deny warnings").env("CM_AGENT_PROGRAM", "none"))
}

/// Runs tests and counts what they say of themselves: `test result:` lines, and `skipped: why` lines.
fn counted(command: &mut std::process::Command, tally: &mut Tally) -> Result<()> {
    println!("$ {}", shell::show(command));
    // Both streams in one: a skipped test says so on standard error, past the harness.
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer).stdin(Stdio::null());
    let mut child = command.spawn()?;
    // The command holds the writing ends; they must be gone for the reading to end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            tally.passed += number_before(result, "passed");
            tally.failed += number_before(result, "failed");
            tally.ignored += number_before(result, "ignored");
        } else if line.trim_start().starts_with("skipped: ") {
            tally.skipped.push(line.trim().to_owned());
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` ended with {status}", shell::show(command));
    }
    Ok(())
}

fn number_before(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|found| *found == word);
    at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}
