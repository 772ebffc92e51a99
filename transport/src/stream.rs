//! What lies between TCP and russh: quick acknowledgements, a limit for blocked writes, and a way to cut the line.
//!
//! Each is missing in russh: its first channel waits 41 ms for a delayed ACK, its event loop waits without limit for a
//! peer whose TCP window stays closed (keepalives do not run meanwhile), and a handshake that is given up goes on
//! in a task of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt::set_tcp_quickack;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// Any stream that SSH can run over.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// TCP that acknowledges what it reads at once.
#[derive(Debug)]
pub(crate) struct QuickAck(pub TcpStream);

impl AsyncRead for QuickAck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.0).poll_read(context, buf);
        if result.is_ready() {
            // The kernel forgets the wish after a while (tcp(7)), hence after every read; failure costs only speed.
            let _ = set_tcp_quickack(&self.0, true);
        }
        result
    }
}

impl AsyncWrite for QuickAck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A stream that breaks when its [`Cutter`] is dropped or when nothing can be written for too long.
pub(crate) struct Guarded {
    stream: Box<dyn ByteStream>,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    write_limit: Option<Duration>,
    blocked: Option<Pin<Box<Sleep>>>,
    first_words: FirstWords,
    recording: bool,
}

/// The first bytes that came: whoever is not an SSH server says there who it is, and sshd says why it hangs up.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstWords(Arc<Mutex<Vec<u8>>>);

/// How many of the first bytes are kept.
const FIRST_WORDS_KEPT: usize = 200;

impl FirstWords {
    /// Returns the first line that was said before any SSH version, if there was one.
    pub fn before_version(&self) -> Option<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.is_empty() || bytes.starts_with(b"SSH-2.0-") || bytes.starts_with(b"SSH-1.99-") {
            return None;
        }
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text: String =
            String::from_utf8_lossy(line).trim().chars().filter(|one| !one.is_control()).collect();
        Some(text)
    }

    fn wants_more(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() < FIRST_WORDS_KEPT
    }

    fn record(&self, data: &[u8]) {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = FIRST_WORDS_KEPT - bytes.len();
        bytes.extend(&data[..data.len().min(room)]);
    }
}

/// Cuts the stream when dropped.
#[derive(Debug)]
pub(crate) struct Cutter {
    _cut: oneshot::Sender<()>,
}

impl Guarded {
    /// Wraps a stream. Without `write_limit` a blocked write waits for ever.
    pub fn new(stream: impl ByteStream + 'static, write_limit: Option<Duration>) -> (Self, Cutter) {
        let (sender, cut) = oneshot::channel();
        let first_words = FirstWords::default();
        let guarded = Self {
            stream: Box::new(stream),
            cut,
            is_cut: false,
            write_limit,
            blocked: None,
            first_words,
            recording: true,
        };
        (guarded, Cutter { _cut: sender })
    }

    /// Returns what the peer says first, to be looked at later.
    pub fn first_words(&self) -> FirstWords {
        self.first_words.clone()
    }

    fn check_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.is_cut && Pin::new(&mut self.cut).poll(context).is_ready() {
            self.is_cut = true;
        }
        if self.is_cut {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by this side"));
        }
        Ok(())
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        if !self.recording {
            return Pin::new(&mut *self.stream).poll_read(context, buf);
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut *self.stream).poll_read(context, buf);
        let new = &buf.filled()[before..];
        self.first_words.record(new);
        self.recording = new.is_empty() || self.first_words.wants_more();
        result
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(context)?;
        let result = Pin::new(&mut *self.stream).poll_write(context, data);
        let Some(limit) = self.write_limit else { return result };
        if result.is_ready() {
            self.blocked = None;
            return result;
        }
        let sleep =
            self.blocked.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the host took nothing for {} s", limit.as_secs_f64()),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_dropped_cutter_breaks_a_waiting_read() {
        let (near, _far) = tokio::io::duplex(10);
        let (mut stream, cutter) = Guarded::new(near, None);
        let reader = tokio::spawn(async move { stream.read_u8().await });
        tokio::task::yield_now().await;
        drop(cutter);
        let error = reader.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_an_error() {
        let (near, _far) = tokio::io::duplex(10);
        let (mut stream, _cutter) = Guarded::new(near, Some(Duration::from_millis(50)));
        let error = stream.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_peer_is_no_error() {
        let (near, mut far) = tokio::io::duplex(10);
        let limit = Duration::from_millis(200);
        let (mut stream, _cutter) = Guarded::new(near, Some(limit));
        let started = Instant::now();
        let writer = tokio::spawn(async move { stream.write_all(&[0; 100]).await });
        for _ in 0..10 {
            tokio::time::sleep(limit / 8).await;
            far.read_exact(&mut [0; 10]).await.unwrap();
        }
        writer.await.unwrap().unwrap();
        assert!(started.elapsed() > limit);
    }
}
