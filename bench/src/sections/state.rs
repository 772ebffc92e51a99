//! What is remembered: the cost of recording, of asking, and of keeping the past bounded.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use cm_simulated::Scale;
use serde::Deserialize;

use crate::{
    findings::{Claim, Findings, number},
    ground::Ground,
    measure::{median, run, run_to_end, shown, spread},
    section::Section,
    table::Table,
};

/// The section.
pub const SECTION: Section = Section {
    name: "state",
    title: "State",
    about: "\
A database is filled as `cm` fills it, by the same calls with the same batches: 500 runs of 1,000 hosts × 200 tasks, \
one run in ten of which changes something. Measured is the processor time of recording a host, against the \
controller's processor time for a host of an apply of as many tasks with nothing to change (100 simulated hosts, \
measured just before); then whole processes of `cm` over the full database, from start to end. Then as many runs again while \
the past is bounded to half as many, and the compaction of a copy from which nearly all runs were taken.",
    quick: true,
    run: measure,
};

/// Tasks of a host, in the database and in the run that it is compared with.
const TASKS: usize = 200;

/// What `state/examples/figures.rs` prints.
#[derive(Deserialize)]
struct Filled {
    quiet_us_a_host: f64,
    changing_us_a_host: f64,
    filled: u64,
    bounded: u64,
    before: u64,
    after: u64,
}

fn measure(ground: &Ground) -> Result<Findings> {
    let runs = ground.pick(500, 40);
    ground.say("the controller's processor time for a host");
    let apply = a_host(ground)?;
    ground.say(&format!("recording {} runs of 1,000 hosts × 200 tasks", 2 * runs));
    let repository = ground.folder("state")?;
    fs::create_dir_all(repository.join(".cm"))?;
    fs::write(repository.join("inventory.yaml"), "hosts:\n  web0001.example.org: {}\n")?;
    let file = repository.join(".cm/state.redb");
    let filled = fill(&file, runs)?;
    let mut findings = Findings::default();
    costs(&mut findings, &filled, apply, runs);
    questions(ground, &mut findings, &repository)?;
    Ok(findings)
}

/// Processor time of the controller for one host, in microseconds.
fn a_host(ground: &Ground) -> Result<f64> {
    let mut fleet = super::scale::fleet_of(ground, &ground.cm, TASKS)?;
    let wanted = Scale { counts: vec![(100, ground.pick(5, 1))], forks: 100 };
    let points = cm_simulated::scale(&mut fleet, &wanted, &mut |text| ground.say(text))?;
    let point = points.first().context("one number of hosts was asked for")?;
    Ok(point.cpu_per_host().as_secs_f64() * 1e6)
}

/// Builds the program that fills a database and runs it.
fn fill(file: &Path, runs: usize) -> Result<Filled> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--package", "cm-state", "--example", "figures"]);
    run(build.current_dir(&root), &[0])?;
    let program = std::env::current_exe()?;
    let folder = program.parent().context("this program lies in a folder")?;
    let mut figures = Command::new(folder.join("examples/figures"));
    let ended = run_to_end(figures.arg(file).arg(runs.to_string()))?;
    ensure!(ended.code == Some(0), "`{}` failed: {}", shown(&figures), ended.output);
    serde_json::from_str(ended.output.trim()).with_context(|| ended.output.clone())
}

fn costs(findings: &mut Findings, filled: &Filled, apply: f64, runs: usize) {
    let mib = |bytes: u64| format!("{} MiB", bytes / (1024 * 1024));
    let mut table = Table::new("Recording 200 tasks of a host", &["what", "figure"]);
    table.row(["nothing changed, processor time", &format!("{} µs a host", number(filled.quiet_us_a_host))]);
    table.row([
        "one task changed, processor time",
        &format!("{} µs a host", number(filled.changing_us_a_host)),
    ]);
    table.row([
        "an apply with nothing to change, all of the controller",
        &format!("{} µs a host", number(apply)),
    ]);
    table.row([format!("file after {runs} runs"), mib(filled.filled)]);
    table.row([format!("file after {} runs, {} of them kept", 2 * runs, runs / 2), mib(filled.bounded)]);
    table.row([
        format!("compaction with {} runs left", runs / 20),
        format!("{} to {}", mib(filled.before), mib(filled.after)),
    ]);
    findings.tables.push(table);
    findings.claims.push(Claim::at_most(
        "processor time, recording / the controller's of an apply with nothing to change",
        100.0 * filled.quiet_us_a_host / apply,
        3.0,
        "%",
    ));
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below the bits of an f64")]
    let ratio = |a: u64, b: u64| a as f64 / b as f64;
    let bounded = ratio(filled.bounded, filled.filled);
    findings.claims.push(Claim::at_most(
        "size, twice as many runs with the past bounded / before",
        bounded,
        1.3,
        "×",
    ));
    let compacted = ratio(filled.after, filled.before);
    findings.claims.push(Claim::at_most("size, compacted with few runs left / before", compacted, 0.7, "×"));
}

/// Whole processes over the full database.
fn questions(ground: &Ground, findings: &mut Findings, repository: &Path) -> Result<()> {
    let cm = |words: &[&str]| {
        let mut command = Command::new(&ground.cm);
        command.args(words).current_dir(repository);
        command
    };
    let history = run_to_end(&mut cm(&["history"]))?;
    let last = history.output.split_whitespace().find(|word| word.starts_with("20"));
    let last = last.context("`cm history` names a run")?.to_owned();
    let mut table = Table::new("Whole processes", &["command", "median", "least–greatest"]);
    for words in [
        vec!["history"],
        vec!["node", "list"],
        vec!["node", "show", "web0001.example.org"],
        vec!["show", &last],
    ] {
        let words: Vec<&str> = words;
        let mut walls = Vec::new();
        for _ in 0..ground.pick(21, 5) {
            walls.push(run(&mut cm(&words), &[0])?.wall.as_secs_f64() * 1e3);
        }
        // The name of the run says nothing to a reader.
        let line = format!("cm {}", words.join(" ")).replace(&last, "RUN");
        let (least, greatest) = spread(&walls);
        table.row([
            format!("`{line}`"),
            format!("{} ms", number(median(&walls))),
            format!("{}–{} ms", number(least), number(greatest)),
        ]);
        findings
            .claims
            .push(Claim::at_most(line.clone(), median(&walls), 50.0, "ms").between((least, greatest)));
        findings.commands.push(line);
    }
    findings.tables.push(table);
    Ok(())
}
