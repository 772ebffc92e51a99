//! `cm`: the command line. Commands are one file each under `commands/`; reports under `report/`.

mod chosen;
mod commands;
mod drive;
mod exit;
mod failure;
mod fleet;
mod interrupt;
mod mend;
mod names;
mod options;
mod plan_file;
mod privacy;
mod record;
mod remembered;
mod report;
mod retention;
mod rollout;
mod take_back;
mod watch;

use clap::Parser;

use crate::{exit::Exit, options::Options};

fn main() -> std::process::ExitCode {
    privacy::keep_memory();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help and version are no failures; a closed pipe is nobody's error.
            let _ = error.print();
            let code = if error.use_stderr() { Exit::Input } else { Exit::Ok };
            return (code as u8).into();
        }
    };
    options.colour();
    let exit = commands::run(&options).unwrap_or_else(|failure| {
        failure.show();
        Exit::Input
    });
    (exit as u8).into()
}
