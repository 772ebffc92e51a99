//! Several processes at one file, and processes that are killed.
//!
//! The children are this test program itself, told by its environment what to do.

mod sample;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use cm_state::{
    AuditEntry, ControllerId, HostState, NodeUpdate, RedbStore, Retention, RunId, RunMode, RunState, Store,
    TaskFilter,
};
use sample::{NOON, finish, minutes, new_run, noise64, varied};

const ROLE: &str = "CM_STATE_TEST_ROLE";
const FILE: &str = "CM_STATE_TEST_FILE";
const NAME: &str = "CM_STATE_TEST_NAME";

/// A child that is killed when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(role: &str, name: &str, file: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(FILE, file).env(NAME, name);
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    fn output(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }
}

/// Not a test of its own: what the children do.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let store = RedbStore::open(std::env::var_os(FILE).unwrap()).unwrap();
    let name = std::env::var(NAME).unwrap();
    match role.as_str() {
        "write 20 runs" => (0..20).for_each(|_| one_run(&store, &name, aloud)),
        "write until killed" => loop {
            one_run(&store, &name, aloud);
        },
        "read 60 times" => (0..60).for_each(|_| {
            for run in store.runs(5).unwrap() {
                let results = store.run_results(&run.id, TaskFilter::NotOk).unwrap();
                assert!(results.len() <= 2);
            }
            store.nodes().unwrap();
        }),
        "forget until killed" => loop {
            (0..3).for_each(|_| whole_run(&store));
            store.prune(&Retention { most: Some(2), ..FEW }).unwrap();
            store.compact().unwrap();
        },
        other => panic!("{other}"),
    }
}

/// What is kept where much is forgotten.
const FEW: Retention = Retention {
    keep_newest: Some(KEPT),
    started_before: None,
    largest: None,
    audit_newest: None,
    least: 0,
    most: None,
};
const KEPT: usize = 6;
/// Hosts and tasks of a run that is forgotten.
const LARGE: (usize, usize) = (4, 30);

/// A run of some size that is told once it is whole.
fn whole_run(store: &RedbStore) {
    let id = store.begin_run(&new_run(RunMode::Apply, NOON, &[])).unwrap();
    let records: Vec<_> = (0..LARGE.0).map(|host| sample::large(&id, host, LARGE.1, 1)).collect();
    store.finish_run(&id, &records, &finish(RunState::Changed, minutes(1))).unwrap();
    aloud("whole", &id);
}

/// Tells the parent.
fn aloud(what: &str, id: &RunId) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "\n{what} {id}").unwrap();
}

/// A run in four transactions. Says what has been promised to last.
fn one_run(store: &RedbStore, name: &str, say: fn(&str, &RunId)) {
    let id = store.begin_run(&new_run(RunMode::Apply, NOON, &["a", name])).unwrap();
    say("begun", &id);
    let mut record: cm_state::HostRecord = varied(name, HostState::Failed).into();
    record.node = Some(NodeUpdate { facts: Some("{}".repeat(2000)), ..NodeUpdate::new(name) });
    store.record_hosts(&id, &[varied("a", HostState::Ok).into(), record]).unwrap();
    say("recorded", &id);
    let entry = AuditEntry { at: NOON, who: name.into(), what: "ran".into(), run: Some(id.clone()) };
    store.append_audit(&[entry]).unwrap();
    store.finish_run(&id, &[], &finish(RunState::Failed, minutes(1))).unwrap();
    say("finished", &id);
}

/// Whether what a child said is so.
fn verify(store: &RedbStore, line: &str) {
    let Some((what, id)) = line.split_once(' ') else { return };
    let Ok(id) = id.parse::<RunId>() else { return };
    let run = store.find_run(id.as_str()).unwrap();
    let recorded = store.run_results(&id, TaskFilter::All).unwrap().len();
    match what {
        "begun" => {}
        "recorded" => assert_eq!(recorded, 2),
        "finished" => assert_eq!((recorded, run.state), (2, RunState::Failed)),
        _ => {}
    }
}

#[test]
fn many_processes_write_and_read_at_once() {
    let folder = sample::quick_folder();
    let file = folder.path().join(".cm/state.redb");
    // None of them finds a file: all try to make it.
    let names = ["w0", "w1", "w2", "w3", "w4", "w5"];
    let mut processes: Vec<Process> =
        names.iter().map(|name| Process::start("write 20 runs", name, &file)).collect();
    processes.extend(["r0", "r1"].map(|name| Process::start("read 60 times", name, &file)));
    let outputs: Vec<_> = processes.iter_mut().map(Process::output).collect();
    let lines: Vec<String> = std::thread::scope(|scope| {
        let readers: Vec<_> = outputs
            .into_iter()
            .map(|output| scope.spawn(|| output.lines().map_while(Result::ok).collect()))
            .collect();
        readers.into_iter().flat_map(|reader| -> Vec<String> { reader.join().unwrap() }).collect()
    });
    for process in &mut processes {
        assert!(process.0.wait().unwrap().success());
    }
    let store = RedbStore::open(&file).unwrap();
    store.check().unwrap();
    let runs = store.runs(1000).unwrap();
    assert_eq!(runs.len(), names.len() * 20);
    assert!(runs.iter().all(|run| run.state == RunState::Failed && run.hosts.total == 2));
    assert_eq!(lines.iter().filter(|line| line.starts_with("finished ")).count(), runs.len());
    // One line as the run begins, and one of the process itself.
    assert_eq!(store.audit(1000).unwrap()[0].sequence, 2 * runs.len() as u64);
    assert_eq!(store.nodes().unwrap().len(), names.len());
}

#[test]
fn threads_of_one_process_share_a_store() {
    let folder = sample::quick_folder();
    let store = RedbStore::open(folder.path().join("state.redb")).unwrap();
    let other = RedbStore::open(store.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let store = if thread % 2 == 0 { &store } else { &other };
            scope.spawn(move || {
                for _ in 0..5 {
                    one_run(store, &format!("t{thread}"), |_, _| {});
                    assert!(!store.runs(3).unwrap().is_empty());
                }
            });
        }
    });
    store.check().unwrap();
    assert_eq!(store.runs(100).unwrap().len(), 30);
}

#[test]
fn what_was_promised_outlives_a_kill_at_any_moment() {
    // On a disk, where a transaction takes long enough to be hit.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let mut killed_while_open = 0;
    for round in 0.. {
        if killed_while_open == 6 || round == 100 {
            break;
        }
        let mut process = Process::start("write until killed", "a-killed-one", &file);
        let mut output = process.output();
        let mut said = Vec::new();
        // Some way into its work, then some time into whatever comes next.
        let mut line = String::new();
        for _ in 0..2 + noise64(round) % 12 {
            line.clear();
            output.read_line(&mut line).unwrap();
            said.push(line.trim().to_owned());
        }
        let pause = Duration::from_micros(noise64(round + 100) % 9000);
        let until = Instant::now() + pause;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        said.extend(output.lines().map_while(Result::ok));
        // Byte 9 of the header tells whether the file was closed (redb's design document).
        killed_while_open += usize::from(std::fs::read(&file).is_ok_and(|bytes| bytes[9] & 2 != 0));

        let store = RedbStore::open(&file).unwrap();
        said.iter().for_each(|line| verify(&store, line));
        store.check().unwrap();
        let open: Vec<RunId> = store
            .runs(10_000)
            .unwrap()
            .into_iter()
            .filter(|run| run.state == RunState::Running)
            .map(|run| run.id)
            .collect();
        assert!(open.len() <= 1);
        let closed: Vec<RunId> =
            store.close_interrupted(minutes(5)).unwrap().into_iter().map(|run| run.id).collect();
        assert_eq!(closed, open);
    }
    assert!(killed_while_open > 2, "only {killed_while_open} were killed while they had the file open");
}

#[test]
fn a_kill_while_it_forgets_or_compacts_leaves_whole_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let (mut killed_while_open, mut all) = (0, Vec::new());
    for round in 0..60 {
        if killed_while_open >= 8 {
            break;
        }
        let mut process = Process::start("forget until killed", "", &file);
        let mut output = process.output();
        let mut said = Vec::new();
        while said.len() < 3 + round % 4 {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            said.extend(line.trim().strip_prefix("whole ").map(str::to_owned));
        }
        std::thread::sleep(Duration::from_micros(noise64(round as u64) % 30_000));
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        let rest = output.lines().map_while(Result::ok);
        said.extend(rest.filter_map(|line| line.trim().strip_prefix("whole ").map(str::to_owned)));
        killed_while_open += usize::from(std::fs::read(&file).is_ok_and(|bytes| bytes[9] & 2 != 0));

        let store = RedbStore::open(&file).unwrap();
        store.check().unwrap();
        store.close_interrupted(minutes(5)).unwrap();
        let runs = store.runs(usize::MAX).unwrap();
        for run in runs.iter().filter(|run| run.state == RunState::Changed) {
            let results = store.run_results(&run.id, TaskFilter::All).unwrap();
            assert_eq!((results.len(), store.run_hosts(&run.id).unwrap().len()), (LARGE.0, LARGE.0));
            assert!(results.iter().all(|host| host.tasks.len() == LARGE.1), "{}", run.id);
        }
        // The newest are never forgotten.
        for id in said.iter().rev().take(KEPT) {
            assert!(runs.iter().any(|run| run.id.as_str() == id), "{id} is lost");
        }
        all.extend(said);
        store.compact().unwrap();
        assert_eq!(store.runs(usize::MAX).unwrap(), runs);
    }
    assert!(killed_while_open > 2, "only {killed_while_open} were killed while they had the file open");
    let left = RedbStore::open(&file).unwrap().runs(usize::MAX).unwrap().len();
    assert!(left < all.len(), "{left} of {} runs: nothing was forgotten", all.len());
}

#[test]
fn a_run_of_a_living_process_is_left_alone() {
    let folder = sample::quick_folder();
    let file = folder.path().join("state.redb");
    let store = RedbStore::open(&file).unwrap();
    let mut process = Process::start("write until killed", "living", &file);
    let mut output = process.output();
    let mut line = String::new();
    while !line.starts_with("begun") {
        line.clear();
        output.read_line(&mut line).unwrap();
    }
    assert_eq!(store.close_interrupted(minutes(5)).unwrap(), []);
    let pid = process.0.id();
    drop(process);
    for run in store.close_interrupted(minutes(5)).unwrap() {
        assert_eq!(run.controller.pid, pid);
        assert_ne!(run.controller, ControllerId::current());
    }
    assert!(store.runs(1000).unwrap().iter().all(|run| run.state != RunState::Running));
}
