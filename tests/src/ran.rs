//! A command that has ended: its status and what it said.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A run of `cm` that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(150);

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ran {
    /// The command line.
    pub line: String,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// Starts a command and waits for its end.
///
/// # Panics
/// When it cannot be started, or does not end in time.
#[must_use]
pub fn finish(command: &mut Command) -> Ran {
    let line = format!("{command:?}");
    let start = Instant::now();
    let child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    Ran::of(child, line, start)
}

impl Ran {
    /// Waits for the end of a command that was started with pipes for its output.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn of(mut child: Child, line: String, start: Instant) -> Self {
        let stdout = reader(child.stdout.take());
        let stderr = reader(child.stderr.take());
        let status = wait(&mut child, &line);
        Self {
            line,
            code: status.code(),
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
            took: start.elapsed(),
        }
    }

    /// All that it said.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Demands an exit code.
    ///
    /// # Panics
    /// When it is another one, with all that was said.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n--- stdout\n{}--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Demands that each of these is part of what was said.
    ///
    /// # Panics
    /// When one is not.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        let said = self.said();
        for part in parts {
            assert!(said.contains(part), "{}\ndoes not say {part:?}:\n{said}", self.line);
        }
        self
    }

    /// Demands that none of these is part of what was said.
    ///
    /// # Panics
    /// When one is.
    #[track_caller]
    pub fn never_says(self, parts: &[&str]) -> Self {
        let said = self.said();
        for part in parts {
            assert!(!said.contains(part), "{}\nsays {part:?}:\n{said}", self.line);
        }
        self
    }

    /// The lines of `--json`.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[must_use]
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The lines of `--json` that tell a task's end.
    #[must_use]
    #[track_caller]
    pub fn tasks(&self) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == "task").collect()
    }

    /// The outcome of a task on a host, as `--json` tells it.
    #[must_use]
    #[track_caller]
    pub fn outcome(&self, host: &str, task: &str) -> Option<String> {
        let tasks = self.tasks();
        let found = tasks.iter().find(|event| event["host"] == host && event["task"] == task)?;
        Some(found["outcome"].as_str().unwrap_or_default().to_owned())
    }
}

fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, line: &str) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap_or_else(|error| panic!("{line}: {error}")) {
            return status;
        }
        if start.elapsed() > LIMIT {
            // The panic tells; a process that is gone by itself at this very moment is none to kill.
            let _ = child.kill();
            panic!("{line}: did not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
