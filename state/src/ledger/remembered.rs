//! Runs put back from what nodes remember, into a state that has lost them.

use crate::{
    ControllerId, HostCounts, HostRecord, RememberedRun, Restored, RunId, RunMode, RunState, RunSummary,
    StateError, TaskCounts,
    stored::{self, PlannedHosts, StoredHost, StoredRun},
    tables::WriteTables,
};

use super::results::{self, Packed};

/// Puts runs back. What is there stays as it is: only runs that are missing, and results of hosts that a run
/// lacks, are added. A run that is at work is left alone.
pub(crate) fn restore(
    tables: &mut dyn WriteTables,
    runs: &[RememberedRun],
    packed: &[Vec<Packed>],
) -> Result<Restored, StateError> {
    let mut restored = Restored::default();
    for (run, packed) in runs.iter().zip(packed) {
        let key = run.id.as_str().as_bytes();
        match stored::get::<StoredRun>(tables, key)? {
            Some(known) if known.summary.state == RunState::Running => continue,
            Some(_) => {}
            None => {
                let mut hosts: Vec<String> = run.hosts.iter().map(|host| host.result.host.clone()).collect();
                hosts.sort();
                hosts.dedup();
                let stored = StoredRun { summary: summary(run), last_sign: run.started, bytes: 0 };
                stored::put(tables, key, &stored)?;
                stored::put(tables, key, &PlannedHosts(hosts))?;
                restored.runs += 1;
            }
        }
        for (host, packed) in run.hosts.iter().zip(packed) {
            if !has_result(tables, &run.id, host)? {
                results::record(tables, &run.id, packed, std::slice::from_ref(host))?;
                restored.results += 1;
            }
        }
    }
    Ok(restored)
}

fn has_result(tables: &mut dyn WriteTables, run: &RunId, host: &HostRecord) -> Result<bool, StateError> {
    let key = results::host_key(run, &host.result.host);
    Ok(stored::get::<StoredHost>(tables, &key)?.is_some())
}

fn summary(run: &RememberedRun) -> RunSummary {
    let machine = run.user.split_once('@').map_or("", |(_, machine)| machine);
    RunSummary {
        id: run.id.clone(),
        command_line: "(remembered by nodes)".to_owned(),
        user: run.user.clone(),
        target: run.hosts.iter().map(|host| host.result.host.as_str()).collect::<Vec<_>>().join(","),
        roles: run.roles.clone(),
        // Nodes remember what was changed, not by which command.
        mode: RunMode::Apply,
        state: if run.ended { RunState::Changed } else { RunState::Interrupted },
        started: run.started,
        finished: Some(run.started),
        error: None,
        controller: ControllerId {
            machine: machine.to_owned(),
            boot_id: String::new(),
            pid_namespace: String::new(),
            pid: 0,
            started_ticks: 0,
        },
        hosts: HostCounts { total: run.hosts.len() as u64, ..HostCounts::default() },
        tasks: TaskCounts::default(),
    }
}
