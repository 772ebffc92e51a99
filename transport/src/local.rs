//! This machine as a host: commands run by `/bin/sh -c`, no SSH.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::process::{ChildStdin, Command};

use crate::connection::{CloseFuture, Connection, ExecFuture, Transport};
use crate::error::SessionError;
use crate::session::{Exit, ExitStatus, Session, Stdin, Stdout};
use crate::stderr::Stderr;

/// Makes a connection to this machine.
#[must_use]
pub fn connect() -> Connection {
    Connection::new(Local)
}

#[derive(Debug)]
struct Local;

impl Transport for Local {
    fn exec<'a>(&'a mut self, command: &'a str) -> ExecFuture<'a> {
        Box::pin(async move { start(command) })
    }

    fn close(self: Box<Self>) -> CloseFuture {
        Box::pin(async {})
    }

    fn host_key_fingerprint(&self) -> Option<&str> {
        None
    }
}

fn start(command: &str) -> Result<Session, SessionError> {
    let not_started = |reason: String| SessionError::NotStarted { reason };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own process group, as under sshd: a Ctrl-C at the terminal is for `cm`, which then tells the command.
        .process_group(0)
        .spawn()
        .map_err(|error| not_started(format!("/bin/sh: {error}")))?;
    let (Some(stdin), Some(stdout), Some(mut errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(not_started("its streams are missing".to_owned()));
    };
    let (sink, stderr) = Stderr::capture();
    let (ended, exit) = Exit::channel();
    tokio::spawn(async move {
        let mut buffer = vec![0; 8 * 1024];
        loop {
            match errors.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => sink.push(&buffer[..count]),
            }
        }
        drop(sink);
        let status = match child.wait().await {
            Ok(status) => Ok(match (status.code(), status.signal()) {
                (Some(code), _) => ExitStatus::Code(code.unsigned_abs()),
                (None, Some(signal)) => ExitStatus::Signal(signal_name(signal)),
                (None, None) => ExitStatus::Code(255),
            }),
            Err(error) => Err(SessionError::Lost { reason: error.to_string() }),
        };
        let _ = ended.send(status);
    });
    Ok(Session { stdin: Stdin::new(ClosingInput(Some(stdin))), stdout: Stdout::new(stdout), stderr, exit })
}

/// Input of a child process; `shutdown` closes the pipe, which tokio's own leaves open until it is dropped.
pub(crate) struct ClosingInput(pub(crate) Option<ChildStdin>);

impl ClosingInput {
    fn open(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for ClosingInput {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.as_mut() {
            Some(pipe) => Pin::new(pipe).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(context);
        if flushed.is_ready() {
            self.0 = None;
        }
        flushed
    }
}

/// Names the signals that end programs, as SSH does (RFC 4254, section 6.10); others keep their number.
fn signal_name(signal: i32) -> String {
    match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        other => return other.to_string(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_command_gets_input_and_gives_output_errors_and_status() {
        let mut session = connect().exec("cat; echo oops >&2; exit 3").await.unwrap();
        session.stdin.write_all(b"hello").await.unwrap();
        session.stdin.shutdown().await.unwrap();
        let mut output = String::new();
        session.stdout.read_to_string(&mut output).await.unwrap();
        assert_eq!(output, "hello");
        assert_eq!(session.stderr.end().await, b"oops\n");
        assert_eq!(session.exit.await, Ok(ExitStatus::Code(3)));
    }

    #[tokio::test]
    async fn a_signal_is_told_by_name() {
        let session = connect().exec("kill -KILL $$").await.unwrap();
        assert_eq!(session.exit.await, Ok(ExitStatus::Signal("KILL".to_owned())));
    }
}
