//! Running the tools a lab is made with, and saying exactly which call failed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Where tools lie that a root shell reached by `su` or `sudo` may not have on its PATH.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Says which command failed and how.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The program could not be started at all.
    #[error("could not start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("`{command}` failed ({status}){}", shown(stderr))]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote to stderr.
        stderr: String,
    },
}

fn shown(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// Finds a tool on PATH or in the system's own folders.
pub(crate) fn locate(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(tool))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// A command of `tool` that gives the same answer whatever language the user's terminal speaks.
pub(crate) fn tool(tool: &str) -> Command {
    let mut command = Command::new(locate(tool).unwrap_or_else(|| PathBuf::from(tool)));
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a tool to its end and returns what it wrote to stdout.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<String, CommandError> {
    run_command(tool(program).args(arguments), None)
}

/// Runs a tool to its end with `input` on its stdin.
pub(crate) fn run_with_input<A: AsRef<OsStr>>(
    program: &str,
    arguments: &[A],
    input: &str,
) -> Result<String, CommandError> {
    run_command(tool(program).args(arguments), Some(input))
}

/// Runs a prepared command to its end; both output streams are collected.
pub(crate) fn run_command(command: &mut Command, input: Option<&str>) -> Result<String, CommandError> {
    let line = command_line(command);
    let start = |source| CommandError::Start { command: line.clone(), source };
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    if let Some(input) = input
        && let Some(mut stdin) = child.stdin.take()
    {
        // A tool that ends without reading its input says why by its exit status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = last_lines(&String::from_utf8_lossy(&output.stderr), 8);
    Err(CommandError::Failed { command: line, status: output.status, stderr })
}

/// The command as one line, for messages.
pub(crate) fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_os_string();
    let words: Vec<OsString> =
        std::iter::once(program).chain(command.get_args().map(OsStr::to_os_string)).collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// The last `count` lines that hold something.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_says_what_it_was_and_what_it_wrote() {
        let error = run("sh", &["-c", "echo lost >&2; exit 3"]).unwrap_err().to_string();
        assert_eq!(error, "`sh -c echo lost >&2; exit 3` failed (exit status: 3): lost");
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = run::<&str>("no-such-tool-at-all", &[]).unwrap_err().to_string();
        assert_eq!(error, "could not start `no-such-tool-at-all`");
    }

    #[test]
    fn input_reaches_the_tool() {
        assert_eq!(run_with_input::<&str>("cat", &[], "hello").unwrap(), "hello");
    }
}
