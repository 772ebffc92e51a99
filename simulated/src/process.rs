//! The processes that a measurement starts: the program that measures is started once more, with other words.

use clap::Parser;

use crate::{
    handshakes::{Handshakes, handshakes},
    serve::{Serve, serve},
};

/// The first word of their command lines.
pub(crate) const PROCESS: &str = "simulated-nodes";

#[derive(Parser)]
#[command(bin_name = PROCESS, no_binary_name = true)]
enum Process {
    /// Serves nodes until standard input ends.
    Serve(Serve),
    /// Connects to nodes, runs `true`, and closes.
    Handshakes(Handshakes),
}

/// Does the work of such a process if this one was started as one; none: it was not.
#[must_use]
pub fn process() -> Option<anyhow::Result<()>> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != PROCESS {
        return None;
    }
    Some(match Process::try_parse_from(words) {
        Ok(Process::Serve(arguments)) => serve(arguments),
        Ok(Process::Handshakes(arguments)) => handshakes(&arguments),
        Err(error) => Err(error.into()),
    })
}
