//! `cargo deny`: licences, sources, and known vulnerabilities of the crates that are built in (`deny.toml`).

use anyhow::{Context, Result, bail};

use crate::shell;

/// The release that CI installs where there is none.
const VERSION: &str = "0.20.2";

/// Checks all that can be checked here; returns what could not be and why, each a line that begins with `skipped: `.
///
/// # Errors
/// When a check fails.
pub fn check() -> Result<Vec<String>> {
    if !installed() {
        println!("installing cargo-deny {VERSION}");
        let arguments = ["install", "cargo-deny", "--version", VERSION, "--locked"];
        if shell::run(&mut shell::command("cargo", &arguments)).is_err() || !installed() {
            let why = "cargo-deny is not here and could not be installed";
            return Ok(vec![format!("skipped: licences, sources and advisories of dependencies: {why}")]);
        }
    }
    shell::run(&mut shell::command("cargo", &["deny", "check", "licenses", "bans", "sources"]))?;
    let Some(reason) = advisories(&[])? else { return Ok(Vec::new()) };
    // A copy of an earlier day is better than none.
    let stale = advisories(&["--offline"])?.is_none();
    let what = if stale { "today's advisories (those of an earlier day were checked)" } else { "advisories" };
    Ok(vec![format!("skipped: {what}: {reason}")])
}

fn installed() -> bool {
    let mut command = shell::command("cargo", &["deny", "--version"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Checks against the database of advisories; returns why that could not be read, if so.
fn advisories(options: &[&str]) -> Result<Option<String>> {
    let mut arguments = vec!["deny"];
    arguments.extend(options);
    arguments.extend(["check", "advisories"]);
    let mut command = shell::command("cargo", &arguments);
    println!("$ {}", shell::show(&command));
    let output = command.output().context("`cargo deny` could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    if output.status.success() {
        return Ok(None);
    }
    let unread = |line: &&str| line.contains("[ERROR] failed to") && line.contains("advisory");
    match said.lines().find(unread) {
        Some(_) => Ok(Some("the database at github.com/RustSec/advisory-db cannot be reached".into())),
        None => bail!("`{}` ended with {}", shell::show(&command), output.status),
    }
}
