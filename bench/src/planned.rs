//! A process that plans once and tells what it took: section `planning` starts this program again for each figure,
//! so that each has a process's memory of its own.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, anyhow};
use cm_plan::{FactsBook, HostPlan, LoadOptions, Project, Request};
use cm_wire::Facts;
use serde::{Deserialize, Serialize};

/// The first word of such a process's command line; the others are the repository's folder and a [`Kept`].
pub const WORD: &str = "plan-once";

/// What becomes of a host's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is let go before the next host's is made.
    One,
    /// All hosts' stay, as when all of them are under way at a time.
    All,
}

impl Kept {
    /// As the command line has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::All => "all",
        }
    }
}

/// What was planned, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Tasks of all hosts, counted in the plans.
    pub tasks: usize,
    /// Seconds to read and check the repository.
    pub read: f64,
    /// Seconds to render and compile the plans of all hosts.
    pub compile: f64,
    /// The most memory this process had since it began as this program, KiB. What is told of ended processes
    /// (`ru_maxrss`) is no less than what the program had that started them, which hides small ones.
    pub peak: u64,
}

/// Plans if the command line says so; prints one line of JSON, a [`Planned`].
///
/// # Errors
/// The repository is not as it must be.
#[must_use]
pub fn process() -> Option<Result<()>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [word, folder, kept] if word == WORD => {
            let kept = if kept == Kept::All.word() { Kept::All } else { Kept::One };
            Some(plan(Path::new(folder), kept).and_then(|planned| tell(&planned)))
        }
        _ => None,
    }
}

#[expect(clippy::print_stdout, reason = "what the process is for")]
fn tell(planned: &Planned) -> Result<()> {
    println!("{}", serde_json::to_string(planned)?);
    Ok(())
}

/// Reads a repository and compiles all of its hosts, on this thread.
///
/// # Errors
/// The repository is not as it must be.
pub fn plan(folder: &Path, kept: Kept) -> Result<Planned> {
    let began = Instant::now();
    let project = Project::load(folder, &LoadOptions::default())
        .map_err(|error| anyhow!(error.diagnostics.render(&error.sources, cm_syntax::Style::plain())))
        .with_context(|| format!("{}", folder.display()))?;
    let read = began.elapsed().as_secs_f64();
    let (facts, book, request) = (debian(), FactsBook::default(), Request::default());
    let began = Instant::now();
    let (mut tasks, mut plans): (usize, Vec<HostPlan>) = (0, Vec::new());
    for (host, _) in project.inventory().hosts() {
        let plan = project.compile(host, &facts, &book, &request).map_err(|diagnostics| {
            anyhow!(diagnostics.render(project.sources(), cm_syntax::Style::plain()))
        })?;
        tasks += plan.tasks.len();
        if kept == Kept::All {
            plans.push(plan);
        }
    }
    let compile = began.elapsed().as_secs_f64();
    drop(plans);
    Ok(Planned { tasks, read, compile, peak: peak()? })
}

/// KiB.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.context("the kernel does not tell VmHWM")?.trim().parse().context("VmHWM")
}

/// What hosts tell of themselves: enough that no task is left out.
fn debian() -> Facts {
    let mut facts = Facts { cpus: 4, ..Facts::default() };
    facts.os.family = "debian".into();
    facts
}
