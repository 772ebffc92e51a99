//! The past is bounded, and no way to bound it loses what is kept.

mod sample;

use std::collections::BTreeSet;

use cm_state::{HostState, MemoryStore, RedbStore, Retention, RunId, RunMode, RunState, Store, TaskFilter};
use sample::{finish, minutes, new_run, quick_folder};

fn run(store: &impl Store, mode: RunMode, minute: i64, state: RunState, hosts: usize) -> RunId {
    let id = store.begin_run(&new_run(mode, minutes(minute), &[])).unwrap();
    let changed = usize::from(state == RunState::Changed);
    let records: Vec<_> = (0..hosts).map(|host| sample::large(&id, host, 20, changed)).collect();
    store.finish_run(&id, &records, &finish(state, minutes(minute))).unwrap();
    id
}

fn left(store: &impl Store) -> BTreeSet<RunId> {
    store.runs(usize::MAX).unwrap().into_iter().map(|run| run.id).collect()
}

#[test]
fn a_verify_every_minute_does_not_drive_out_what_was_done() {
    let store = MemoryStore::new();
    let done = run(&store, RunMode::Apply, 0, RunState::Changed, 1);
    let quiet: Vec<RunId> =
        (1..30).map(|minute| run(&store, RunMode::Verify, minute, RunState::Ok, 1)).collect();
    let rules = Retention { keep_newest: Some(5), ..Retention::default() };
    // In steps, the oldest first, and not for a few.
    assert_eq!(store.prune(&Retention { least: 25, ..rules }).unwrap().runs, []);
    let step = store.prune(&Retention { most: Some(4), ..rules }).unwrap();
    assert_eq!(step.runs.iter().rev().collect::<Vec<_>>(), quiet[..4].iter().collect::<Vec<_>>());
    store.prune(&rules).unwrap();
    let mut expected: BTreeSet<RunId> = quiet[24..].iter().cloned().collect();
    expected.insert(done);
    assert_eq!(left(&store), expected);
}

#[test]
fn what_takes_too_much_goes_oldest_first() {
    let store = MemoryStore::new();
    let ids: Vec<RunId> =
        (0..10).map(|minute| run(&store, RunMode::Apply, minute, RunState::Changed, 5)).collect();
    let all = store.prune(&Retention::default()).unwrap().kept_bytes;
    assert!(all > 1000, "{all}");
    let half = Retention { largest: Some(all / 2), ..Retention::default() };
    let pruned = store.prune(&half).unwrap();
    assert!(pruned.kept_bytes <= all / 2 && pruned.kept_bytes > all / 3, "{pruned:?} of {all}");
    assert_eq!(left(&store), ids[5..].iter().cloned().collect());
    // The newest stays, however large.
    store.prune(&Retention { largest: Some(1), ..Retention::default() }).unwrap();
    assert_eq!(left(&store), [ids[9].clone()].into());
}

#[test]
fn many_runs_take_no_more_room_than_the_first_few() {
    let folder = quick_folder();
    let store = RedbStore::open(folder.path().join("state.redb")).unwrap();
    let rules = Retention { keep_newest: Some(20), least: 10, most: Some(20), ..Retention::default() };
    let mut early = 0;
    for minute in 0..700 {
        let state = if minute % 10 == 0 { RunState::Changed } else { RunState::Ok };
        run(&store, RunMode::Apply, minute, state, 8);
        store.prune(&rules).unwrap();
        if minute == 330 {
            early = store.size().unwrap();
        }
    }
    let late = store.size().unwrap();
    assert!(late <= early * 5 / 4, "{early} -> {late}");
    assert!(left(&store).len() <= 60);
    store.prune(&Retention { keep_newest: Some(2), ..Retention::default() }).unwrap();
    let newest = store.runs(1).unwrap().remove(0);
    let before = store.run_results(&newest.id, TaskFilter::All).unwrap();
    store.compact().unwrap();
    assert!(store.size().unwrap() < late, "{late} -> {}", store.size().unwrap());
    store.check().unwrap();
    assert_eq!(store.run_results(&newest.id, TaskFilter::All).unwrap(), before);
    assert!(before.iter().all(|host| host.state == HostState::Ok));
}

/// As the end of a run calls it, and as `cm state compact` does.
#[test]
fn the_audit_log_keeps_its_newest_lines() {
    let store = MemoryStore::new();
    for minute in 0..40 {
        run(&store, RunMode::Apply, minute, RunState::Ok, 1);
    }
    let numbers = || store.audit(usize::MAX).unwrap().iter().map(|line| line.sequence).collect::<Vec<_>>();
    let rules = Retention { audit_newest: Some(25), ..Retention::default() };
    let in_steps = Retention { least: 10, most: Some(12), ..rules };
    assert_eq!(store.prune(&Retention { least: 16, ..rules }).unwrap().audit_lines, 0);
    assert_eq!(store.prune(&in_steps).unwrap().audit_lines, 12);
    assert_eq!(numbers(), (13..=40).rev().collect::<Vec<_>>());
    // Three are too few for a transaction of their own.
    assert_eq!(store.prune(&in_steps).unwrap().audit_lines, 0);
    assert_eq!(store.prune(&rules).unwrap().audit_lines, 3);
    assert_eq!(numbers(), (16..=40).rev().collect::<Vec<_>>());
    // Runs are not what the log is about, and numbers go on.
    assert_eq!(left(&store).len(), 40);
    run(&store, RunMode::Apply, 50, RunState::Ok, 1);
    assert_eq!(numbers()[0], 41);
    assert_eq!(store.prune(&Retention { audit_newest: Some(0), ..rules }).unwrap().audit_lines, 26);
    assert_eq!(store.prune(&Retention { audit_newest: Some(0), ..rules }).unwrap().audit_lines, 0);
}
