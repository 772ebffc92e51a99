//! `cm verify --watch`: what happens to a host is told as it does, at no cost while nothing does.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use cm_tests::{Hosts, Ran, Repository, Watched, drifting_hosts, eventually, measured};
use serde_json::Value;

const ROLE: &str = "\
tasks:
  - directory: /srv/watch/deep
    parents: true
  - file: /srv/watch/deep/file
    content: \"one\\n\"
    mode: \"0644\"
  - line: /srv/watch/deep/edited
    text: extra
    create: true
  - unit: cm-watch.service
    content: |
      [Service]
      ExecStart=/bin/sleep infinity
      [Install]
      WantedBy=multi-user.target
  - service: cm-watch
    state: running
    enabled: true
  - service: cm-masked
    masked: false
  - package: cm-lab-lib
  - user: watcher
    shell: /bin/sh
";

fn begin(hosts: &Hosts, host: &str) -> Repository {
    hosts.sh(
        host,
        "mkdir -p /usr/local/lib/systemd/system; \
         printf '[Service]\\nExecStart=/bin/true\\n' > /usr/local/lib/systemd/system/cm-masked.service; \
         systemctl daemon-reload",
    );
    let repository = Repository::with_groups(hosts, "  watching: { hosts: [watched, fought] }\n");
    repository.role("web", ROLE);
    let _ = repository.cm(&format!("apply web on {host}")).exits(0);
    repository
}

/// Waits for a verdict.
#[track_caller]
fn verdict(watch: &mut Watched, task: &str, outcome: &str) -> Value {
    watch.until(|event| event["event"] == "verdict" && event["task"] == task && event["outcome"] == outcome)
}

#[track_caller]
fn interrupt(watch: Watched) -> Ran {
    let sent = Command::new("/bin/kill").args(["-INT", &watch.pid().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    watch.finish()
}

/// What is done to the host, which task that concerns, and how it is put right again.
const DEEDS: [(&str, &str, &str); 9] = [
    ("echo two > /srv/watch/deep/file", "file:/srv/watch/deep/file", "echo one > /srv/watch/deep/file"),
    (
        "echo new > /srv/watch/deep/x; chmod 644 /srv/watch/deep/x; mv /srv/watch/deep/x /srv/watch/deep/file",
        "file:/srv/watch/deep/file",
        "echo one > /srv/watch/deep/x; mv /srv/watch/deep/x /srv/watch/deep/file",
    ),
    ("chmod 600 /srv/watch/deep/file", "file:/srv/watch/deep/file", "chmod 644 /srv/watch/deep/file"),
    (
        "mv /srv/watch /srv/away",
        "line:/srv/watch/deep/edited",
        "mkdir -p /srv/watch; cp -a /srv/away/. /srv/watch; rm -r /srv/away",
    ),
    ("systemctl stop cm-watch", "service:cm-watch", "systemctl start cm-watch"),
    (
        "rm /etc/systemd/system/multi-user.target.wants/cm-watch.service; systemctl daemon-reload",
        "service:cm-watch",
        "systemctl enable cm-watch",
    ),
    ("systemctl mask cm-masked", "service:cm-masked", "systemctl unmask cm-masked"),
    ("dpkg -r cm-lab-lib", "package:cm-lab-lib", "apt-get install -qq -y cm-lab-lib"),
    (
        "sed -i 's|^\\(watcher:.*\\):/bin/sh$|\\1:/bin/false|' /etc/passwd",
        "user:watcher",
        "usermod -s /bin/sh watcher",
    ),
];

/// CPU ticks and wakings of the agent that watches, so far.
fn cost(hosts: &Hosts, host: &str) -> (u64, u64) {
    let script = "p=$(pgrep -f '^[^ ]*cm-agent-[0-9a-f]+ session$' | tail -1); \
         set -- $(cut -d')' -f2 /proc/$p/stat); echo $((${12} + ${13})); \
         cat /proc/$p/task/*/status | awk '/^voluntary_ctxt/ { all += $2 } END { print all }'";
    let said = hosts.sh(host, script);
    let mut numbers = said.split_whitespace().map(|word| word.parse().expect("a number"));
    (numbers.next().expect("ticks"), numbers.next().expect("wakings"))
}

#[test]
fn what_happens_to_a_host_is_told_as_it_does() {
    let Some(hosts) = drifting_hosts() else { return };
    let repository = begin(hosts, "watched");
    let mut watch = repository.watch("verify web on watched --watch");
    let standing = watch.until(|event| event["event"] == "watching" || event["event"] == "lost");
    assert_eq!(standing["tasks"], 8, "{standing}");
    assert_eq!(standing["unseen"], serde_json::json!([]));
    let mut slowest = Duration::ZERO;
    for (deed, task, back) in DEEDS {
        for (script, outcome) in [(deed, "changed"), (back, "ok")] {
            hosts.sh("watched", script);
            let done = Instant::now();
            let told = verdict(&mut watch, task, outcome);
            slowest = slowest.max(done.elapsed());
            assert!(done.elapsed() < Duration::from_secs(30), "{script}: {told}");
        }
    }
    measured(&format!("a change on a watched host is told within {} ms", slowest.as_millis()));

    // A run beside it is not kept waiting, and what it does is told as what it is.
    hosts.sh("watched", "echo two > /srv/watch/deep/file");
    verdict(&mut watch, "file:/srv/watch/deep/file", "changed");
    let _ = repository.cm("apply web on watched").exits(0);
    verdict(&mut watch, "file:/srv/watch/deep/file", "ok");

    // It sleeps. Something else on the host may happen to wake it: then it is measured again.
    let (ticks, wakings) = eventually("an idle agent", Duration::from_secs(60), || {
        let before = cost(hosts, "watched");
        std::thread::sleep(Duration::from_secs(5));
        let after = cost(hosts, "watched");
        let spent = (after.0 - before.0, after.1 - before.1);
        (spent.0 == 0 && spent.1 <= 10).then_some(spent)
    });
    measured(&format!(
        "5 s of watching cost {ticks} CPU ticks and {wakings} wakings, signs of life included"
    ));

    // A watch that is lost is told, and comes back.
    hosts.sh("watched", "kill -9 $(pgrep -f '^[^ ]*cm-agent-[0-9a-f]+ session$' | tail -1)");
    watch.until(|event| event["event"] == "lost");
    let again = watch.until(|event| event["event"] == "watching");
    assert_eq!(again["again"], true);
    hosts.sh("watched", "chmod 600 /srv/watch/deep/file");
    verdict(&mut watch, "file:/srv/watch/deep/file", "changed");
    let _ = interrupt(watch).exits(2);
    let watch = repository.watch("verify web on watched --watch");
    let mut watch = watch;
    watch.until(|event| event["event"] == "watching");
    hosts.sh("watched", "chmod 644 /srv/watch/deep/file");
    verdict(&mut watch, "file:/srv/watch/deep/file", "ok");
    let _ = interrupt(watch).exits(0);
}

#[test]
fn what_drifts_is_mended_at_once_but_not_in_a_fight() {
    let Some(hosts) = drifting_hosts() else { return };
    let repository = begin(hosts, "fought");
    let refused = repository.cm("verify web on fought --watch --mend").exits(1);
    let _ = refused.says(&["--yes"]);
    let mut watch = repository.watch("verify web on fought --watch --mend --yes");
    watch.until(|event| event["event"] == "watching");
    for _ in 0..3 {
        hosts.sh("fought", "echo theirs > /srv/watch/deep/file");
        verdict(&mut watch, "file:/srv/watch/deep/file", "changed");
        verdict(&mut watch, "file:/srv/watch/deep/file", "ok");
        assert_eq!(hosts.sh("fought", "cat /srv/watch/deep/file"), "one\n");
    }
    hosts.sh("fought", "echo theirs > /srv/watch/deep/file");
    let note =
        watch.until(|event| event["event"] == "note" && event["text"].to_string().contains("left alone"));
    assert!(note["text"].to_string().contains("file:/srv/watch/deep/file"), "{note}");
    // What nobody fights over is mended all the same.
    hosts.sh("fought", "systemctl stop cm-watch");
    verdict(&mut watch, "service:cm-watch", "ok");
    assert_eq!(hosts.sh("fought", "cat /srv/watch/deep/file"), "theirs\n");
    let _ = interrupt(watch).exits(2);
}
