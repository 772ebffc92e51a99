//! Builds of controller and agent from the same sources as the shipped ones, which keep their symbols.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{ground::Ground, measure::run};

/// How `cm` is built, as one types it: all its crates as they are, only what is linked last keeps its symbols.
pub const CONTROLLER: &str = "cargo rustc --release --package cm --bin cm -- -C strip=none";

/// How the agent is built, as one types it: the shipped one with symbols and tables for unwinding.
pub const AGENT: &str = "RUSTFLAGS='-Ctarget-feature=+crt-static -Crelocation-model=static -Clink-arg=-Wl,-z,muldefs' cargo build --profile agent --package cm-agent \
                         --config 'profile.agent.strip=\"debuginfo\"'";

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the bench is in the workspace")
}

/// Builds `cm` with symbols. The released one is put back where cargo has it, and stays up to date for cargo.
///
/// # Errors
/// It does not build.
pub fn controller(ground: &Ground) -> Result<PathBuf> {
    let root = root()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (built, folder) = (target.join("release/cm"), ground.folder("with-symbols")?);
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
        fs::remove_file(&released)?;
    }
    Ok(symbols)
}

/// Builds the agent with symbols and tables for unwinding, in a folder that is gone with this run.
///
/// # Errors
/// It does not build.
pub fn agent(ground: &Ground) -> Result<PathBuf> {
    ground.say("building the agent with symbols");
    let rustc = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let said = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let target = said
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or_else(|| anyhow!("rustc does not tell its host"))?;
    let folder = ground.folder("with-symbols/agent")?;
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "cm-agent",
        "--profile",
        "agent",
        "--target",
        target,
    ]);
    cargo.args(["--config", "profile.agent.strip=\"debuginfo\"", "--target-dir"]).arg(&folder);
    // A build id is how perf knows a program that runs in a container.
    // As engine/build.rs does it otherwise: agent/src/absent.rs says again what the C library says.
    let flags = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        "-Clink-arg=-Wl,-z,muldefs",
        "-Clink-arg=-Wl,--build-id",
    ];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).current_dir(root()?);
    run(&mut cargo, &[0])?;
    let program = ground.folder("with-symbols")?.join("cm-agent");
    let built = folder.join(target).join("agent/cm-agent");
    fs::copy(&built, &program).with_context(|| format!("{}", built.display()))?;
    fs::remove_dir_all(&folder)?;
    Ok(program)
}
