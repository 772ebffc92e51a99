//! What every [`Store`] does, asked of the one in a file and the one in memory.

mod sample;

use cm_state::{
    AuditEntry, ControllerId, Digest, HostCounts, HostState, LastChange, Lifecycle, MemoryStore,
    NodeResources, NodeUpdate, RedbStore, RememberedRun, Resource, Restored, Retention, RunId, RunMode,
    RunState, StateError, Store, TaskCounts, TaskFilter, TaskOutcome, TaskResult, Timestamp,
    UNKNOWN_CONTROLLER_GRACE,
};
use sample::{NOON, finish, host_result, minutes, new_run, varied};

fn both(test: impl Fn(&dyn Store)) {
    test(&MemoryStore::new());
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join(".cm/state.redb")).unwrap();
    test(&store);
    store.check().unwrap();
}

/// A finished run in which each host came out as said.
fn run(store: &dyn Store, mode: RunMode, started: Timestamp, hosts: &[(&str, HostState)]) -> RunId {
    let names: Vec<_> = hosts.iter().map(|(name, _)| *name).collect();
    let id = store.begin_run(&new_run(mode, started, &names)).unwrap();
    let records: Vec<_> = hosts
        .iter()
        .filter(|(_, state)| *state != HostState::Unfinished)
        .map(|(name, state)| host_result(name, *state, vec![]).into())
        .collect();
    store.record_hosts(&id, &records).unwrap();
    store.finish_run(&id, &[], &finish(RunState::Ok, started)).unwrap();
    id
}

#[test]
fn an_unused_store_is_empty() {
    both(|store| {
        let id: RunId = "20261122-171530-k3f".parse().unwrap();
        assert_eq!(store.runs(10).unwrap(), []);
        assert_eq!(store.nodes().unwrap(), []);
        assert_eq!(store.resources("web1").unwrap(), []);
        assert_eq!(store.audit(10).unwrap(), []);
        assert_eq!(store.failed_hosts().unwrap(), None);
        assert_eq!(store.close_interrupted(NOON).unwrap(), []);
        assert_eq!(
            store
                .prune(&Retention { keep_newest: Some(0), started_before: None, ..Retention::default() })
                .unwrap()
                .runs,
            []
        );
        assert_eq!(store.compact().unwrap().before, 0);
        assert!(matches!(store.find_run("2"), Err(StateError::UnknownRun { .. })));
        assert!(matches!(store.run_hosts(&id), Err(StateError::UnknownRun { .. })));
    });
}

#[test]
fn what_nodes_remember_fills_gaps_and_replaces_nothing() {
    both(|store| {
        let remembered = |id: &str, hosts: &[&str]| RememberedRun {
            id: id.parse().unwrap(),
            user: "anna@desk".into(),
            started: minutes(-60),
            ended: true,
            roles: vec!["web".into()],
            hosts: hosts.iter().map(|host| host_result(host, HostState::Changed, vec![]).into()).collect(),
        };
        // This state knows better what happened on `web1`, and nothing of `web2`.
        let known = run(
            store,
            RunMode::Rollback,
            NOON,
            &[("web1", HostState::Failed), ("web2", HostState::Unfinished)],
        );
        let lost = remembered("20261122-161530-k3f", &["web1", "web2"]);
        let runs = [remembered(known.as_str(), &["web1", "web2"]), lost.clone()];
        let restored = store.restore_runs(&runs).unwrap();
        assert_eq!(restored, Restored { runs: 1, results: 3 });
        let newest = store.runs(10).unwrap();
        assert_eq!(newest.iter().map(|run| &run.id).collect::<Vec<_>>(), [&known, &lost.id]);
        assert_eq!(
            (newest[0].mode, newest[0].hosts.failed, newest[0].hosts.changed),
            (RunMode::Rollback, 1, 1)
        );
        assert_eq!((newest[1].state, newest[1].hosts.total), (RunState::Changed, 2));
        assert_eq!((newest[1].user.as_str(), newest[1].target.as_str()), ("anna@desk", "web1,web2"));
        // A second time, and by another host of the same run.
        assert_eq!(store.restore_runs(&runs).unwrap(), Restored::default());
        let later = remembered("20261122-161530-k3f", &["web3"]);
        assert_eq!(store.restore_runs(&[later]).unwrap(), Restored { runs: 0, results: 1 });
        assert_eq!(store.run_hosts(&lost.id).unwrap().len(), 3);
        // One that is at work has its own results to come.
        let working = store.begin_run(&new_run(RunMode::Apply, minutes(1), &["web1"])).unwrap();
        assert_eq!(
            store.restore_runs(&[remembered(working.as_str(), &["web1"])]).unwrap(),
            Restored::default()
        );
        assert_eq!(store.find_run(working.as_str()).unwrap().state, RunState::Running);
    });
}

#[test]
fn a_run_is_remembered_down_to_its_tasks() {
    both(|store| {
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &["web2", "web1", "web3"])).unwrap();
        let running = &store.runs(1).unwrap()[0];
        assert_eq!((running.state, running.finished), (RunState::Running, None));
        assert_eq!(running.controller, ControllerId::current());

        let first = varied("web1", HostState::Failed);
        let second = host_result("web2", HostState::Ok, vec![]);
        store.record_hosts(&id, &[first.clone().into(), second.clone().into()]).unwrap();
        let done = store.finish_run(&id, &[], &finish(RunState::Failed, minutes(1))).unwrap();

        assert_eq!(store.runs(9).unwrap(), std::slice::from_ref(&done));
        assert_eq!(done.state, RunState::Failed);
        assert_eq!(done.finished, Some(minutes(1)));
        assert_eq!(done.hosts, HostCounts { total: 3, ok: 1, failed: 1, ..HostCounts::default() });
        assert_eq!(
            done.tasks,
            TaskCounts { ok: 2, changed: 1, failed: 1, skipped: 1, unknown: 1, cancelled: 1 }
        );
        assert_eq!(store.run_host(&id, "web1").unwrap(), Some(first.clone()));
        assert_eq!(store.run_host(&id, "web3").unwrap(), None);
        assert_eq!(store.run_results(&id, TaskFilter::All).unwrap(), [first.clone(), second.clone()]);

        let mut not_ok = first;
        not_ok.tasks.retain(|task| task.outcome != TaskOutcome::Ok);
        assert_eq!(store.run_results(&id, TaskFilter::NotOk).unwrap(), [not_ok, second]);

        let hosts = store.run_hosts(&id).unwrap();
        let states: Vec<_> = hosts.iter().map(|host| (host.host.as_str(), host.state)).collect();
        assert_eq!(
            states,
            [("web1", HostState::Failed), ("web2", HostState::Ok), ("web3", HostState::Unfinished)]
        );
        assert_eq!(hosts[0].tasks, done.tasks);
    });
}

#[test]
fn recording_a_host_again_replaces_it_and_counts_it_once() {
    both(|store| {
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &["web1"])).unwrap();
        store.record_hosts(&id, &[varied("web1", HostState::Unreachable).into()]).unwrap();
        let again = host_result("web1", HostState::Ok, vec![TaskResult::new("user:www", TaskOutcome::Ok)]);
        store.record_hosts(&id, &[again.clone().into()]).unwrap();
        let run = store.find_run(id.as_str()).unwrap();
        assert_eq!(run.hosts, HostCounts { total: 1, ok: 1, ..HostCounts::default() });
        assert_eq!(run.tasks, TaskCounts { ok: 1, ..TaskCounts::default() });
        assert_eq!(store.run_host(&id, "web1").unwrap(), Some(again));
    });
}

#[test]
fn a_host_nobody_announced_belongs_to_the_run() {
    both(|store| {
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &[])).unwrap();
        store.record_hosts(&id, &[varied("web1", HostState::Ok).into()]).unwrap();
        assert_eq!(store.find_run(id.as_str()).unwrap().hosts.total, 1);
        assert_eq!(store.run_hosts(&id).unwrap().len(), 1);
    });
}

#[test]
fn the_first_end_of_a_run_stands() {
    both(|store| {
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &[])).unwrap();
        store.finish_run(&id, &[], &finish(RunState::Interrupted, minutes(1))).unwrap();
        let run = store.finish_run(&id, &[], &finish(RunState::Ok, minutes(2))).unwrap();
        assert_eq!((run.state, run.finished), (RunState::Interrupted, Some(minutes(1))));
    });
}

#[test]
fn a_run_that_is_not_there_takes_no_results() {
    both(|store| {
        let id: RunId = "20261122-171530-k3f".parse().unwrap();
        let recorded = store.record_hosts(&id, &[varied("web1", HostState::Ok).into()]);
        assert!(matches!(recorded, Err(StateError::UnknownRun { .. })));
        assert!(matches!(
            store.finish_run(&id, &[], &finish(RunState::Ok, NOON)),
            Err(StateError::UnknownRun { .. })
        ));
        assert_eq!(store.nodes().unwrap(), []);
    });
}

#[test]
fn runs_come_newest_first_and_go_by_prefix_or_suffix() {
    both(|store| {
        let ids: Vec<RunId> = (0..5).map(|n| run(store, RunMode::Apply, minutes(n), &[])).collect();
        let listed: Vec<RunId> = store.runs(3).unwrap().into_iter().map(|run| run.id).collect();
        assert_eq!(listed, [ids[4].clone(), ids[3].clone(), ids[2].clone()]);
        for id in &ids {
            assert_eq!(&store.find_run(id.as_str()).unwrap().id, id);
            // To the minute, they differ.
            assert_eq!(&store.find_run(&id.as_str()[..13]).unwrap().id, id);
        }
        let ambiguous = store.find_run("20261122").unwrap_err();
        let StateError::AmbiguousRun { candidates, .. } = &ambiguous else { panic!("{ambiguous}") };
        assert_eq!(candidates.len(), 5);
        assert_eq!(candidates[0], ids[4].as_str());
        for missing in ["", "2025", "no", "20261122-171530-0000"] {
            assert!(matches!(store.find_run(missing), Err(StateError::UnknownRun { .. })), "{missing}");
        }
    });
}

#[test]
fn the_last_letters_of_an_id_are_enough() {
    both(|store| {
        let id = run(store, RunMode::Apply, NOON, &[]);
        assert_eq!(store.find_run(id.suffix()).unwrap().id, id);
        assert_eq!(store.find_run(&id.suffix()[..2]).unwrap().id, id);
    });
}

#[test]
fn failed_hosts_are_those_of_the_last_run_that_was_no_plan() {
    use HostState::{Changed, Failed, Interrupted, Ok, Skipped, Unfinished, Unreachable};
    both(|store| {
        run(store, RunMode::Apply, minutes(0), &[("old", Failed)]);
        let hosts = [
            ("a", Ok),
            ("b", Failed),
            ("c", Unreachable),
            ("d", Changed),
            ("e", Interrupted),
            ("f", Skipped),
            ("g", Unfinished),
        ];
        let last = run(store, RunMode::Apply, minutes(1), &hosts);
        run(store, RunMode::Plan, minutes(2), &[("planned", Unreachable)]);
        store.begin_run(&new_run(RunMode::Apply, minutes(3), &["running"])).unwrap();
        let in_vain = store.begin_run(&new_run(RunMode::Apply, minutes(4), &["a"])).unwrap();
        store.finish_run(&in_vain, &[], &finish(RunState::Aborted, minutes(4))).unwrap();

        let failed = store.failed_hosts().unwrap().unwrap();
        assert_eq!(failed.run, last);
        assert_eq!(failed.failed, ["b", "c"]);
        assert_eq!(failed.unfinished, ["e", "f", "g"]);

        run(store, RunMode::Verify, minutes(5), &[("a", Ok)]);
        assert_eq!(store.failed_hosts().unwrap().unwrap().failed, [""; 0]);
    });
}

#[test]
fn runs_of_killed_controllers_end_as_interrupted() {
    both(|store| {
        let me = ControllerId::current();
        let begin = |minute, controller: ControllerId| {
            let new = cm_state::NewRun {
                controller,
                ..new_run(RunMode::Apply, minutes(minute), &["web1", "web2"])
            };
            store.begin_run(&new).unwrap()
        };
        let alive = begin(0, me.clone());
        let rebooted = begin(1, ControllerId { boot_id: "another".into(), ..me.clone() });
        let other_process = begin(2, ControllerId { started_ticks: me.started_ticks + 1, ..me.clone() });
        let elsewhere = begin(3, ControllerId { machine: "another".into(), ..me });
        store.record_hosts(&rebooted, &[varied("web1", HostState::Changed).into()]).unwrap();

        let now = minutes(60);
        let closed: Vec<_> = store.close_interrupted(now).unwrap();
        assert_eq!(closed.iter().map(|run| &run.id).collect::<Vec<_>>(), [&other_process, &rebooted]);
        assert!(closed.iter().all(|run| run.state == RunState::Interrupted && run.error.is_some()));
        // The run ended when its last host did, not when somebody noticed.
        assert_eq!(closed[1].finished, Some(minutes(1)));
        assert_eq!(store.run_hosts(&rebooted).unwrap()[1].state, HostState::Unfinished);
        assert_eq!(store.close_interrupted(now).unwrap(), []);
        assert_eq!(store.find_run(alive.as_str()).unwrap().state, RunState::Running);

        let much_later = minutes(4).plus_micros(UNKNOWN_CONTROLLER_GRACE);
        let closed = store.close_interrupted(much_later).unwrap();
        assert_eq!(closed.iter().map(|run| &run.id).collect::<Vec<_>>(), [&elsewhere]);
    });
}

#[test]
fn nodes_learn_and_do_not_forget() {
    both(|store| {
        let first = NodeUpdate {
            address: Some("10.0.0.1:22".into()),
            seen: Some(minutes(5)),
            facts: Some("{\"os\": \"debian\"}".into()),
            ..NodeUpdate::new("web1")
        };
        let second = NodeUpdate {
            lifecycle: Some(Lifecycle::Commissioned),
            seen: Some(minutes(3)),
            host_key: Some("ssh-ed25519 SHA256:q3vJ".into()),
            agent_hash: Some("4f2a".into()),
            boot_id: Some("b1".into()),
            ..NodeUpdate::new("web1")
        };
        store.upsert_nodes(&[first, NodeUpdate::new("db1")]).unwrap();
        store.upsert_nodes(&[second]).unwrap();
        let node = store.node("web1").unwrap().unwrap();
        assert_eq!(node.lifecycle, Lifecycle::Commissioned);
        assert_eq!(node.address.as_deref(), Some("10.0.0.1:22"));
        assert_eq!((node.first_seen, node.last_seen), (minutes(5), Some(minutes(5))));
        assert_eq!(node.host_key.as_deref(), Some("ssh-ed25519 SHA256:q3vJ"));
        assert_eq!(node.facts_at, Some(minutes(5)));
        assert_eq!(
            store.facts(&["web1", "db1", "nobody"]).unwrap(),
            [("web1".to_owned(), "{\"os\": \"debian\"}".to_owned())]
        );
        let names: Vec<_> = store.nodes().unwrap().into_iter().map(|node| node.name).collect();
        assert_eq!(names, ["db1", "web1"]);
        assert_eq!(store.node("db1").unwrap().unwrap().lifecycle, Lifecycle::Discovered);

        assert!(store.forget_node("web1").unwrap());
        assert!(!store.forget_node("web1").unwrap());
        assert_eq!(store.node("web1").unwrap(), None);
        assert_eq!(store.facts(&["web1"]).unwrap(), []);
    });
}

#[test]
fn resources_keep_when_they_were_changed_last() {
    both(|store| {
        let run: RunId = "20261122-171530-k3f".parse().unwrap();
        let update = |id: &str, seen: u8, changed: Option<LastChange>| Resource {
            id: id.into(),
            role: Some("web".into()),
            wanted: Some(Digest([1; 32])),
            seen: Some(Digest([seen; 32])),
            outcome: if changed.is_some() { TaskOutcome::Changed } else { TaskOutcome::Ok },
            changed,
        };
        let put = |node: &str, updates: Vec<Resource>| {
            store.put_resources(&[NodeResources { node: node.into(), updates }]).unwrap();
        };
        let change = LastChange { at: NOON, run };
        put("web1", vec![update("file:/b", 1, Some(change.clone())), update("file:/a", 2, None)]);
        put("web1", vec![update("file:/b", 9, None)]);
        put("web2", vec![update("file:/a", 1, None)]);
        let resources = store.resources("web1").unwrap();
        assert_eq!(resources.len(), 2);
        assert_eq!((&*resources[0].id, &resources[0].changed), ("file:/a", &None));
        assert_eq!(resources[1].changed, Some(change));
        assert_eq!(resources[1].seen, Some(Digest([9; 32])));
        assert_eq!(resources[1].outcome, TaskOutcome::Ok);

        store.forget_resources("web1", &["file:/a", "file:/never"]).unwrap();
        assert_eq!(store.resources("web1").unwrap().len(), 1);
        store.forget_resources("web1", &["file:/b"]).unwrap();
        assert_eq!(store.resources("web1").unwrap(), []);
        assert_eq!(store.resources("web2").unwrap().len(), 1);
    });
}

#[test]
fn what_is_learned_with_a_host_is_recorded_with_it() {
    both(|store| {
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &[])).unwrap();
        let record = sample::large(&id, 1, 20, 3);
        store.record_hosts(&id, std::slice::from_ref(&record)).unwrap();
        let name = &record.result.host;
        assert_eq!(store.node(name).unwrap().unwrap().last_seen, Some(NOON));
        assert_eq!(store.facts(&[name]).unwrap()[0].1, record.node.unwrap().facts.unwrap());
        let resources = store.resources(name).unwrap();
        assert_eq!(resources.len(), 20);
        assert_eq!(resources.iter().filter(|resource| resource.changed.is_some()).count(), 3);
    });
}

#[test]
fn the_audit_log_counts_on() {
    both(|store| {
        let entry =
            |what: &str| AuditEntry { at: NOON, who: "anna@desk".into(), what: what.into(), run: None };
        store.append_audit(&[entry("one"), entry("two")]).unwrap();
        store.append_audit(&[entry("three")]).unwrap();
        let newest: Vec<_> =
            store.audit(2).unwrap().into_iter().map(|record| (record.sequence, record.what)).collect();
        assert_eq!(newest, [(3, "three".to_owned()), (2, "two".to_owned())]);
        assert_eq!(store.audit(100).unwrap().len(), 3);
    });
}

#[test]
fn rollouts_are_kept_as_given() {
    both(|store| {
        store.put_rollout("r2", &[7; 5000]).unwrap();
        store.put_rollout("r1", b"").unwrap();
        store.put_rollout("r2", b"new").unwrap();
        assert_eq!(store.rollouts().unwrap(), ["r1", "r2"]);
        assert_eq!(store.rollout("r2").unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(store.rollout("r3").unwrap(), None);
    });
}

#[test]
fn pruning_takes_old_runs_whole_and_nothing_else() {
    both(|store| {
        let running = store.begin_run(&new_run(RunMode::Apply, minutes(-10), &["a"])).unwrap();
        let ids: Vec<RunId> = (0..6)
            .map(|n| {
                run(store, RunMode::Apply, minutes(n), &[("a", HostState::Ok), ("b", HostState::Failed)])
            })
            .collect();
        store.upsert_nodes(&[NodeUpdate::new("a")]).unwrap();
        let remaining = || store.runs(100).unwrap().into_iter().map(|run| run.id).collect::<Vec<_>>();

        let older = Retention { keep_newest: None, started_before: Some(minutes(2)), ..Retention::default() };
        assert_eq!(store.prune(&older).unwrap().runs, [ids[1].clone(), ids[0].clone()]);
        assert_eq!(remaining(), [&ids[5], &ids[4], &ids[3], &ids[2], &running].map(RunId::clone));
        assert!(matches!(store.run_hosts(&ids[0]), Err(StateError::UnknownRun { .. })));
        assert_eq!(store.run_results(&ids[2], TaskFilter::All).unwrap().len(), 2);

        let most =
            Retention { keep_newest: Some(0), started_before: Some(minutes(1000)), ..Retention::default() };
        assert_eq!(store.prune(&most).unwrap().runs.len(), 3);
        assert_eq!(remaining(), [&ids[5], &running].map(RunId::clone));
        assert_eq!(store.prune(&most).unwrap().runs, []);
        assert_eq!(store.prune(&Retention::default()).unwrap().runs, []);
        assert_eq!(store.failed_hosts().unwrap().unwrap().failed, ["b"]);
        assert!(store.node("a").unwrap().is_some());
        assert_eq!(store.run_hosts(&running).unwrap().len(), 1);
    });
}

#[test]
fn names_may_hold_anything_a_text_can() {
    both(|store| {
        let odd = ["a b\n\"c\"", "grün", "\u{10ffff}", ""];
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &odd)).unwrap();
        for name in odd {
            store.record_hosts(&id, &[varied(name, HostState::Ok).into()]).unwrap();
            store.upsert_nodes(&[NodeUpdate::new(name)]).unwrap();
            assert_eq!(store.run_host(&id, name).unwrap(), Some(varied(name, HostState::Ok)));
        }
        assert_eq!(store.run_hosts(&id).unwrap().len(), odd.len());
        assert_eq!(store.nodes().unwrap().len(), odd.len());
    });
}

#[test]
fn hosts_with_different_tasks_do_not_mix() {
    both(|store| {
        let id = store.begin_run(&new_run(RunMode::Apply, NOON, &[])).unwrap();
        let results: Vec<_> = (0..20)
            .map(|host| {
                let tasks =
                    (0..host).map(|task| TaskResult::new(format!("file:/{task}"), TaskOutcome::Ok)).collect();
                host_result(&format!("host{host:02}"), HostState::Ok, tasks)
            })
            .collect();
        let records: Vec<_> = results.iter().cloned().map(Into::into).collect();
        store.record_hosts(&id, &records[..10]).unwrap();
        store.record_hosts(&id, &records[10..]).unwrap();
        let mut expected = results;
        for result in &mut expected {
            // None of them started, so they come back by id.
            result.tasks.sort_by(|a, b| a.id.cmp(&b.id));
        }
        assert_eq!(store.run_results(&id, TaskFilter::All).unwrap(), expected);
    });
}
