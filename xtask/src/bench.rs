//! `cargo xtask bench`: builds `cm` as it is shipped and the benchmark, and runs it as root on this machine.

use anyhow::{Result, bail};

use crate::{packages, shell};

/// What the sections need beyond what the lab does.
const NEEDED: &[packages::Needed] = &[
    ("rsync", "/usr/bin/rsync"),
    ("tar", "/bin/tar"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("git", "/usr/bin/git"),
    ("linux-perf", "/usr/bin/perf"),
];

/// Runs the benchmark with these words of the command line.
pub fn run(words: &[&str]) -> Result<()> {
    let help = words.contains(&"--help");
    if !shell::is_root() && !help {
        bail!("the benchmark boots hosts with systemd-nspawn and so needs root: sudo -E cargo xtask bench");
    }
    if !help {
        packages::install(&[packages::LAB, NEEDED])?;
        // The very program a user gets: with its agent inside, whatever the environment says of tests.
        let mut build = shell::command("cargo", &["build", "--release", "--locked", "--package", "cm"]);
        shell::run(build.env_remove("CM_AGENT_PROGRAM"))?;
    }
    shell::run(&mut shell::command("cargo", &["build", "--release", "--locked", "--package", "cm-bench"]))?;
    let folder = shell::root().join("target/release");
    let bench = folder.join("cm-bench").to_string_lossy().into_owned();
    let cm = folder.join("cm").to_string_lossy().into_owned();
    let root = shell::root().to_string_lossy().into_owned();
    let mut arguments = vec!["--cm", &cm, "--root", &root];
    arguments.extend(words);
    shell::run(&mut shell::command(&bench, &arguments))
}
