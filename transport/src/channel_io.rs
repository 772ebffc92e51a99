//! The ends of a channel as streams: standard input of a command, and the stream through a jump host.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::handler::{ChannelEnds, InputGate};
use crate::pipe::PipeReader;

/// Writes to a channel, held back by its window.
pub(crate) struct ChannelWriter {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    half: Arc<ChannelWriteHalf<Msg>>,
    gate: Arc<InputGate>,
    at_drop: AtDrop,
    shut: bool,
}

/// What dropping a writer says to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtDrop {
    /// No more input comes; output may.
    Eof,
    /// The channel is not needed any more.
    Close,
}

impl ChannelWriter {
    /// Wraps the writing half of a channel.
    pub fn new(half: ChannelWriteHalf<Msg>, gate: Arc<InputGate>, at_drop: AtDrop) -> Self {
        Self { writer: Box::pin(half.make_writer()), half: Arc::new(half), gate, at_drop, shut: false }
    }

    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        match self.gate.poll_closed(context) {
            Some(reason) => Err(io::Error::new(io::ErrorKind::BrokenPipe, reason)),
            None => Ok(()),
        }
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        if data.is_empty() {
            // russh calls an empty write an error.
            return Poll::Ready(Ok(0));
        }
        self.writer.as_mut().poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shut || self.gate.poll_closed(context).is_some() {
            return Poll::Ready(Ok(()));
        }
        let result = self.writer.as_mut().poll_shutdown(context);
        if result.is_ready() {
            self.shut = true;
        }
        result
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        if self.shut && self.at_drop == AtDrop::Eof {
            return;
        }
        // Without a runtime there is no event loop that could send it either.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let half = Arc::clone(&self.half);
        let at_drop = self.at_drop;
        runtime.spawn(async move {
            let _ = match at_drop {
                AtDrop::Eof => half.eof().await,
                AtDrop::Close => half.close().await,
            };
        });
    }
}

/// A TCP stream that a jump host carries.
pub(crate) struct JumpStream {
    reader: PipeReader,
    writer: ChannelWriter,
}

impl JumpStream {
    /// Puts the two ends of a channel together.
    pub fn new(half: ChannelWriteHalf<Msg>, ends: ChannelEnds) -> Self {
        Self { reader: ends.reader, writer: ChannelWriter::new(half, ends.input, AtDrop::Close) }
    }
}

impl AsyncRead for JumpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buf)
    }
}

impl AsyncWrite for JumpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
