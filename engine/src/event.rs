//! What a run tells: one stream of events for terminal, JSON and store.

use std::{collections::HashMap, sync::Arc};

use cm_wire::{Facts, Stream, TaskResult};

use crate::{NodeLedger, Promise, TaskLabel, Verdict};

/// Something that happened in a run.
#[derive(Debug)]
pub enum RunEvent {
    /// A connection to the host is being opened.
    Connecting {
        /// The host.
        host: Arc<str>,
    },
    /// The agent runs on the host.
    Connected {
        /// The host.
        host: Arc<str>,
        /// Bytes of the agent's program that had to be sent; 0: it was there.
        agent_sent: usize,
        /// Microseconds from the first attempt to the agent's hello.
        took: u64,
        /// The node's facts.
        facts: Arc<Facts>,
        /// `SHA256:…` of the host key, where there is one.
        host_key: Option<String>,
    },
    /// The host's catalog was made and sent.
    Planned {
        /// The host.
        host: Arc<str>,
        /// Its tasks.
        labels: Arc<[TaskLabel]>,
    },
    /// The node made tasks itself, to take things back; they come after those that there were.
    Added {
        /// The host.
        host: Arc<str>,
        /// All its tasks now.
        labels: Arc<[TaskLabel]>,
        /// The place of the first new one.
        from: usize,
    },
    /// What the host's plan promises, where it was asked for.
    Promised {
        /// The host.
        host: Arc<str>,
        /// What was found.
        promise: Promise,
    },
    /// Another run holds the node.
    Waiting {
        /// The host.
        host: Arc<str>,
        /// Who holds it.
        holder: String,
    },
    /// A task that differs is being worked on.
    TaskStarted {
        /// The host.
        host: Arc<str>,
        /// The task.
        task: TaskLabel,
    },
    /// A running command printed something.
    Output {
        /// The host.
        host: Arc<str>,
        /// The task.
        task: TaskLabel,
        /// Which stream.
        stream: Stream,
        /// The text.
        text: String,
    },
    /// A task has ended.
    TaskEnded {
        /// The host.
        host: Arc<str>,
        /// The task.
        task: TaskLabel,
        /// How it ended; numbers in it refer to the host's labels.
        result: TaskResult,
        /// Why it differs, in a verify.
        verdict: Option<Arc<Verdict>>,
    },
    /// A thing that an earlier run put there is no longer part of its role.
    Orphan {
        /// The host.
        host: Arc<str>,
        /// The thing.
        orphan: Orphan,
    },
    /// Guarded changes are made: a new connection must prove that the host can be reached.
    Confirming {
        /// The host.
        host: Arc<str>,
        /// Seconds until the node takes them back by itself.
        limit: u32,
    },
    /// A new connection has proved it; the changes stay.
    Confirmed {
        /// The host.
        host: Arc<str>,
    },
    /// A task restarts the host, which is waited for.
    Restarting {
        /// The host.
        host: Arc<str>,
        /// The task.
        task: TaskLabel,
        /// Seconds that it is waited for.
        limit: u64,
    },
    /// The host is back, in a new boot; its run goes on.
    Back {
        /// The host.
        host: Arc<str>,
        /// Microseconds since it went.
        took: u64,
    },
    /// What the node remembers, where it was asked.
    Ledger {
        /// The host.
        host: Arc<str>,
        /// All of it.
        ledger: NodeLedger,
    },
    /// Something a person should know.
    Note {
        /// The host.
        host: Arc<str>,
        /// What.
        text: String,
    },
    /// A host is done.
    HostEnded(HostReport),
}

/// A thing on a node that no task wants any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The thing: `path:/etc/motd`.
    pub item: String,
    /// The task that wanted it.
    pub task: String,
    /// Its role.
    pub role: String,
    /// Whether this run takes it back.
    pub pruned: bool,
}

/// All that a run did with one host.
#[derive(Debug)]
pub struct HostReport {
    /// The host.
    pub host: Arc<str>,
    /// How it ended.
    pub end: HostEnd,
    /// The host's tasks.
    pub labels: Arc<[TaskLabel]>,
    /// Results in the order they came; tasks that were never reported are missing.
    pub results: Vec<TaskResult>,
    /// Why tasks differ, by their place among the labels; a verify's only.
    pub verdicts: HashMap<u32, Arc<Verdict>>,
    /// What no task of its roles wants any more.
    pub orphans: Vec<Orphan>,
    /// What the node remembers after a run that took something back.
    pub ledger: Option<NodeLedger>,
    /// Microseconds since the host's turn began.
    pub took: u64,
    /// Its facts, where it was reached.
    pub facts: Option<Arc<Facts>>,
}

/// How a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEnd {
    /// Nothing differed.
    Ok,
    /// Something changed (plan: would change; verify: has drifted).
    Changed,
    /// A task failed.
    Failed,
    /// All tasks have their results, and yet what was done does not stand: the node takes guarded changes back.
    TakenBack(Trouble),
    /// It could not be reached, or was lost on the way.
    Unreachable(Trouble),
    /// Its catalog could not be made: the user's error, nothing was touched.
    Invalid(Trouble),
    /// It could be reached, but the run was refused there (held by another run, state not usable).
    Refused(Trouble),
    /// The run was stopped before it was done.
    Cancelled,
}

/// What went wrong, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What did not work, before the host's name: `could not reach`, `lost the connection to`.
    pub what: &'static str,
    /// The whole first line where the standard one (`what` and the host) does not say it.
    pub headline: Option<String>,
    /// The causes, outermost first; each a fragment.
    pub causes: Vec<String>,
    /// Further lines.
    pub details: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Trouble {
    /// Trouble with a single cause.
    #[must_use]
    pub fn new(what: &'static str, cause: impl Into<String>) -> Self {
        Self { what, headline: None, causes: vec![cause.into()], details: Vec::new(), hints: Vec::new() }
    }

    /// Adds hints.
    #[must_use]
    pub fn hint_all(mut self, hints: Vec<String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// Adds a hint, if there is one.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }
}
