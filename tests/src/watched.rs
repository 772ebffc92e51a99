//! A run of `cm --json` whose events are seen while it lasts, so that a fault can come at a known moment.

use std::{
    io::{BufRead as _, BufReader},
    process::Child,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::Ran;

/// An event that does not come within this time does not come at all.
const LIMIT: Duration = Duration::from_secs(120);

/// A run that is being watched; it is killed when it is dropped.
pub struct Watched {
    child: Option<Child>,
    line: String,
    start: Instant,
    lines: Receiver<String>,
    seen: String,
}

impl Watched {
    pub(crate) fn new(mut child: Child, line: String, start: Instant) -> Self {
        let stdout = child.stdout.take().expect("its output is a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child: Some(child), line, start, lines, seen: String::new() }
    }

    /// Waits for the first event from now on that is as wanted.
    ///
    /// # Panics
    /// When the run ends before, or nothing comes for minutes.
    #[track_caller]
    pub fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let line = match self.lines.recv_timeout(LIMIT) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: silent for {LIMIT:?}:\n{}", self.line, self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("{}: ended before:\n{}", self.line, self.seen),
            };
            self.seen.push_str(&line);
            self.seen.push('\n');
            let event: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Waits until so many tasks more have ended on hosts.
    ///
    /// # Panics
    /// As [`Watched::until`].
    #[track_caller]
    pub fn after_tasks(&mut self, count: usize) {
        for _ in 0..count {
            self.until(|event| event["event"] == "task");
        }
    }

    /// Its process id.
    ///
    /// # Panics
    /// Never: only [`Watched::finish`] takes the process away.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was not waited for").id()
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.child.as_mut().expect("it was not waited for").kill().expect("our own child");
    }

    /// Waits for its end; all it said, what was seen before included.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Ran {
        let child = self.child.take().expect("it was not waited for");
        let mut ran = Ran::of(child, std::mem::take(&mut self.line), self.start);
        ran.stdout = std::mem::take(&mut self.seen);
        for line in &self.lines {
            ran.stdout.push_str(&line);
            ran.stdout.push('\n');
        }
        ran
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended by itself needs no end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
