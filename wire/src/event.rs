//! What happens on a node while a run lasts.

use serde::{Deserialize, Serialize};

use crate::{Notice, Standing, bounded};

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Another run holds the node; this one waits.
    Waiting {
        /// Who holds it, as a sentence: `run 2026… of anna@desk since 12:03`.
        holder: String,
    },
    /// The agent began to work on a task whose look found a difference.
    Started {
        /// The task's number.
        task: u32,
    },
    /// Output of a running command, as it comes.
    Output {
        /// The task's number.
        task: u32,
        /// Which stream.
        stream: Stream,
        /// The text, lossily decoded.
        text: String,
    },
    /// What the node knows of a task that differs in a verify; its result follows.
    Standing {
        /// The task's number.
        task: u32,
        /// What is known.
        standing: Box<Standing>,
    },
    /// A task has ended.
    Ended(TaskResult),
    /// A thing that an earlier run put there is no longer part of its role.
    Orphan {
        /// The thing: `path:/etc/motd`.
        item: String,
        /// The task that wanted it.
        task: String,
        /// Its role.
        role: String,
    },
    /// Something a person should know that belongs to no task.
    Note(String),
}

/// Which output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task's number.
    pub task: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What differed from what is wanted at the start of the run: changed by apply, pending in a
    /// plan, drift in verify.
    #[serde(deserialize_with = "bounded::at_most::<250_000, _, _>")]
    pub changes: Vec<Change>,
    /// Microseconds from the start of the run to the start of the task.
    pub started: u64,
    /// Microseconds it took.
    pub took: u64,
    /// What its command printed, where it has one that ran.
    pub output: Option<Output>,
    /// Attempts made, 1 or more where it ran.
    pub attempts: u16,
}

/// The outcomes a task can have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was as wanted.
    Ok,
    /// It differed and was changed (in a plan: would be).
    Changed,
    /// It could not be made as wanted.
    Failed {
        /// Why, for a person.
        error: String,
        /// What to do about it, where something is known.
        hint: Option<String>,
    },
    /// A task it depends on failed.
    Skipped {
        /// That task's number.
        because: u32,
    },
    /// A plan cannot know; it depends on what these tasks leave behind.
    Unknown {
        /// Their numbers.
        #[serde(deserialize_with = "bounded::at_most::<250_000, _, _>")]
        because: Vec<u32>,
    },
    /// The run was stopped before it started.
    Cancelled,
}

/// One attribute that differs from what is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The attribute: `state`, `content`, `mode`, `owner`, `version`, `restart`, …
    pub attribute: String,
    /// What it was; none: absent.
    pub before: Option<String>,
    /// What is wanted; none: absent.
    pub after: Option<String>,
    /// A unified diff, where the attribute is a text.
    pub diff: Option<String>,
}

impl Change {
    /// A change of one attribute from one shown value to another.
    pub fn new(attribute: &str, before: Option<String>, after: Option<String>) -> Self {
        Self { attribute: attribute.to_owned(), before, after, diff: None }
    }

    /// A restart or reload that is owed because of something else.
    #[must_use]
    pub fn notice(notice: Notice, because: &str) -> Self {
        let attribute = if notice == Notice::Restart { "restart" } else { "reload" };
        Self::new(attribute, None, Some(because.to_owned()))
    }

    /// The same change with a diff.
    #[must_use]
    pub fn with_diff(mut self, diff: Option<String>) -> Self {
        self.diff = diff;
        self
    }
}

/// What a command printed and how it exited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Exit status; 128 + n when ended by signal n.
    pub status: i32,
    /// Standard output, bounded, lossily decoded.
    pub stdout: String,
    /// Standard error, bounded, lossily decoded.
    pub stderr: String,
}
