//! Records that look like those of real runs.
#![allow(dead_code, reason = "each test binary uses some of these")]

use std::{path::Path, sync::Arc};

use cm_state::{
    ControllerId, Digest, HostRecord, HostResult, HostState, LastChange, NewRun, NodeUpdate, Resource,
    RunFinish, RunId, RunMode, RunState, TaskChange, TaskOutcome, TaskOutput, TaskResult, Timestamp,
};

/// 2026-11-22T17:15:30Z.
pub const NOON: Timestamp = Timestamp::from_micros(1_795_367_730_000_000);

/// A folder in memory, where there is such a place: what these tests do a thousand times says
/// nothing about disks, and waits for them.
pub fn quick_folder() -> tempfile::TempDir {
    let place = Some(Path::new("/dev/shm")).filter(|place| place.is_dir());
    tempfile::tempdir_in(place.unwrap_or(&std::env::temp_dir())).unwrap()
}

pub fn minutes(count: i64) -> Timestamp {
    NOON.plus_micros(count * 60_000_000)
}

pub fn new_run(mode: RunMode, started: Timestamp, hosts: &[&str]) -> NewRun {
    NewRun {
        command_line: "cm apply web on all --set port=8080".into(),
        user: "anna@desk".into(),
        target: "all".into(),
        roles: vec!["base".into(), "web".into()],
        mode,
        started,
        controller: ControllerId::current(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    }
}

pub fn finish(state: RunState, finished: Timestamp) -> RunFinish {
    RunFinish { state, finished, error: None }
}

pub fn host_result(host: &str, state: HostState, tasks: Vec<TaskResult>) -> HostResult {
    HostResult { host: host.into(), state, error: None, started: NOON, duration_us: 1_234_567, tasks }
}

/// A result with one task of each kind.
pub fn varied(host: &str, state: HostState) -> HostResult {
    let task = |id: &str, outcome, started_us| TaskResult {
        role: Some("web".into()),
        started_us,
        duration_us: 1815,
        ..TaskResult::new(id, outcome)
    };
    let mut failed = task("service:nginx", TaskOutcome::Failed, Some(40));
    failed.error = Some("nginx.service did not start".into());
    failed.hint = Some("journalctl -u nginx".into());
    failed.output = Some(TaskOutput { status: 1, stdout: "out".into(), stderr: "err".into() });
    failed.attempts = 3;
    let mut changed = task("file:/etc/nginx/nginx.conf", TaskOutcome::Changed, Some(30));
    changed.changes = vec![
        TaskChange {
            attribute: "content".into(),
            before: None,
            after: None,
            diff: Some("--- before\n+++ after\n-a\n+b\n".into()),
        },
        TaskChange {
            attribute: "mode".into(),
            before: Some("0644".into()),
            after: Some("0600".into()),
            diff: None,
        },
    ];
    let mut skipped = task("wait:port", TaskOutcome::Skipped, None);
    skipped.because = vec!["service:nginx".into()];
    // In the order the store gives them back: as they started, then by id.
    let tasks = vec![
        task("user:www", TaskOutcome::Ok, Some(0)),
        task("package:nginx", TaskOutcome::Ok, Some(20)),
        changed,
        failed,
        task("command:later", TaskOutcome::Cancelled, None),
        task("file:/unknowable", TaskOutcome::Unknown, None),
        skipped,
    ];
    host_result(host, state, tasks)
}

/// A host of a large run: this many tasks, of which the first `changed` were changed.
pub fn large(run: &RunId, host: usize, tasks: usize, changed: usize) -> HostRecord {
    let name = format!("web{host:04}.example.org");
    let noise = |task: usize| noise64(host as u64 * 1_000_003 + task as u64);
    let ids: Vec<Arc<str>> = (0..tasks)
        .map(|task| format!("file:/etc/service/part-{:02}/setting-{task:03}.conf", task % 20).into())
        .collect();
    let roles: [Arc<str>; 3] = ["base", "web", "monitoring"].map(Arc::from);
    let id = |task: usize| Arc::clone(&ids[task]);
    let role = |task: usize| Some(Arc::clone(&roles[task % 3]));
    let results = (0..tasks)
        .map(|task| {
            let was_changed = task < changed;
            let outcome = if was_changed { TaskOutcome::Changed } else { TaskOutcome::Ok };
            let mut result = TaskResult {
                role: role(task),
                started_us: Some(noise(task) % 900_000),
                duration_us: noise(task + 7_777) % 400,
                ..TaskResult::new(id(task), outcome)
            };
            if was_changed {
                let diff = format!(
                    "--- before\n+++ after\n@@ -1,3 +1,3 @@\n listen {host}\n-old {task}\n+new {task}\n"
                );
                result.changes = vec![TaskChange {
                    attribute: "content".into(),
                    diff: Some(diff),
                    ..TaskChange::default()
                }];
            }
            result
        })
        .collect();
    let resources = (0..tasks)
        .map(|task| {
            let mut digest = [0; 32];
            for (part, chunk) in digest.chunks_mut(8).enumerate() {
                chunk.copy_from_slice(&noise64((task * 4 + part) as u64).to_le_bytes());
            }
            Resource {
                id: id(task),
                role: role(task),
                wanted: Some(Digest(digest)),
                seen: Some(Digest(digest)),
                outcome: TaskOutcome::Ok,
                changed: (task < changed).then(|| LastChange { at: NOON, run: run.clone() }),
            }
        })
        .collect();
    let facts: String =
        (0..60).map(|fact| format!("\"fact{fact}\": \"{:016x} of {name}\",", noise(fact))).collect();
    let node = NodeUpdate {
        address: Some(format!("10.0.{}.{}:22", host / 250, host % 250)),
        seen: Some(NOON),
        host_key: Some("ssh-ed25519 SHA256:q3vJ8dKx2bM5nP7rT1uW4yA6cE9gI0kL3oQ5sU8wX2z".into()),
        agent_hash: Some("4f2a".repeat(16)),
        boot_id: Some("c9a1c9c0-5a3f-4f0e-9b0e-2d5d3a0c8f11".into()),
        facts: Some(format!("{{{facts}\"end\": 1}}")),
        ..NodeUpdate::new(name.clone())
    };
    let state = if changed > 0 { HostState::Changed } else { HostState::Ok };
    HostRecord { result: host_result(&name, state, results), node: Some(node), resources }
}

/// Noise that is the same each time (splitmix64).
pub fn noise64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
