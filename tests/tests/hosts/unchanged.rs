//! A second run, which has nothing to do: what travels, and what stays remembered.

use cm_tests::{Hosts, Repository, hosts, program};

/// Bytes of the file that is brought.
const SIZE: usize = 2 << 20;

fn received(hosts: &Hosts) -> u64 {
    let said = hosts.sh("e12", "cat /sys/class/net/*/statistics/rx_bytes | sort -n | tail -n 1");
    said.trim().parse().expect("the kernel counts in numbers")
}

#[test]
fn agent_and_contents_travel_once() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    // Of no pattern that a compression could use.
    let mut state = 7_u64;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    std::fs::create_dir_all(repository.folder().join("roles/once/files")).expect("a writable folder");
    std::fs::write(repository.folder().join("roles/once/files/large"), bytes.take(SIZE).collect::<Vec<u8>>())
        .expect("a writable folder");
    repository.role(
        "once",
        "tasks:\n  - file: /srv/once/large\n    source: large\n  - directory: /srv/once\n  - file: /srv/once/small\n    content: small\n",
    );
    hosts.sh("e12", "rm -rf /var/lib/cm/agent");
    let sent = |ran: &cm_tests::Ran| -> u64 {
        ran.events().iter().filter_map(|event| event["agent_sent"].as_u64()).sum()
    };
    let before = received(hosts);
    let first = repository.cm("apply once on e12 --json").exits(0);
    assert!(sent(&first) > 0, "{}", first.said());
    if program().ends_with("release/cm") {
        assert!(sent(&first) < 1_000_000, "{} bytes of the agent", sent(&first));
    }
    let brought = received(hosts) - before;
    assert!(brought > SIZE as u64, "{brought} bytes");

    // The second run finds that nothing is to be remembered, the third need not ask; all say the same.
    for run in 2..=4 {
        let before = received(hosts);
        let ran = repository.cm("apply once on e12 --json").exits(0);
        assert_eq!(sent(&ran), 0, "run {run}");
        let brought = received(hosts) - before;
        assert!(brought < 64 * 1024, "run {run} brought {brought} bytes");
        let settled = hosts.holds("e12", "test -s /var/lib/cm/settled");
        assert!(settled, "run {run} leaves word that the memory has nothing to say");
    }

    // What differs after that is told as drift, mended, and can be taken back.
    hosts.sh("e12", "echo by hand > /srv/once/small");
    let _ = repository.cm("verify once on e12").exits(2).says(&["/srv/once/small"]);
    let mended = repository.cm("apply once on e12 --json").exits(0);
    let run =
        mended.events().iter().find_map(|event| event["run"].as_str().map(str::to_owned)).expect("a run id");
    assert_eq!(hosts.sh("e12", "cat /srv/once/small"), "small");
    let _ = repository.cm(&format!("rollback {run} on e12 --yes")).exits(0);
    assert_eq!(hosts.sh("e12", "cat /srv/once/small"), "by hand\n");
    hosts.sh("e12", "rm -r /srv/once");
}

#[test]
fn what_looks_the_same_is_not_read() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    let large = "0123456789abcdef".repeat(20_000);
    std::fs::create_dir_all(repository.folder().join("roles/known/files")).expect("a writable folder");
    std::fs::write(repository.folder().join("roles/known/files/large"), large).expect("a writable folder");
    repository.role(
        "known",
        "tasks:\n  - directory: /srv/known\n  - file: /srv/known/large\n    source: large\n  - file: /srv/known/small\n    content: small\n",
    );
    // There every reading sets the atime of what is read.
    hosts.sh("e12", "mkdir /srv/known && mount -t tmpfs -o strictatime tmpfs /srv/known");
    let read = || hosts.sh("e12", "stat -c %x /srv/known/large /srv/known/small");
    let _ = repository.cm("apply known on e12").exits(0);
    let written = read();
    for command in ["apply known on e12", "verify known on e12", "plan known on e12"] {
        let _ = repository.cm(command).exits(0);
        assert_eq!(read(), written, "{command}");
    }
    let _ = repository.cm("verify known on e12 --paranoid").exits(0);
    let hashed = read();
    assert!(hashed.lines().all(|time| !written.contains(time)), "{written}{hashed}");

    // What others wrote is read until it has been at rest.
    hosts.sh("e12", "cd /srv/known && for f in large small; do cp $f new && mv new $f; done && sleep 3");
    let moved = read();
    let _ = repository.cm("verify known on e12").exits(0);
    let once = read();
    assert_ne!(once, moved);
    let _ = repository.cm("verify known on e12").exits(0);
    assert_eq!(read(), once);

    // Same length, same mtime: told all the same.
    for file in ["large", "small"] {
        let path = format!("/srv/known/{file}");
        hosts.sh("e12", &format!("cp -p {path} /srv/as-it-was; printf S | dd of={path} conv=notrunc status=none; touch -r /srv/as-it-was {path}; rm /srv/as-it-was"));
        let _ = repository.cm("verify known on e12").exits(2).says(&[&path]);
        let _ = repository.cm("apply known on e12").exits(0);
    }
    hosts.sh("e12", "umount /srv/known && rmdir /srv/known");
}
