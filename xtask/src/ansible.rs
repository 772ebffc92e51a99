//! ansible-core from PyPI, in `target/ansible/`: what our reading of Ansible's inventories is compared with.

use std::fs;

use anyhow::{Context, Result};

use crate::{packages, shell};

/// What is installed, each at the version that the corpus was made with.
const WANTED: &str = "inventory/tests/ansible-requirements.txt";

/// Installs it, unless just that is there already.
pub fn prepare() -> Result<()> {
    let folder = shell::root().join("target/ansible");
    let wanted = fs::read_to_string(shell::root().join(WANTED)).context(WANTED)?;
    let marker = folder.join("installed.txt");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if folder.symlink_metadata().is_ok_and(|known| known.is_symlink()) {
        fs::remove_file(&folder)?;
    } else if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let make = |python: &str| shell::run(&mut shell::command(python, &["-m", "venv", "target/ansible"]));
    if make("python3").is_err() {
        // Debian keeps what makes environments in a package of its own, which only its own Python has use for.
        packages::install(&[&[("python3-venv", "/usr/share/doc/python3-venv")]])?;
        make("/usr/bin/python3")?;
    }
    let pip = folder.join("bin/pip");
    let pip = pip.to_string_lossy();
    // All that is needed is named, so nothing else comes along.
    shell::run(&mut shell::command(&pip, &["install", "--quiet", "--no-deps", "--requirement", WANTED]))?;
    fs::write(marker, wanted).context("noting what was installed")
}
