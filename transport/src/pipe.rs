//! A queue of bytes between a connection's event loop and a slow reader, bounded in memory.
//!
//! Why it exists: russh gives the peer new window when data *arrives*, not when somebody has read it, and its event
//! loop stops for the whole connection when one channel's queue is full: then window updates for what we send are
//! not read either (a deadlock when the reader waits for its own writes), keepalives stop, and behind a jump
//! host every other host stands still. So the event loop must be able to put data down at once. What does not fit
//! into memory goes to an unlinked temporary file; only when that reaches its limit is the event loop held.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

/// How much one pipe may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PipeLimits {
    /// Bytes held in memory.
    pub memory: usize,
    /// Bytes held in the temporary file beyond that.
    pub spill: u64,
}

impl Default for PipeLimits {
    fn default() -> Self {
        Self { memory: 256 * 1024, spill: 64 * 1024 * 1024 }
    }
}

/// What a write to a pipe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room for more.
    Left,
    /// The data was taken but the limit is reached: write no more before [`Pipe::room`] returns.
    Full,
}

/// The writing side; any number of clones.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    shared: Arc<Shared>,
}

/// The reading side. Dropping it makes the pipe swallow what comes.
#[derive(Debug)]
pub(crate) struct PipeReader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    room: Notify,
    limits: PipeLimits,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<u8>,
    spill: Option<Spill>,
    waker: Option<Waker>,
    end: Option<End>,
    reader_gone: bool,
}

#[derive(Debug, Clone)]
enum End {
    Eof,
    Lost(String),
}

/// Bytes in a file that are younger than all bytes in memory.
#[derive(Debug)]
struct Spill {
    file: File,
    read: u64,
    written: u64,
}

/// Makes a pipe.
pub(crate) fn pipe(limits: PipeLimits) -> (Pipe, PipeReader) {
    let shared = Arc::new(Shared { state: Mutex::default(), room: Notify::new(), limits });
    (Pipe { shared: Arc::clone(&shared) }, PipeReader { shared })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another thread leaves the queue whole: every change of it is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// Takes all of `data` at once and says whether there is room for more.
    pub fn push(&self, data: &[u8]) -> Room {
        let mut state = self.shared.lock();
        if state.reader_gone || state.end.is_some() {
            return Room::Left;
        }
        state.store(data, self.shared.limits);
        let full = state.is_full(self.shared.limits);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if full { Room::Full } else { Room::Left }
    }

    /// Waits until there is room again, or nobody reads any more.
    pub async fn room(&self) {
        loop {
            let notified = self.shared.room.notified();
            {
                let state = self.shared.lock();
                if state.reader_gone || state.end.is_some() || !state.is_full(self.shared.limits) {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Ends the stream; the reader gets what is queued, then end of file.
    pub fn finish(&self) {
        self.end(End::Eof);
    }

    /// Ends the stream with a fault; the reader gets what is queued, then an error with this text.
    pub fn fail(&self, reason: &str) {
        self.end(End::Lost(reason.to_owned()));
    }

    fn end(&self, end: End) {
        let mut state = self.shared.lock();
        if state.end.is_none() {
            state.end = Some(end);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.shared.room.notify_waiters();
    }
}

impl State {
    fn store(&mut self, data: &[u8], limits: PipeLimits) {
        if self.spill.is_none() && self.memory.len() + data.len() <= limits.memory {
            self.memory.extend(data);
            return;
        }
        if self.spill.is_none() {
            match spill_file() {
                Ok(file) => self.spill = Some(Spill { file, read: 0, written: 0 }),
                // No disk: memory takes this one packet, `is_full` then holds the writer.
                Err(_) => {
                    self.memory.extend(data);
                    return;
                }
            }
        }
        if let Some(spill) = &mut self.spill {
            match spill.file.write_all_at(data, spill.written) {
                Ok(()) => spill.written += data.len() as u64,
                Err(error) => {
                    // Bytes in order or not at all: the stream ends where the disk did.
                    self.end = Some(End::Lost(format!("its output could not be kept on disk: {error}")));
                }
            }
        }
    }

    fn is_full(&self, limits: PipeLimits) -> bool {
        match &self.spill {
            Some(spill) => spill.written - spill.read >= limits.spill,
            None => self.memory.len() > limits.memory,
        }
    }

    fn take(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        if !self.memory.is_empty() {
            let (first, _) = self.memory.as_slices();
            let count = first.len().min(buf.remaining());
            buf.put_slice(&first[..count]);
            self.memory.drain(..count);
            return Ok(true);
        }
        let Some(spill) = &mut self.spill else { return Ok(false) };
        let left = spill.written - spill.read;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining());
        let target = buf.initialize_unfilled_to(count);
        spill.file.read_exact_at(target, spill.read)?;
        buf.advance(count);
        spill.read += count as u64;
        if spill.read == spill.written {
            // Drained: the file goes, the next bytes stay in memory again.
            self.spill = None;
        }
        Ok(count > 0)
    }
}

/// Prefers `/var/tmp`: `/tmp` is memory on many systems, and memory is what must be saved here.
fn spill_file() -> io::Result<File> {
    tempfile::tempfile_in("/var/tmp").or_else(|_| tempfile::tempfile())
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.shared.lock();
        let was_full = state.is_full(self.shared.limits);
        if state.take(buf)? {
            let freed = was_full && !state.is_full(self.shared.limits);
            drop(state);
            if freed {
                self.shared.room.notify_waiters();
            }
            return Poll::Ready(Ok(()));
        }
        match &state.end {
            Some(End::Eof) => Poll::Ready(Ok(())),
            Some(End::Lost(reason)) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, reason.clone())))
            }
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.reader_gone = true;
        state.memory = VecDeque::new();
        state.spill = None;
        drop(state);
        self.shared.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const SMALL: PipeLimits = PipeLimits { memory: 10, spill: 100 };

    #[tokio::test]
    async fn bytes_keep_their_order_across_memory_and_file() {
        let (pipe, mut reader) = pipe(SMALL);
        let mut sent = Vec::new();
        let mut received = Vec::new();
        for round in 0..200_u8 {
            let data: Vec<u8> = (0..round % 17).map(|n| n.wrapping_mul(round)).collect();
            let _ = pipe.push(&data);
            sent.extend(&data);
            if round % 3 == 0 && received.len() < sent.len() {
                let mut some = [0; 23];
                let count = reader.read(&mut some).await.unwrap();
                received.extend(&some[..count]);
            }
        }
        pipe.finish();
        reader.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn a_full_pipe_holds_its_writer_until_somebody_reads() {
        let (pipe, mut reader) = pipe(SMALL);
        assert_eq!(pipe.push(&[1; 10]), Room::Left);
        assert_eq!(pipe.push(&[2; 99]), Room::Left);
        assert_eq!(pipe.push(&[3; 1]), Room::Full);
        let waiter = tokio::spawn({
            let pipe = pipe.clone();
            async move { pipe.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        let mut some = [0; 50];
        reader.read_exact(&mut some).await.unwrap();
        waiter.await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_stream_gives_what_it_has_and_then_the_reason() {
        let (pipe, mut reader) = pipe(SMALL);
        let _ = pipe.push(b"last words");
        pipe.fail("the cable was cut");
        pipe.finish();
        let mut all = Vec::new();
        let error = reader.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(all, b"last words");
        assert_eq!(error.to_string(), "the cable was cut");
    }

    #[tokio::test]
    async fn nobody_is_held_for_a_reader_that_is_gone() {
        let (pipe, reader) = pipe(SMALL);
        let _ = pipe.push(&[0; 200]);
        drop(reader);
        pipe.room().await;
        assert_eq!(pipe.push(&[0; 1000]), Room::Left);
    }
}
