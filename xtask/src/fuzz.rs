//! The fuzzers, for longer than the tests run them and with other numbers each time.

use anyhow::{Context, Result};

use crate::shell;

/// Runs every fuzzer for so many seconds; all of them, even when one finds something.
pub fn run(seconds: &str) -> Result<()> {
    seconds.parse::<f64>().with_context(|| format!("`{seconds}` is no number of seconds"))?;
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().to_string();
    println!("the seed is {seed}: CM_FUZZ_SEED={seed} gives the same numbers again");
    let readers = ["cm-wire", "cm-modules", "cm-syntax", "cm-inventory", "cm-plan", "cm-transport"];
    let mut arguments = vec!["test", "--locked", "--no-fail-fast"];
    arguments.extend(readers.iter().flat_map(|name| ["--package", name]));
    arguments.extend([
        "--lib",
        "--test",
        "fuzz",
        "--",
        "fuzz",
        "from_agent",
        "to_agent",
        "yaml",
        "inventories",
        "roles",
        "answers_of_modules",
    ]);
    let mut command = shell::command("cargo", &arguments);
    shell::run(
        command.env("CM_FUZZ_SECONDS", seconds).env("CM_FUZZ_SEED", &seed).env("CM_AGENT_PROGRAM", "none"),
    )
}
