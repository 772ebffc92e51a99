//! `cm completions SHELL` and `cm man DIR`, made from the same definitions as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{exit::Exit, failure::Failure, options::Options};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args, Debug)]
pub struct ManualArguments {
    /// The folder to write `cm.1` and `cm-COMMAND.1` to.
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Options::command(), "cm", &mut script);
    crate::report::print(&String::from_utf8_lossy(&script));
    Ok(Exit::Ok)
}

pub fn manual_pages(arguments: &ManualArguments) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::because(format!("cannot write manual pages to {}", arguments.folder.display()), &error)
    };
    std::fs::create_dir_all(&arguments.folder).map_err(failed)?;
    clap_mangen::generate_to(Options::command(), &arguments.folder).map_err(failed)?;
    Ok(Exit::Ok)
}
