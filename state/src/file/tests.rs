//! What happens when the disk fails under a transaction; and that tables behave in a file as in
//! memory.

use std::{fs, ops::ControlFlow};

use proptest::prelude::*;

use super::{
    RedbStore,
    faulty::{self, Fault},
    seal::{self, Seal},
};
use crate::{
    AuditEntry, ControllerId, HostResult, HostState, MemoryStore, NewRun, NodeUpdate, RunFinish, RunMode,
    RunState, RunSummary, StateError, Store, TaskFilter, TaskOutcome, TaskResult, Timestamp,
    tables::{Direction, ReadTables, Table, Transact, WriteTables},
};

const NOON: Timestamp = Timestamp::from_micros(1_795_367_730_000_000);

fn entry(what: &str) -> AuditEntry {
    AuditEntry { at: NOON, who: "anna".into(), what: what.into(), run: None }
}

fn finish() -> RunFinish {
    RunFinish { state: RunState::Ok, finished: NOON, error: None }
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
    store.finish_run(&id, &[], &finish())
}

/// Whatever the store holds must hang together; returns how far the last run got.
fn examine(store: &RedbStore) -> usize {
    store.check().unwrap();
    let log = store.audit(10).unwrap();
    assert!(log.iter().any(|entry| entry.what == "before"));
    let runs = store.runs(10).unwrap();
    assert!(runs.len() <= 2);
    for run in &runs {
        // Two hosts at once, or none.
        let results = store.run_results(&run.id, TaskFilter::All).unwrap();
        assert!([0, 2].contains(&results.len()));
        assert_eq!(run.hosts.ok, results.len() as u64);
        assert!(run.state == RunState::Running || results.len() == 2);
    }
    // A run and its line in the log: both or neither.
    assert_eq!(log.iter().filter(|entry| entry.run.is_some()).count(), runs.len());
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

/// What may be asked of tables.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    RemovePrefix(Vec<u8>),
    Get(Vec<u8>),
    Scan(Vec<u8>, Direction, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few different bytes, so that keys are prefixes of each other, and the ends of their range.
    let key = || proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(254), Just(255)], 0..4);
    let value = proptest::collection::vec(0_u8.., 0..50);
    let direction = prop_oneof![Just(Direction::Ascending), Just(Direction::Descending)];
    let step = prop_oneof![
        4 => (key(), value).prop_map(|(key, value)| Step::Put(key, value)),
        1 => key().prop_map(Step::Remove),
        1 => key().prop_map(Step::RemovePrefix),
        1 => key().prop_map(Step::Get),
        2 => (key(), direction, 0..6_usize).prop_map(|(key, end, limit)| Step::Scan(key, end, limit)),
    ];
    proptest::collection::vec(step, 1..60)
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a sequence of steps finds.
fn found(tables: &mut dyn WriteTables, steps: &[Step]) -> Result<Pairs, StateError> {
    let mut found = Vec::new();
    for step in steps {
        match step {
            Step::Put(key, value) => tables.put(Table::Rollouts, key, value)?,
            Step::Remove(key) => tables.remove(Table::Rollouts, key)?,
            Step::RemovePrefix(prefix) => tables.remove_prefix(Table::Rollouts, prefix)?,
            Step::Get(key) => {
                found.extend(tables.get(Table::Rollouts, key)?.map(|value| (key.clone(), value)));
            }
            Step::Scan(prefix, direction, limit) => {
                let mut left = *limit;
                tables.scan(Table::Rollouts, prefix, *direction, &mut |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    left = left.saturating_sub(1);
                    Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
            }
        }
    }
    Ok(found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_in_a_file_and_in_memory_are_the_same(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let file = RedbStore::open(folder.path().join("state.redb")).unwrap();
        let memory = MemoryStore::new();
        let expected = memory.write(|tables| found(tables, &steps)).unwrap();
        prop_assert_eq!(&file.write(|tables| found(tables, &steps)).unwrap(), &expected);
        // An error undoes everything.
        let undone = |tables: &mut dyn WriteTables| -> Result<(), StateError> {
            found(tables, &steps)?;
            tables.put(Table::Rollouts, b"undone", b"")?;
            Err(StateError::UnknownRun { given: String::new() })
        };
        prop_assert!(file.write(undone).is_err() && memory.write(undone).is_err());
        let all = |tables: &dyn ReadTables| {
            let mut all = Vec::new();
            tables.scan(Table::Rollouts, b"", Direction::Ascending, &mut |key, value| {
                all.push((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(all)
        };
        prop_assert_eq!(file.read(all).unwrap(), memory.read(all).unwrap());
    }
}

#[test]
fn what_was_closed_in_order_is_marked_and_what_was_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("state.redb")).unwrap();
    let state = || seal::state(&fs::metadata(store.path()).unwrap());
    store.append_audit(&[entry("before")]).unwrap();
    assert_eq!(state(), Seal::Intact);
    store.audit(1).unwrap();
    assert!(store.finish_run(&"20261122-171530-k3f".parse().unwrap(), &[], &finish()).is_err());
    assert_eq!(state(), Seal::Intact);

    // A whole copy is gone over once, and marked.
    let bytes = fs::read(store.path()).unwrap();
    fs::write(store.path(), &bytes).unwrap();
    assert_eq!(state(), Seal::Broken);
    assert_eq!(store.audit(9).unwrap().len(), 1);
    assert_eq!(state(), Seal::Intact);

    faulty::plan(Some(Fault::NoSpace), 3);
    store.append_audit(&[entry("lost")]).unwrap_err();
    faulty::plan(None, 0);
    store.append_audit(&[entry("after")]).unwrap();
    assert_eq!(state(), Seal::Intact);
}
