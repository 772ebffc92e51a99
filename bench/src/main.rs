//! The benchmark's program: runs sections, shows and keeps what they find, writes the page.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use cm_bench::{
    args::{self, Arguments},
    findings::{Findings, claims_table},
    ground::Ground,
    page, planned,
    section::Section,
    sections,
};

fn main() -> ExitCode {
    // Section `scale` starts this program once more for its nodes.
    if let Some(done) = cm_simulated::process() {
        return done.map_or_else(told, |()| ExitCode::SUCCESS);
    }
    if let Some(done) = planned::process() {
        return done.map_or_else(told, |()| ExitCode::SUCCESS);
    }
    if std::env::args().any(|word| word == "--help") {
        print!("{}", args::usage(sections::ALL));
        return ExitCode::SUCCESS;
    }
    let arguments = match args::parse(std::env::args().skip(1), sections::ALL) {
        Ok(arguments) => arguments,
        Err(told) => {
            eprintln!("{told}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => told(error),
    }
}

fn told(error: anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// Whether every section ran to its end. A claim that does not hold is told, and is no failure of the bench.
fn run(arguments: &Arguments) -> Result<bool> {
    let kept = arguments.root.join(if arguments.quick { "target/bench/quick" } else { "target/bench" });
    let page = if arguments.quick {
        kept.join("performance.md")
    } else {
        arguments.root.join("docs/performance.md")
    };
    let mut failed = Vec::new();
    if !arguments.page_only {
        let ground = Ground::new(arguments.cm.clone(), arguments.quick)?;
        let chosen = sections::ALL.iter().filter(|section| arguments.sections.contains(&section.name));
        for section in chosen {
            ground.say(&format!("--- {}: {}", section.name, section.title));
            match (section.run)(&ground) {
                Ok(mut findings) => {
                    findings.taken = page::taken(&arguments.root, arguments.quick);
                    // Whoever types them has other folders.
                    findings.commands.iter_mut().for_each(|line| *line = ground.without_scratch(line));
                    findings.keep(&kept, section.name)?;
                    show(section, &findings);
                }
                // The other sections are worth their time all the same.
                Err(error) => {
                    eprintln!("error: section {}: {error:#}", section.name);
                    failed.push(section.name);
                }
            }
        }
    }
    page::write(&page, sections::ALL, &kept).context("writing the page")?;
    println!("written: {}", page.display());
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn show(section: &Section, findings: &Findings) {
    println!("\n=== {} ===\n", section.title);
    for table in &findings.tables {
        println!("{}", table.for_terminal());
    }
    if !findings.claims.is_empty() {
        println!("{}", claims_table(&findings.claims).for_terminal());
    }
    for note in &findings.notes {
        println!("note: {note}");
    }
    println!();
}
