//! The last words of a command: a bounded capture of its standard error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How much of standard error is kept, in bytes: the end of it.
pub const STDERR_KEPT: usize = 64 * 1024;

/// Reads what a command wrote to standard error; clones see the same.
#[derive(Debug, Clone)]
pub struct Stderr {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

/// The writing side of a [`Stderr`]; dropping it ends the capture.
#[derive(Debug)]
pub struct StderrSink {
    shared: Arc<Shared>,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<VecDeque<u8>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stderr {
    /// Makes a capture and its writing side.
    #[must_use]
    pub fn capture() -> (StderrSink, Self) {
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = watch::channel(false);
        (StderrSink { shared: Arc::clone(&shared), ended: sender }, Self { shared, ended: receiver })
    }

    /// Returns what there is up to now: the last 64 KiB at most.
    #[must_use]
    pub fn so_far(&self) -> Vec<u8> {
        self.shared.lock().iter().copied().collect()
    }

    /// Waits until the command closed standard error (or the connection is gone) and returns the last 64 KiB.
    pub async fn end(&mut self) -> Vec<u8> {
        // An error means that the sink is gone, which is the end as well.
        let _ = self.ended.wait_for(|ended| *ended).await;
        self.so_far()
    }
}

impl StderrSink {
    /// Adds bytes; the oldest make room.
    pub fn push(&self, data: &[u8]) {
        let data = &data[data.len().saturating_sub(STDERR_KEPT)..];
        let mut kept = self.shared.lock();
        let excess = (kept.len() + data.len()).saturating_sub(STDERR_KEPT);
        kept.drain(..excess);
        kept.extend(data);
    }

    /// Ends the capture.
    pub fn finish(&self) {
        let _ = self.ended.send(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_is_kept() {
        let (sink, mut stderr) = Stderr::capture();
        sink.push(&vec![b'a'; STDERR_KEPT]);
        sink.push(b"the end");
        assert_eq!(stderr.so_far().len(), STDERR_KEPT);
        drop(sink);
        assert!(stderr.end().await.ends_with(b"aathe end"));
    }

    #[tokio::test]
    async fn one_huge_piece_is_cut_too() {
        let (sink, stderr) = Stderr::capture();
        let mut data = vec![b'a'; 3 * STDERR_KEPT];
        data.extend(b"z");
        sink.push(&data);
        assert_eq!(stderr.so_far().len(), STDERR_KEPT);
        assert_eq!(stderr.so_far().last(), Some(&b'z'));
    }
}
