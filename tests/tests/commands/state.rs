//! What the state database forgets: by itself at the end of a run, and when it is told to.

use std::{fs, path::PathBuf, sync::Arc};

use cm_state::{
    ControllerId, HostRecord, HostResult, HostState, NewRun, NodeUpdate, RedbStore, RunFinish, RunMode,
    RunState, Store, TaskOutcome, TaskOutput, TaskResult, Timestamp,
};
use cm_tests::Repository;

const DAY: i64 = 86_400_000_000;

/// A repository of one host where nobody listens.
struct Remembering {
    repository: Repository,
}

impl Remembering {
    fn new(history: &str) -> Self {
        let repository = Repository::empty();
        repository.write("cm.toml", format!("state = \"state.redb\"\n[history]\n{history}"));
        repository.write("known_hosts", "");
        repository.write("key", "");
        repository.write(
            "inventory.yaml",
            "hosts:\n  web: { address: 127.0.0.1 }\ndefaults:\n  ssh: { user: x, port: 1, key: key, known_hosts: known_hosts, config: none, attempts: 1 }\n",
        );
        repository.role("r", "tasks:\n  - file: /nowhere/x\n    content: x\n");
        Self { repository }
    }

    fn file(&self) -> PathBuf {
        self.repository.folder().join("state.redb")
    }

    fn store(&self) -> RedbStore {
        RedbStore::open(self.file()).expect("it can be opened")
    }

    /// Records runs of the last days, each with so many hosts whose commands said a lot.
    fn ran(&self, runs: i64, hosts: usize) {
        let store = self.store();
        for run in 0..runs {
            let started = Timestamp::now().plus_micros((run - runs) * DAY);
            let id = store
                .begin_run(&NewRun {
                    command_line: format!("cm run {run}"),
                    user: "anna@desk".into(),
                    target: "all".into(),
                    roles: Vec::new(),
                    mode: RunMode::Run,
                    started,
                    controller: ControllerId::current(),
                    hosts: Vec::new(),
                })
                .expect("it begins");
            let records: Vec<HostRecord> = (0..hosts).map(|host| said_a_lot(host, started)).collect();
            let finish = RunFinish { state: RunState::Changed, finished: started, error: None };
            store.finish_run(&id, &records, &finish).expect("it ends");
        }
    }

    fn runs(&self) -> Vec<String> {
        let listed = self.repository.cm("history --json --limit 1000");
        assert_eq!(listed.code, Some(0), "{listed:?}");
        listed
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
            .map(|run| run["command_line"].as_str().expect("a text").to_owned())
            .collect()
    }

    /// A run that reaches nobody.
    fn run(&self) {
        let ran = self.repository.cm("apply r on web");
        assert_eq!(ran.code, Some(4), "{ran:?}");
    }

    fn size(&self) -> u64 {
        fs::metadata(self.file()).expect("it is there").len()
    }
}

/// About a megabyte that does not compress well.
fn said_a_lot(host: usize, started: Timestamp) -> HostRecord {
    let mut number = host as u64 + started.as_micros() as u64;
    let mut noise = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", number >> 32)
    };
    let name = format!("web{host}");
    let tasks = (0..15)
        .map(|task| {
            let id: Arc<str> = format!("command:{task}").into();
            let stdout = std::iter::repeat_with(&mut noise).take(8000).collect();
            TaskResult {
                output: Some(TaskOutput { status: 0, stdout, stderr: String::new() }),
                ..TaskResult::new(id, TaskOutcome::Changed)
            }
        })
        .collect();
    HostRecord {
        node: Some(NodeUpdate::new(name.clone())),
        result: HostResult {
            host: name,
            state: HostState::Changed,
            error: None,
            started,
            duration_us: 1,
            tasks,
        },
        resources: Vec::new(),
    }
}

#[test]
fn the_end_of_a_run_forgets_old_ones_and_makes_a_large_file_smaller() {
    let remembering = Remembering::new("runs = 5\naudit = 20\n");
    remembering.ran(60, 3);
    let full = remembering.size();
    assert!(full > 64 << 20, "{full} bytes are too few for it to be made smaller by itself");

    remembering.run();
    // 20 at a time, the oldest.
    let left = remembering.runs();
    assert_eq!(left.len(), 41, "{left:?}");
    assert_eq!((left[0].contains("apply r on web"), left[40].as_str()), (true, "cm run 20"));
    assert_eq!(remembering.size(), full, "what is left is most of it");
    assert_eq!(remembering.store().audit(1000).expect("a log").len(), 41);

    remembering.run();
    remembering.run();
    let left = remembering.runs();
    assert!(left.len() < 15, "{left:?}");
    assert!(remembering.size() < full / 3, "{full} -> {}", remembering.size());
    let newest = remembering.store().runs(1).expect("runs").remove(0).id;
    let shown = remembering.repository.cm(&format!("show {newest}"));
    assert!(shown.code == Some(0) && shown.stdout.contains("web"), "{shown:?}");
}

#[test]
fn compacting_forgets_all_that_may_go() {
    let remembering = Remembering::new("runs = 5\ndays = 4\naudit = 7\n");
    remembering.ran(30, 1);
    let full = remembering.size();
    let ran = remembering.repository.cm("state compact");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // Of 30 days the last four are younger than that, but for the one at its edge.
    let left = remembering.runs();
    assert_eq!(left, ["cm run 29", "cm run 28", "cm run 27"], "{ran:?}");
    assert!(
        ran.stdout.starts_with("27 old runs, 0 rollouts and 23 lines of the audit log forgotten;"),
        "{ran:?}"
    );
    assert!(remembering.size() < full / 4, "{full} -> {}", remembering.size());
    let again = remembering.repository.cm("state compact --json");
    let told: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!((&told["runs"], &told["audit_lines"]), (&0.into(), &0.into()), "{again:?}");
}

#[test]
fn nodes_are_forgotten_by_name_all_or_none() {
    let remembering = Remembering::new("");
    remembering.ran(1, 3);
    let listed = || {
        let ran = remembering.repository.cm("node list --json");
        ran.stdout.lines().count()
    };
    assert_eq!(listed(), 3);
    let wrong = remembering.repository.cm("node forget web0 wbe1");
    assert_eq!((wrong.code, listed()), (Some(1), 3), "{wrong:?}");
    assert!(wrong.stderr.contains("no node `wbe1` was ever reached"), "{wrong:?}");
    let ran = remembering.repository.cm("node forget web0 web2");
    assert_eq!((ran.code, ran.stdout.as_str(), listed()), (Some(0), "forgotten: web0, web2\n", 1), "{ran:?}");
    assert_eq!(remembering.repository.cm("node show web0").code, Some(1));
    assert_eq!(remembering.runs(), ["cm run 0"], "runs are about what was");
    let line = remembering.store().audit(1).expect("a log").remove(0);
    assert!(line.what.contains("node forget web0 web2"), "{line:?}");
}
