//! A command as the stream to a host (ssh_config's `ProxyCommand`).

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdout, Command};

use crate::endpoint::Endpoint;
use crate::error::{ConnectCause, Phase};
use crate::local::ClosingInput;

/// Input and output of a running command, which ends with it.
pub(crate) struct CommandStream {
    input: ClosingInput,
    output: ChildStdout,
    /// Killed when dropped.
    _child: Child,
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
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("the proxy command could not be started: {error}")))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => {
            Ok(CommandStream { input: ClosingInput(Some(input)), output, _child: child })
        }
        _ => Err(failed("the proxy command has no streams".to_owned())),
    }
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
