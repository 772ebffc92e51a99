//! Commands of an overlay: those that only ask are asked below, those that change are not run; and of the
//! empty node, which has no programs.

use std::io;

use cm_wire::Output;

use super::{Empty, Overlay};
use crate::{
    Node,
    node::{Command, Commands, Finished},
};

impl Commands for Overlay<'_> {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        if !command.changes {
            return self.below.run(command);
        }
        // What it would have left behind, nobody knows.
        self.things_may_appear();
        Ok(Finished { output: Output::default(), timed_out: false })
    }
}

impl Commands for Empty {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        let program = command.argv.first().map_or("", String::as_str);
        Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no program `{program}` on the node")))
    }
}
