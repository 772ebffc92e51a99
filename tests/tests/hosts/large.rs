//! Large things: a file that does not fit the controller's memory, many tasks, odd names; and what a run costs.

use std::{
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use cm_tests::{Hosts, Repository, eventually, finish, hosts, measured};

/// The most memory that a process has held, in KiB, read while it runs.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_file_of_200_mb_does_not_fill_the_memory() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.write("roles/big/files/keep", "");
    let mut file =
        fs::File::create(repository.folder().join("roles/big/files/big.bin")).expect("a writable folder");
    // Of no pattern that a compression could use.
    let mut word: u64 = 88_172_645_463_325_252;
    let mut block = vec![0; 1 << 20];
    for _ in 0..200 {
        for piece in block.chunks_exact_mut(8) {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            piece.copy_from_slice(&word.to_le_bytes());
        }
        file.write_all(&block).expect("room on the disk");
    }
    repository.role("big", "tasks:\n  - file: /srv/big.bin\n    source: big.bin\n");
    let run = repository.start("apply big on e12 --json");
    let pid = run.pid();
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        while let Some(now) = peak(pid) {
            most = now;
            std::thread::sleep(Duration::from_millis(20));
        }
        most
    });
    let ran = run.finish().exits(0);
    let most = watch.join().expect("it only reads");
    measured(&format!("200 MB took {:?} and {most} KiB of the controller's memory", ran.took));
    assert!(most > 0 && most < 100 * 1024, "{most} KiB");
    assert!(!ran.stdout.contains("\"diff\":\""), "a large file is told by digest and size");
    assert_eq!(hosts.sh("e12", "stat -c %s /srv/big.bin"), "209715200\n");
    repository.is_converged("big on e12");
    hosts.sh("e12", "rm /srv/big.bin");
}

#[test]
fn five_hundred_tasks_in_one_role() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let tasks: String =
        (0..500).map(|n| format!("  - file: /srv/many/{}/{n}\n    content: \"{n}\\n\"\n", n % 10)).collect();
    let directories: String = (0..10).map(|n| format!("  - directory: /srv/many/{n}\n")).collect();
    repository.role("many", &format!("tasks:\n{tasks}{directories}"));
    let changed = repository.converges("many on releases");
    assert_eq!(changed.len(), 3 * 510);
    assert_eq!(hosts.sh("d11", "find /srv/many -type f | wc -l"), "500\n");
}

#[test]
fn one_connection_and_one_channel_a_host_and_nothing_left() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let tasks: String = (0..30).map(|n| format!("  - file: /srv/one/{n}\n    content: \"{n}\"\n")).collect();
    repository.role(
        "one",
        &format!("tasks:\n  - directory: /srv/one\n{tasks}  - command: echo done\n    changed_when: false\n"),
    );
    let _ = repository.cm("facts on releases").exits(0);
    for line in ["apply one on releases", "apply one on releases", "verify one on releases"] {
        let count = |host: &str| -> (usize, usize) {
            let log = hosts.sh(host, "journalctl -q -o cat _COMM=sshd + _COMM=sshd-session + SYSLOG_IDENTIFIER=sshd + SYSLOG_IDENTIFIER=sshd-session");
            let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
            (lines("Accepted publickey"), lines("Starting session: "))
        };
        for host in Hosts::RELEASES {
            hosts.sh(host, "grep -q '^LogLevel VERBOSE' /etc/ssh/sshd_config || { echo 'LogLevel VERBOSE' >> /etc/ssh/sshd_config; systemctl reload ssh; }");
        }
        let before = Hosts::RELEASES.map(count);
        let _ = repository.cm(line).exits(0);
        for (host, before) in Hosts::RELEASES.iter().zip(before) {
            let now = eventually("the log of sshd", Duration::from_secs(5), || {
                Some(count(host)).filter(|now| now.1 > before.1)
            });
            assert_eq!(
                (now.0 - before.0, now.1 - before.1),
                (1, 1),
                "connections and sessions of `{line}` on {host}"
            );
            eventually("the end of the agent", Duration::from_secs(3), || {
                (!hosts.holds(host, "pgrep -x -f '.*/cm-agent-[^ ]* session'")).then_some(())
            });
        }
    }
}

#[test]
fn a_run_with_nothing_to_do_costs_little_more_than_a_login() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::empty();
    // Sixteen hosts of the inventory on the lab's four.
    let names = ["d11", "d12", "d13", "e12"];
    let entries: String =
        (0..16).map(|n| format!("  h{n:02}: {{ address: {} }}\n", hosts.address(names[n % 4]))).collect();
    let inventory = repository.inventory(hosts, "", "  become: true\n").replace("groups:\n", "");
    let (_, rest) = inventory.split_once("defaults:").expect("the inventory has defaults");
    repository.write("inventory.yaml", format!("hosts:\n{entries}defaults:{rest}"));
    let tasks: String = (1..100)
        .map(|n| format!("  - file: /srv/cost/{n}\n    content: \"{n}\"\n    mode: \"0644\"\n"))
        .collect();
    repository.role("cost", &format!("tasks:\n  - directory: /srv/cost\n{tasks}"));
    let _ = repository.cm("apply cost on h00,h01,h02,h03").exits(0);
    let best = |run: &mut dyn FnMut()| -> Duration {
        let time = |run: &mut dyn FnMut()| {
            let start = Instant::now();
            run();
            start.elapsed()
        };
        (0..3).map(|_| time(run)).min().unwrap_or_default()
    };
    let with_cm = best(&mut || drop(repository.cm("plan cost on all").exits(0)));
    let with_ssh = best(&mut || {
        let logins: Vec<_> = (0..16)
            .map(|n| {
                let mut ssh = hosts.lab.ssh_command(names[n % 4], "admin").expect("a host of the lab");
                ssh.args(["-o", "KexAlgorithms=curve25519-sha256", "true"])
                    .stdin(std::process::Stdio::null());
                std::thread::spawn(move || finish(&mut ssh))
            })
            .collect();
        for login in logins {
            assert_eq!(login.join().expect("it only waits").code, Some(0));
        }
    });
    let ratio = with_cm.as_secs_f64() / with_ssh.as_secs_f64();
    measured(&format!("16 hosts, 100 unchanged tasks: cm {with_cm:?}, ssh {with_ssh:?}, ratio {ratio:.2}"));
    // The program is built without optimizations where nobody has built a release.
    let bound = if cm_tests::program().to_string_lossy().contains("release") { 2.0 } else { 3.0 };
    assert!(ratio < bound, "cm {with_cm:?}, ssh {with_ssh:?}: {ratio:.2}");
}
