//! Samples by Linux's `perf`: only its software clock is used, so it works on virtual machines, too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    measure::{run, run_to_end, shown},
    stacks::{Stack, read},
};

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The program and its threads; stacks by the tables for unwinding in its file.
    Program,
    /// The whole machine while the program runs; stacks the same way, but not as deep.
    Machine,
}

impl Scope {
    /// As words of `perf record`.
    #[must_use]
    pub fn options(self) -> &'static [&'static str] {
        match self {
            // Not into the cache in the home directory: the programs are large and gone tomorrow.
            Self::Program => &["-N", "--call-graph", "dwarf,65528"],
            // Programs of containers are found again by what is in them, not by a path that is not of this root.
            Self::Machine => &["-a", "--call-graph", "dwarf,8192", "--buildid-mmap"],
        }
    }
}

/// A perf with a folder for what it records, and for the programs it finds symbols in.
#[derive(Debug)]
pub struct Perf {
    folder: PathBuf,
}

impl Perf {
    /// One that writes to this folder.
    ///
    /// # Errors
    /// It is not installed, or may not record here.
    pub fn new(folder: PathBuf) -> Result<Self> {
        let perf = Self { folder };
        let ended = run_to_end(
            perf.recorder(Scope::Machine, 99)
                .arg("-o")
                .arg(perf.folder.join("try.data"))
                .args(["--", "true"]),
        )
        .context("perf is not there (on Debian: apt-get install linux-perf)")?;
        ensure!(ended.code == Some(0), "perf cannot record here ({})", ended.output.trim());
        Ok(perf)
    }

    /// Makes a program's symbols known, wherever it is run from.
    ///
    /// # Errors
    /// It has no build id, or cannot be copied.
    pub fn know(&self, program: &Path) -> Result<()> {
        run(self.perf().args(["buildid-cache", "--add"]).arg(program), &[0]).map(drop)
    }

    /// Runs a program to its end, which must be a good one, and tells all stacks that were sampled.
    ///
    /// # Errors
    /// It fails, or perf does.
    pub fn record(&self, scope: Scope, frequency: u32, program: &Command) -> Result<Vec<Stack>> {
        let data = self.folder.join("perf.data");
        let mut perf = self.recorder(scope, frequency);
        perf.arg("-o").arg(&data).arg("--").arg(program.get_program()).args(program.get_args());
        if let Some(folder) = program.get_current_dir() {
            perf.current_dir(folder);
        }
        run(&mut perf, &[0])?;
        let stacks = self.told(&data);
        fs::remove_file(&data)?;
        stacks
    }

    /// What perf has recorded.
    fn told(&self, data: &Path) -> Result<Vec<Stack>> {
        let mut script = self.perf();
        script.args(["script", "--no-inline", "-F", "comm,tid,ip,sym,dso", "-i"]).arg(data);
        let output = script.stdin(Stdio::null()).stderr(Stdio::null()).output().context("perf script")?;
        ensure!(output.status.success(), "`{}` failed: {}", shown(&script), output.status);
        Ok(read(&String::from_utf8_lossy(&output.stdout)))
    }

    fn recorder(&self, scope: Scope, frequency: u32) -> Command {
        let mut perf = self.perf();
        perf.args(["record", "-q", "-e", "cpu-clock", "-F", &frequency.to_string()]).args(scope.options());
        perf
    }

    fn perf(&self) -> Command {
        let mut perf = Command::new("perf");
        perf.arg("--buildid-dir").arg(self.folder.join("symbols"));
        perf
    }
}
