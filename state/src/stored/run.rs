//! A run's summary in the file.

use serde::{Deserialize, Serialize};

use crate::{ControllerId, HostCounts, RunId, RunSummary, StateError, TaskCounts, Timestamp, tables::Table};

use super::{
    Malformed, Stored,
    codes::Code,
    envelope::{exactly, postcard_bytes, unknown_version},
};

/// A run's summary, and what only the store needs to know of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRun {
    pub(crate) summary: RunSummary,
    /// The last moment anything is known of it: the end of a run whose controller was killed.
    pub(crate) last_sign: Timestamp,
    /// What is kept of it, in bytes: results of hosts and lists of tasks.
    pub(crate) bytes: u64,
}

/// What a run of the first format is taken to have kept of a host, in bytes.
const V1_HOST: u64 = 1200;

#[derive(Serialize, Deserialize)]
struct RunV1 {
    id: String,
    command_line: String,
    user: String,
    target: String,
    roles: Vec<String>,
    mode: u8,
    state: u8,
    started: i64,
    finished: Option<i64>,
    last_sign: i64,
    error: Option<String>,
    machine: String,
    boot_id: String,
    pid_namespace: String,
    pid: u32,
    started_ticks: u64,
    /// total, ok, changed, failed, unreachable, interrupted, skipped
    hosts: [u64; 7],
    /// ok, changed, failed, skipped, unknown, cancelled
    tasks: [u64; 6],
}

#[derive(Serialize, Deserialize)]
struct RunV2 {
    run: RunV1,
    bytes: u64,
}

impl Stored for StoredRun {
    const TABLE: Table = Table::Runs;
    const WHAT: &'static str = "the run";
    const VERSION: u8 = 2;

    fn payload(&self) -> Result<Vec<u8>, StateError> {
        let RunSummary {
            id,
            command_line,
            user,
            target,
            roles,
            mode,
            state,
            started,
            finished,
            error,
            controller,
            hosts,
            tasks,
        } = self.summary.clone();
        let HostCounts { total, ok, changed, failed, unreachable, interrupted, skipped } = hosts;
        let run = RunV1 {
            id: id.as_str().to_owned(),
            command_line,
            user,
            target,
            roles,
            mode: mode.code(),
            state: state.code(),
            started: started.as_micros(),
            finished: finished.map(Timestamp::as_micros),
            last_sign: self.last_sign.as_micros(),
            error,
            machine: controller.machine,
            boot_id: controller.boot_id,
            pid_namespace: controller.pid_namespace,
            pid: controller.pid,
            started_ticks: controller.started_ticks,
            hosts: [total, ok, changed, failed, unreachable, interrupted, skipped],
            tasks: tasks.to_array(),
        };
        postcard_bytes(&RunV2 { run, bytes: self.bytes })
    }

    fn from_payload(version: u8, payload: &[u8]) -> Result<Self, Malformed> {
        let RunV2 { run, bytes } = match version {
            1 => {
                let run: RunV1 = exactly(payload)?;
                let hosts = run.hosts[1..].iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
                RunV2 { run, bytes: hosts.saturating_mul(V1_HOST) }
            }
            2 => exactly(payload)?,
            _ => return unknown_version(version),
        };
        let [total, ok, changed, failed, unreachable, interrupted, skipped] = run.hosts;
        Ok(Self {
            summary: RunSummary {
                id: run_id(&run.id)?,
                command_line: run.command_line,
                user: run.user,
                target: run.target,
                roles: run.roles,
                mode: Code::from_code(run.mode)?,
                state: Code::from_code(run.state)?,
                started: Timestamp::from_micros(run.started),
                finished: run.finished.map(Timestamp::from_micros),
                error: run.error,
                controller: ControllerId {
                    machine: run.machine,
                    boot_id: run.boot_id,
                    pid_namespace: run.pid_namespace,
                    pid: run.pid,
                    started_ticks: run.started_ticks,
                },
                hosts: HostCounts { total, ok, changed, failed, unreachable, interrupted, skipped },
                tasks: TaskCounts::from_array(run.tasks),
            },
            last_sign: Timestamp::from_micros(run.last_sign),
            bytes,
        })
    }
}

/// A run's id out of a record.
pub(crate) fn run_id(text: &str) -> Result<RunId, Malformed> {
    text.parse().map_err(|_| Malformed(format!("`{}` is no run's id", text.escape_debug())))
}
