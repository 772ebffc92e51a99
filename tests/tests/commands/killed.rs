//! A `cm` that was killed with -9: its run ends in the record as soon as any other `cm` looks.

use std::{io::Read as _, net::TcpListener, time::Duration};

use cm_tests::{Repository, Started, eventually};
use serde_json::Value;

/// Hosts that take a connection and then say nothing: a run on them lasts as long as a test wants.
struct Silent {
    listener: TcpListener,
    repository: Repository,
}

impl Silent {
    fn new(hosts: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let entries: String =
            hosts.iter().map(|host| format!("  {host}: {{ address: 127.0.0.1 }}\n")).collect();
        let repository = Repository::empty();
        repository.write("known_hosts", "");
        repository.write("key", "");
        repository.write(
            "inventory.yaml",
            format!(
                "hosts:\n{entries}defaults:\n  ssh: {{ user: x, port: {port}, key: key, known_hosts: known_hosts, config: none, attempts: 1, connect_timeout: 120s }}\n"
            ),
        );
        repository.role("r", "tasks:\n  - file: /nowhere/x\n    content: x\n");
        Self { listener, repository }
    }

    /// Starts a run and waits until it is at its host.
    fn run(&self, line: &str) -> (Started, std::net::TcpStream) {
        let run = self.repository.start(line);
        let (mut stream, _) = self.listener.accept().expect("cm connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        // The client speaks first: after this it waits for us.
        assert!(stream.read(&mut [0; 8]).expect("cm says hello") > 0);
        (run, stream)
    }

    fn history(&self) -> Vec<Value> {
        self.repository.cm("history --json").exits(0).events()
    }
}

fn states(runs: &[Value]) -> Vec<&str> {
    runs.iter().filter_map(|run| run["state"].as_str()).collect()
}

#[test]
fn whoever_looks_first_ends_the_run_and_leaves_those_at_work_alone() {
    let silent = Silent::new(&["web1"]);
    let (killed, _first) = silent.run("apply r on web1");
    let (working, _second) = silent.run("verify r on web1");
    assert_eq!(states(&silent.history()), ["running", "running"]);
    killed.signal("KILL");
    assert_eq!(killed.finish().code, None);
    let runs = silent.history();
    assert_eq!(states(&runs), ["running", "interrupted"]);
    let run = &runs[1];
    assert!(run["finished"].is_string() || run["finished"].is_number(), "{run}");
    assert!(run["error"].as_str().is_some_and(|why| why.contains("ended without finishing it")), "{run}");
    // It stays ended, and the host it has no result for is unknown, not fine.
    let id = run["id"].as_str().expect("a name");
    let _ = silent.repository.cm(&format!("show {id}")).exits(0).says(&[
        "interrupted: its controller (process",
        "web1: unknown",
        "cm verify",
    ]);
    let _ = silent.repository.cm(&format!("show {id} --host web1")).exits(0).says(&["web1: unknown"]);
    let _ = silent.repository.cm(&format!("show {id} --host web2")).exits(1).says(&["has no host `web2`"]);
    let shown = silent.repository.cm(&format!("show {id} --json")).exits(0).events();
    assert_eq!(shown[0]["hosts_without_result"], serde_json::json!(["web1"]));
    working.signal("KILL");
    let _ = working.finish();
    // `show` ends runs, too, and so does asking for those that failed.
    let _ = silent.repository.cm("show last").exits(0).says(&["interrupted"]);
}

#[test]
fn the_hosts_of_a_killed_run_count_as_failed() {
    let silent = Silent::new(&["web1", "web2"]);
    let (killed, _stream) = silent.run("apply r on web1");
    killed.signal("KILL");
    let _ = killed.finish();
    let planned = silent.repository.start("plan r on @failed");
    eventually("the run over what the killed one left", Duration::from_secs(20), || {
        let runs = silent.history();
        (states(&runs) == ["running", "interrupted"]).then(|| assert_eq!(runs[0]["hosts"]["total"], 1))
    });
    drop(planned);
}

#[test]
fn a_run_given_up_before_its_first_host_does_not_stay_open() {
    let silent = Silent::new(&["web1"]);
    // Its password of sudo is a secret that is not there: found when the run is already in the record.
    silent.repository.write(
        "inventory.yaml",
        "hosts:\n  web1: { address: 127.0.0.1 }\ndefaults:\n  become: true\n  become_password: \"{{ secrets.none }}\"\n",
    );
    let ran = silent.repository.cm("apply r on web1").exits(1);
    let runs = silent.history();
    assert!(!states(&runs).contains(&"running"), "{}\n{runs:#?}", ran.said());
    assert_eq!(states(&runs), ["aborted"], "{}", ran.said());
}
