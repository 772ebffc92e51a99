//! Bytes as each format wrote them, which every later `cm` must read. The lines of `golden_v1.txt` and its like are
//! never changed; a new format adds a file of its own.

use super::{
    Lesson, PlannedHosts, Stored, StoredFacts, StoredHost, StoredResources, StoredRollout, StoredRun,
    TaskList, decode, encode, host::pack_host,
};
use crate::{
    AuditEntry, ControllerId, Digest, HostCounts, HostResult, HostState, LastChange, Lifecycle, MemoryStore,
    Node, Resource, RunId, RunMode, RunState, RunSummary, TaskChange, TaskCounts, TaskFilter, TaskOutcome,
    TaskOutput, TaskResult, Timestamp, tables::Transact,
};

const KEY: &[u8] = b"a key";
const V1: &str = include_str!("golden_v1.txt");
const V2: &str = include_str!("golden_v2.txt");

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
    // What is made up of the 21 hosts of the first format, which did not tell.
    StoredRun { summary, last_sign: at(2), bytes: 21 * 1200 }
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
        role: Some("web".into()),
        wanted: Some(Digest([1; 32])),
        seen,
        outcome: TaskOutcome::Failed,
        changed: None,
    };
    let change = LastChange { at: at(3), run: run_id() };
    let list = vec![
        resource("file:/a", Some(Digest([1; 32]))),
        Resource { changed: Some(change), role: None, ..resource("file:/b", Some(Digest([2; 32]))) },
        Resource { wanted: None, outcome: TaskOutcome::Changed, ..resource("file:/c", None) },
    ];
    StoredResources { list, known: Vec::new() }
}

fn host() -> HostResult {
    let mut failed = TaskResult::new("service:nginx", TaskOutcome::Failed);
    failed.role = Some("web".into());
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

fn golden(format: &str, name: &str) -> Vec<u8> {
    let line = format.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    from_hex(line.unwrap_or_else(|| panic!("no line `{name}`")))
}

/// Reads the golden bytes, and what is written today.
fn check<R: Stored + PartialEq + std::fmt::Debug>(name: &str, record: &R) {
    let store = MemoryStore::new();
    // What a format did not change has no line in its file.
    let newer = V2.lines().any(|line| line.split(' ').next() == Some(name)).then(|| golden(V2, name));
    for value in [Some(golden(V1, name)), newer, Some(encode(KEY, record).unwrap())].into_iter().flatten() {
        let read: R = store.read(|tables| decode(tables, KEY, &value)).unwrap();
        assert_eq!(&read, record, "{name}");
    }
}

#[test]
fn every_format_is_read_for_ever() {
    check("run", &run());
    check("node", &node());
    check("facts", &facts());
    check("resources", &resources());
    check("audit", &audit());
    check("planned", &planned());
    check("rollout", &rollout());
    let store = MemoryStore::new();
    let read = |value: &[u8]| store.read(|tables| decode::<StoredHost>(tables, KEY, value)).unwrap();
    let list = |value: &[u8]| store.read(|tables| decode::<TaskList>(tables, KEY, value)).unwrap();
    let unpacked = |host: &[u8], names: &[u8]| read(host).unpack("web1", &list(names), TaskFilter::All).ok();
    assert_eq!(unpacked(&golden(V1, "host"), &golden(V1, "task-list")), Some(host()));
    let (packed, names) = packed_host();
    assert_eq!(read(&golden(V2, "host")).list(), packed.list());
    let today = (encode(KEY, &packed).unwrap(), encode(KEY, &names).unwrap());
    for (host, names) in [(golden(V2, "host"), golden(V2, "task-list")), today] {
        assert_eq!(unpacked(&host, &names), Some(without_quick_times()));
    }
}

/// What comes back since the second format.
fn without_quick_times() -> HostResult {
    let mut result = host();
    let is_quick = |task: &TaskResult| task.outcome == TaskOutcome::Ok && task.duration_us < crate::QUICK;
    for task in result.tasks.iter_mut().filter(|task| is_quick(task)) {
        task.started_us = None;
        task.duration_us = 0;
    }
    result.tasks.sort_by_key(|task| (task.started_us.is_none(), task.started_us, task.id.clone()));
    result
}

#[test]
fn a_lesson_is_of_all_that_is_learned() {
    let base = resources().list.split_off(2);
    let lesson = |change: &dyn Fn(&mut Resource)| {
        let mut list = base.clone();
        change(&mut list[0]);
        Lesson::of(&list)
    };
    let all = [
        lesson(&|_| {}),
        lesson(&|resource| resource.id = "file:/d".into()),
        lesson(&|resource| resource.role = None),
        lesson(&|resource| resource.wanted = Some(Digest([0; 32]))),
        lesson(&|resource| resource.seen = Some(Digest([0; 32]))),
        lesson(&|resource| resource.outcome = TaskOutcome::Ok),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(one.is_some() && !all[..index].contains(one), "{index}");
    }
    assert_eq!(lesson(&|resource| resource.changed = Some(LastChange { at: at(1), run: run_id() })), None);
}

#[test]
#[ignore = "prints lines for a file of golden bytes; needed when a format is added"]
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
