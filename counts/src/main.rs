//! Work whose instructions `cargo xtask counts` counts: `cm-counts SUBJECT`, `cm-counts` alone names the subjects.
//!
//! Each subject does the same work whenever it runs, proves its result, and is large enough that the start of
//! the process does not matter.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for another program")]

mod codec;
mod looks;
mod planner;
mod project;
mod queue;
mod tasks;

/// Work that failed, and so counts for nothing.
type Failure = Box<dyn std::error::Error>;

/// Work that is counted.
type Run = fn() -> Result<(), Failure>;

/// What can be counted, by the name that `bench/counts.toml` knows it by.
const SUBJECTS: &[(&str, Run)] = &[
    ("planner", planner::run),
    ("codec-catalog", codec::catalog),
    ("codec-events", codec::events),
    ("ready-queue", queue::run),
    ("agent-looks", looks::run),
];

fn main() -> Result<(), Failure> {
    let Some(wanted) = std::env::args().nth(1) else {
        SUBJECTS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let Some((_, run)) = SUBJECTS.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("there is no subject `{wanted}`");
        std::process::exit(2);
    };
    run()
}

/// An error unless it holds.
fn prove(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(what.to_owned().into()) }
}
