//! A command as the stream to a host (ssh_config's `ProxyCommand`).

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdout, Command};

use crate::endpoint::Endpoint;
use crate::error::{ConnectCause, Phase};
use crate::local::ClosingInput;
use crate::stderr::Stderr;

/// Input and output of a running command, which ends with it.
pub(crate) struct CommandStream {
    input: ClosingInput,
    output: ChildStdout,
    /// Killed when dropped.
    _child: Child,
    /// What it says on standard error.
    words: Stderr,
}

impl CommandStream {
    /// Returns a handle on what the command says on standard error.
    pub fn words(&self) -> Stderr {
        self.words.clone()
    }
}

/// Starts the command of an endpoint.
///
/// # Errors
/// The shell cannot be started.
pub(crate) fn start(endpoint: &Endpoint, command: &str) -> Result<CommandStream, ConnectCause> {
    let failed = |reason: String| ConnectCause::Closed {
        address: endpoint.socket_name(),
        phase: Phase::Connect,
        reason,
        attempts: 1,
    };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("exec {command}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("the proxy command could not be started: {error}")))?;
    let (Some(input), Some(output), Some(mut errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("the proxy command has no streams".to_owned()));
    };
    let (sink, words) = Stderr::capture();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(count) = errors.read(&mut buffer).await
            && count > 0
        {
            sink.push(&buffer[..count]);
        }
    });
    Ok(CommandStream { input: ClosingInput(Some(input)), output, _child: child, words })
}

/// Puts the last line that the command said in place of "the host closed the connection".
pub(crate) async fn explain(cause: ConnectCause, mut words: Stderr) -> ConnectCause {
    let ConnectCause::Closed { address, phase, reason, attempts } = cause else { return cause };
    // It has ended or is about to; one that goes on silently is not waited for.
    let said = tokio::time::timeout(Duration::from_millis(500), words.end()).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let reason = match said.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("the proxy command says: {}", line.trim()),
        None => reason,
    };
    ConnectCause::Closed { address, phase, reason, attempts }
}

impl AsyncRead for CommandStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buf)
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
