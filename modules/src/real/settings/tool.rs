//! Programs that set what has no file of its own, and why they fail in a container.

use std::{io::ErrorKind, time::Instant};

use crate::{
    Doing, Problem,
    node::{Command, Commands},
    real::Real,
};

/// Runs a program that changes the node; `doing` says what for: `mounting /srv`.
///
/// # Errors
/// When it is not there or fails, with its last words.
pub(super) fn run(
    real: &Real,
    doing: &str,
    argv: &[&str],
    stdin: Option<&str>,
    deadline: Instant,
) -> Result<(), Problem> {
    let stdin = stdin.map(|text| text.as_bytes().to_vec());
    let command = Command { stdin, ..Command::change(argv, deadline) };
    let finished = match real.run(&command) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Problem::new(format!("{doing}: there is no program `{}` on the node", argv[0]))
                .hint("a task that installs its package must come before"));
        }
        finished => finished.doing(format_args!("{doing}: running `{}`", argv[0]))?,
    };
    if finished.success() {
        return Ok(());
    }
    let words = if finished.timed_out {
        "it did not end in time".into()
    } else {
        last_words(&finished.output.stderr)
            .or_else(|| last_words(&finished.output.stdout))
            .unwrap_or_else(|| format!("`{}` ended with status {}", argv[0], finished.output.status))
    };
    Err(Problem::new(format!("{doing}: {words}")).output(finished.output))
}

/// The last line that says something.
fn last_words(text: &str) -> Option<String> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// The kind of container this machine is, none for a whole one (systemd's container interface, and what
/// Docker and Podman leave).
pub(super) fn container() -> Option<String> {
    if let Ok(text) = std::fs::read_to_string("/run/systemd/container") {
        return Some(text.trim().to_owned());
    }
    [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")]
        .into_iter()
        .find(|(path, _)| std::fs::symlink_metadata(path).is_ok())
        .map(|(_, kind)| kind.to_owned())
}

/// Adds to a failure what a container has to do with it: its kernel is its host's.
pub(super) fn in_container(problem: Problem, what: &str) -> Problem {
    match container() {
        Some(kind) => problem.hint(format!(
            "this node is a container ({kind}); {what} are its host's to manage: take the task to the host, or \
             keep it off them: `when: node.virtualization != {kind:?}`"
        )),
        None => problem,
    }
}
