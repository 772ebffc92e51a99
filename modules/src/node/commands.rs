//! Commands that run on a node.

use std::{collections::BTreeMap, io, os::fd::BorrowedFd, path::PathBuf, time::Instant};

use cm_wire::{Output, Stream};

/// Takes output of a running command as it comes, whole lines where it can be helped.
pub type Live<'a> = &'a (dyn Fn(Stream, &str) + Sync);

/// A command to run. No shell is involved unless `argv` names one.
pub struct Command<'a> {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working directory; none: `/`.
    pub cwd: Option<PathBuf>,
    /// Added to a fixed environment (PATH, LANG=C.UTF-8, HOME, USER, and DEBIAN_FRONTEND=noninteractive).
    pub env: BTreeMap<String, String>,
    /// Standard input; empty otherwise.
    pub stdin: Option<Vec<u8>>,
    /// A file as standard input, in place of `stdin`.
    pub input: Option<BorrowedFd<'a>>,
    /// A file or pipe that takes standard output, of which nothing is kept or shown then.
    pub output: Option<BorrowedFd<'a>>,
    /// The user to run as, with that user's groups and home; none: the agent's own.
    pub run_as: Option<String>,
    /// The process group is killed at this time.
    pub deadline: Instant,
    /// Takes output as it comes.
    pub live: Option<Live<'a>>,
    /// It changes something: a plan does not run it. False for queries.
    pub changes: bool,
    /// `argv` names a program of the user's repository, kept where only the agent's own user can go: it gets
    /// PATH and LANG alone, and another user runs it by a descriptor.
    pub foreign: bool,
}

impl Command<'_> {
    /// A query that changes nothing, with ten minutes at most.
    #[must_use]
    pub fn query(argv: &[&str]) -> Self {
        Self {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            cwd: None,
            env: BTreeMap::new(),
            stdin: None,
            input: None,
            output: None,
            run_as: None,
            deadline: Instant::now() + std::time::Duration::from_secs(600),
            live: None,
            changes: false,
            foreign: false,
        }
    }

    /// A command that changes the node, with this deadline.
    #[must_use]
    pub fn change(argv: &[&str], deadline: Instant) -> Self {
        Self { deadline, changes: true, ..Self::query(argv) }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Exit status and output, at most 1 MiB of each stream kept (the first and the last half).
    pub output: Output,
    /// It was killed at its deadline.
    pub timed_out: bool,
}

impl Finished {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.output.status == 0 && !self.timed_out
    }
}

/// Runs commands.
pub trait Commands {
    /// Runs a command to its end. All processes of its group are ended with it at the deadline; a
    /// daemon that it leaves behind and that holds its output open does not hold it up.
    ///
    /// # Errors
    /// When it cannot be started: the program or directory is missing, or its user is unknown.
    fn run(&self, command: &Command<'_>) -> io::Result<Finished>;
}
