//! Python environments in `target/bench/peers/`, one a tool: kept between runs, made anew where other versions are
//! wanted.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::measure;

/// The folder of an environment with exactly these packages.
pub fn installed(name: &str, requirements: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program lies")?;
    let target = program.ancestors().nth(2).context("this program lies in target/release")?;
    let folder = target.join("bench/peers").join(name);
    let marker = folder.join("installed.txt");
    if fs::read_to_string(&marker).is_ok_and(|there| there == requirements) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    // Debian's own, whichever others there are: it is what an operator's machine has.
    measure::run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&folder), &[0])?;
    let list = folder.join("requirements.txt");
    fs::write(&list, requirements)?;
    let mut pip = Command::new(folder.join("bin/pip"));
    // All that is needed is named, so nothing else comes along.
    pip.args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"]).arg(&list);
    measure::run(&mut pip, &[0]).with_context(|| format!("{name} cannot be installed from PyPI"))?;
    fs::write(&marker, requirements)?;
    Ok(folder)
}
