//! What happens when the disk fails under a transaction.

use std::fs;

use super::{
    RedbStore,
    faulty::{self, Fault},
};
use crate::{
    AuditEntry, ControllerId, HostResult, HostState, NewRun, NodeUpdate, RunFinish, RunMode, RunState,
    RunSummary, StateError, Store, TaskFilter, TaskOutcome, TaskResult, Timestamp,
};

const NOON: Timestamp = Timestamp::from_micros(1_795_367_730_000_000);

fn entry(what: &str) -> AuditEntry {
    AuditEntry { at: NOON, who: "anna".into(), what: what.into(), run: None }
}

/// A run of a few hosts, in three transactions and one more for the log.
fn a_run(store: &RedbStore) -> Result<RunSummary, StateError> {
    let new = NewRun {
        command_line: "cm apply".into(),
        user: "anna".into(),
        target: "all".into(),
        roles: vec![],
        mode: RunMode::Apply,
        started: NOON,
        controller: ControllerId::current(),
        hosts: vec!["a".into(), "b".into()],
    };
    let id = store.begin_run(&new)?;
    let mut tasks: Vec<_> =
        (0..60).map(|n| TaskResult::new(format!("file:/{n:02}"), TaskOutcome::Ok)).collect();
    tasks[7].error = Some("x".repeat(3000));
    let record = |host: &str| {
        let (host, tasks) = (host.to_owned(), tasks.clone());
        HostResult { host, state: HostState::Ok, error: None, started: NOON, duration_us: 1, tasks }.into()
    };
    store.record_hosts(&id, &[record("a"), record("b")])?;
    store.upsert_nodes(&[NodeUpdate::new("a"), NodeUpdate::new("b")])?;
    store.finish_run(&id, &RunFinish { state: RunState::Ok, finished: NOON, error: None })
}

/// Whatever the store holds must hang together; returns how far the last run got.
fn examine(store: &RedbStore) -> usize {
    store.check().unwrap();
    assert_eq!(store.audit(10).unwrap()[0].what, "before");
    let runs = store.runs(10).unwrap();
    assert!(runs.len() <= 2);
    for run in &runs {
        // Two hosts at once, or none.
        let results = store.run_results(&run.id, TaskFilter::All).unwrap();
        assert!([0, 2].contains(&results.len()));
        assert_eq!(run.hosts.ok, results.len() as u64);
        assert!(run.state == RunState::Running || results.len() == 2);
    }
    let Some(last) = runs.get(1).and(runs.first()) else { return 0 };
    let nodes = usize::from(store.node("b").unwrap().is_some_and(|node| node.first_seen != NOON));
    match (last.state, last.hosts.ok) {
        (RunState::Ok, _) => 4,
        (_, 2) => 2 + nodes,
        _ => 1,
    }
}

/// Fails every write in turn, and examines what is left each time.
fn fail_everywhere(fault: impl Fn(u64) -> Fault, expect: impl Fn(StateError)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let prepared = RedbStore::open(&path).unwrap();
    prepared.append_audit(&[entry("before")]).unwrap();
    a_run(&prepared).unwrap();
    let bytes = fs::read(&path).unwrap();

    faulty::plan(None, 0);
    a_run(&prepared).unwrap();
    let operations = faulty::seen();
    assert!(operations > 20, "{operations}");

    let mut stages = std::collections::BTreeSet::new();
    for after in 0..operations {
        fs::write(&path, &bytes).unwrap();
        let store = RedbStore::open(&path).unwrap();
        faulty::plan(Some(fault(after)), after);
        let result = a_run(&store);
        faulty::plan(None, 0);
        if let Err(error) = result {
            expect(error);
        }
        stages.insert(examine(&store));
        // And on it goes.
        a_run(&store).unwrap();
    }
    faulty::plan(None, 0);
    assert!(stages.len() >= 4, "{stages:?}");
}

#[test]
fn a_full_disk_is_told_and_spoils_nothing() {
    fail_everywhere(
        |_| Fault::NoSpace,
        |error| assert!(matches!(error, StateError::NoSpace { .. }), "{error:?}"),
    );
}

#[test]
fn a_power_cut_leaves_a_file_that_opens() {
    for seed in 0..4 {
        fail_everywhere(
            |after| Fault::PowerCut(seed * 1_000_003 + after * 97),
            |error| assert!(matches!(error, StateError::Io { .. }), "{error:?}"),
        );
    }
}

#[test]
fn a_disk_that_is_full_from_the_start_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".cm/state.redb");
    faulty::plan(None, 0);
    let spare = RedbStore::open(folder.path().join("spare.redb")).unwrap();
    spare.append_audit(&[entry("count")]).unwrap();
    for after in 0..faulty::seen() {
        let store = RedbStore::open(&path).unwrap();
        faulty::plan(Some(Fault::NoSpace), after);
        let result = store.append_audit(&[entry("one")]);
        faulty::plan(None, 0);
        let left: Vec<_> = fs::read_dir(folder.path().join(".cm")).unwrap().flatten().collect();
        match result {
            Err(error) => assert!(matches!(error, StateError::NoSpace { .. }), "{error:?}"),
            // Only closing failed.
            Ok(()) => assert_eq!(store.audit(1).unwrap().len(), 1),
        }
        // Nothing, or a whole file.
        for entry in &left {
            assert_eq!(entry.path(), path);
            store.check().unwrap();
            fs::remove_file(entry.path()).unwrap();
        }
    }
}
