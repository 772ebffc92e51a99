//! Runs programs that print hosts: executable inventories and commands of `sources:`.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Bytes of an error's output that are told.
const TOLD: usize = 2000;

/// Why a program gave no hosts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("`{0}` cannot be started")]
    Start(String, #[source] std::io::Error),
    #[error("`{program}` ended with {status}")]
    Failed { program: String, status: String, stderr: String },
    #[error("`{program}` did not end within {} s", time.as_secs())]
    Late { program: String, time: Duration },
    #[error("`{program}` printed more than {limit} bytes")]
    TooMuch { program: String, limit: usize },
    #[error("what `{0}` printed cannot be read")]
    Output(String, #[source] std::io::Error),
}

/// Limits of one call.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Limits {
    pub time: Duration,
    /// Bytes of standard output.
    pub output: usize,
}

/// Runs a program in a folder and gives what it printed. What it started ends with it when it takes too long.
pub(crate) fn run(words: &[String], folder: &Path, limits: Limits) -> Result<Vec<u8>, ProgramError> {
    let shown = words.join(" ");
    let (program, arguments) = words.split_first().map_or(("", [].as_slice()), |(first, rest)| (first, rest));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| ProgramError::Start(shown.clone(), error))?;
    let until = Instant::now() + limits.time;
    let output = take(child.stdout.take(), limits.output);
    let errors = take(child.stderr.take(), TOLD);
    let receive = |receiver: &std::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>| match receiver
        .recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        Ok(read) => read.map_err(|error| ProgramError::Output(shown.clone(), error)),
        Err(RecvTimeoutError::Timeout) => {
            Err(ProgramError::Late { program: shown.clone(), time: limits.time })
        }
        Err(RecvTimeoutError::Disconnected) => Ok(Vec::new()),
    };
    let outcome = receive(&output).and_then(|output| {
        if output.len() > limits.output {
            return Err(ProgramError::TooMuch { program: shown.clone(), limit: limits.output });
        }
        Ok((output, receive(&errors)?))
    });
    let (output, errors) = match outcome {
        Ok(both) => both,
        Err(error) => {
            end(&mut child);
            return Err(error);
        }
    };
    let status = loop {
        match child.try_wait().map_err(|error| ProgramError::Output(shown.clone(), error))? {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            None => {
                end(&mut child);
                return Err(ProgramError::Late { program: shown, time: limits.time });
            }
        }
    };
    if status.success() {
        Ok(output)
    } else {
        let stderr = String::from_utf8_lossy(&errors).trim().to_owned();
        Err(ProgramError::Failed { program: shown, status: status.to_string(), stderr })
    }
}

/// Reads a stream to its end on a thread of its own; one byte beyond the limit says that there was more.
fn take(
    stream: Option<impl Read + Send + 'static>,
    limit: usize,
) -> std::sync::mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (send, receive) = channel();
    if let Some(mut stream) = stream {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stream.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes);
            let _ = send.send(read.map(|_| bytes));
            // What nobody wants is still taken, so that the program ends by itself.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
    }
    receive
}

/// Ends the program and all of its group.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

impl ProgramError {
    /// What the program said of its failure.
    pub(crate) fn told(&self) -> Option<&str> {
        match self {
            Self::Failed { stderr, .. } if !stderr.is_empty() => Some(stderr),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, limits: Limits) -> Result<Vec<u8>, ProgramError> {
        run(&["/bin/sh".into(), "-c".into(), text.into()], Path::new("/"), limits)
    }

    const LIMITS: Limits = Limits { time: Duration::from_secs(60), output: 100 };

    #[test]
    fn what_a_program_prints_comes_back() {
        assert_eq!(shell("echo hosts; echo noise >&2", LIMITS).unwrap(), b"hosts\n");
        let failed = shell("echo why >&2; exit 3", LIMITS).unwrap_err();
        assert_eq!(failed.told(), Some("why"));
        assert!(failed.to_string().contains("exit status: 3"), "{failed}");
        assert!(matches!(run(&["/none".into()], Path::new("/"), LIMITS), Err(ProgramError::Start(..))));
    }

    #[test]
    fn too_much_and_too_late_are_errors() {
        let much = shell("yes | head -c 1000", LIMITS);
        assert!(matches!(much, Err(ProgramError::TooMuch { limit: 100, .. })));
        let short = Limits { time: Duration::from_millis(50), ..LIMITS };
        assert!(matches!(shell("sleep 600 & wait", short), Err(ProgramError::Late { .. })));
    }
}
