//! Bytes as format 1 wrote them, which every later `cm` must read. The lines of `golden_v1.txt`
//! are never changed; a new format adds a file of its own.

use super::{
    PlannedHosts, Stored, StoredFacts, StoredHost, StoredResources, StoredRollout, StoredRun, TaskList,
    decode, encode, host::pack_host,
};
use crate::{
    AuditEntry, ControllerId, Digest, HostCounts, HostResult, HostState, LastChange, Lifecycle, MemoryStore,
    Node, Resource, RunId, RunMode, RunState, RunSummary, TaskChange, TaskCounts, TaskFilter, TaskOutcome,
    TaskOutput, TaskResult, Timestamp, tables::Transact,
};

const KEY: &[u8] = b"a key";
const V1: &str = include_str!("golden_v1.txt");

fn run_id() -> RunId {
    "20261122-171530-k3f".parse().unwrap()
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_micros(1_795_367_730_000_000 + minutes * 60_000_000)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn run() -> StoredRun {
    let summary = RunSummary {
        id: run_id(),
        command_line: "cm apply web on all".into(),
        user: "anna@desk".into(),
        target: "all".into(),
        roles: vec!["base".into(), "web".into()],
        mode: RunMode::Verify,
        state: RunState::Interrupted,
        started: at(0),
        finished: Some(at(1)),
        error: some("Ctrl-C"),
        controller: ControllerId {
            machine: "desk".into(),
            boot_id: "c9a1c9c0".into(),
            pid_namespace: "pid:[4026531836]".into(),
            pid: 4711,
            started_ticks: 123_456,
        },
        hosts: HostCounts {
            total: 21,
            ok: 1,
            changed: 2,
            failed: 3,
            unreachable: 4,
            interrupted: 5,
            skipped: 6,
        },
        tasks: TaskCounts { ok: 1, changed: 2, failed: 3, skipped: 4, unknown: 5, cancelled: 600 },
    };
    StoredRun { summary, last_sign: at(2) }
}

fn node() -> Node {
    Node {
        name: "web1".into(),
        lifecycle: Lifecycle::Commissioned,
        address: some("10.0.0.1:22"),
        first_seen: at(0),
        last_seen: Some(at(1)),
        host_key: some("ssh-ed25519 SHA256:q3vJ"),
        agent_hash: some("4f2a"),
        boot_id: None,
        facts_at: Some(at(1)),
    }
}

/// Enough of it that it is compressed.
fn facts() -> StoredFacts {
    StoredFacts(format!("{{\"mounts\": [{}]}}", "\"/srv\", ".repeat(60)))
}

fn resources() -> StoredResources {
    let resource = |id: &str, seen| Resource {
        id: id.into(),
        role: some("web"),
        wanted: Some(Digest([1; 32])),
        seen,
        outcome: TaskOutcome::Failed,
        changed: None,
    };
    let change = LastChange { at: at(3), run: run_id() };
    StoredResources(vec![
        resource("file:/a", Some(Digest([1; 32]))),
        Resource { changed: Some(change), role: None, ..resource("file:/b", Some(Digest([2; 32]))) },
        Resource { wanted: None, outcome: TaskOutcome::Changed, ..resource("file:/c", None) },
    ])
}

fn host() -> HostResult {
    let mut failed = TaskResult::new("service:nginx", TaskOutcome::Failed);
    failed.role = some("web");
    failed.error = some("it did not start");
    failed.hint = some("journalctl -u nginx");
    failed.output = Some(TaskOutput { status: -1, stdout: "out".into(), stderr: "err".into() });
    failed.because = vec!["file:/b".into()];
    failed.started_us = Some(0);
    failed.attempts = 3;
    failed.changes = vec![TaskChange {
        attribute: "mode".into(),
        before: some("0644"),
        after: None,
        diff: some("-a\n+b\n"),
    }];
    let mut tasks = vec![failed];
    tasks.extend((0..99).map(|n| TaskResult {
        started_us: Some(n + 1),
        duration_us: n * 77,
        ..TaskResult::new(format!("file:/{n:03}"), TaskOutcome::Ok)
    }));
    HostResult {
        host: "web1".into(),
        state: HostState::Failed,
        error: some("x"),
        started: at(0),
        duration_us: 9,
        tasks,
    }
}

fn packed_host() -> (StoredHost, TaskList) {
    let mut lists = std::collections::HashMap::new();
    let stored = pack_host(&mut lists, &host()).unwrap();
    (stored, lists.into_values().next().unwrap())
}

fn audit() -> AuditEntry {
    AuditEntry { at: at(0), who: "anna".into(), what: "cm node trust web1".into(), run: Some(run_id()) }
}

fn planned() -> PlannedHosts {
    PlannedHosts((0..60).map(|n| format!("web{n:02}")).collect())
}

fn rollout() -> StoredRollout {
    StoredRollout(b"whatever".to_vec())
}

fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn golden(name: &str) -> Vec<u8> {
    let line = V1.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    from_hex(line.unwrap_or_else(|| panic!("no line `{name}`")))
}

/// Reads the golden bytes, and what is written today.
fn check<R: Stored + PartialEq + std::fmt::Debug>(name: &str, record: &R) {
    let store = MemoryStore::new();
    for value in [golden(name), encode(KEY, record).unwrap()] {
        let read: R = store.read(|tables| decode(tables, KEY, &value)).unwrap();
        assert_eq!(&read, record, "{name}");
    }
}

#[test]
fn format_1_is_read_for_ever() {
    check("run", &run());
    check("node", &node());
    check("facts", &facts());
    check("resources", &resources());
    check("audit", &audit());
    check("planned", &planned());
    check("rollout", &rollout());
    let (_, list) = packed_host();
    check("task-list", &list);
    let store = MemoryStore::new();
    let stored: StoredHost = store.read(|tables| decode(tables, KEY, &golden("host"))).unwrap();
    assert_eq!(stored.list(), packed_host().0.list());
    assert_eq!(stored.unpack("web1", &list, TaskFilter::All).ok(), Some(host()));
}

#[test]
#[ignore = "prints lines for golden_v1.txt; needed when a format is added"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn print_golden() {
    let (host, list) = packed_host();
    let lines = [
        ("run", encode(KEY, &run())),
        ("node", encode(KEY, &node())),
        ("facts", encode(KEY, &facts())),
        ("resources", encode(KEY, &resources())),
        ("audit", encode(KEY, &audit())),
        ("planned", encode(KEY, &planned())),
        ("rollout", encode(KEY, &rollout())),
        ("task-list", encode(KEY, &list)),
        ("host", encode(KEY, &host)),
    ];
    for (name, value) in lines {
        let hex: String = value.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        println!("\n{name} {hex}");
    }
}
