//! A marker secret goes through every place a secret can go through, with every option that shows more, and is then
//! looked for everywhere: nothing but the node's own files may have it.

use std::{fs, path::Path};

use cm_tests::{Repository, eventually, hosts};

/// Found nowhere else.
const MARKER: &str = "quux-7261-frobnicate";

/// The hash of a password (crypt(5)), and the part of it that is looked for.
const HASH: &str =
    "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
const HASHED: &str = "qFmFH.bQmmtXzyBY0s9v7";

const ROLE: &str = r#"
tasks:
  - file: /srv/marker/sensitive
    content: "{{ secrets.marker }}\n"
    mode: "0600"
    sensitive: true
  - file: /srv/marker/plain
    content: "key={{ secrets.marker }}\nother=1\n"
    mode: "0600"
  - line: /srv/marker/lines
    text: "password = {{ secrets.marker }}"
    create: true
  - directory: /srv/marker
    mode: "0700"
  - user: keeper
    comment: "keeps"
    password: "{{ secrets.hash }}"
  - command: "cat > /dev/null; printenv TOKEN; echo err $TOKEN >&2; sleep 0.5"
    id: environment
    env: { TOKEN: "{{ secrets.marker }}" }
    stdin: "{{ secrets.marker }}\n"
  - command: "echo {{ secrets.marker }}; echo {{ secrets.marker }} >&2; sleep 0.5; exit 3"
    id: fails
"#;

/// Samples the arguments of all processes of the host until told to stop.
const WATCH: &str = r#"
rm -f /run/marker.stop /run/marker.args
nohup sh -c 'while [ ! -e /run/marker.stop ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" "\n" | grep -a -e "7261-fro[b]" -e "qFmFH.bQm[m]" >> /run/marker.args; sleep 0.05; done' >/dev/null 2>&1 &
echo $! > /run/marker.pid
"#;

#[test]
fn a_marker_secret_is_left_nowhere() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.secret(hosts, "marker", MARKER);
    repository.secret(hosts, "hash", HASH);
    repository.role("marker", ROLE);
    hosts.sh("d12", WATCH);
    let mut said = String::new();
    for line in [
        "plan marker on d12 -v --diff",
        "apply marker on d12 -v --diff",
        "apply marker on d12 --json",
        "plan marker on d12 --json --diff",
        "verify marker on d12 -v",
        "show last --all",
        "show last --json",
        "node show d12 --json",
        "graph marker on d12",
        "vars d12",
    ] {
        let ran = repository.cm(line);
        for marker in [MARKER, HASHED] {
            assert!(!ran.said().contains(marker), "`cm {line}` says it:\n{}", ran.said());
        }
        said.push_str(&ran.said());
    }
    hosts.sh("d12", "touch /run/marker.stop");
    // The test tests something: the tasks ran, and one failed with both its outputs told.
    assert_eq!(hosts.sh("d12", "cat /srv/marker/sensitive"), format!("{MARKER}\n"));
    assert!(said.contains("fails") && said.contains("[secret]"), "{said}");

    let mut files = Vec::new();
    holding(repository.folder(), &mut files);
    assert!(files.is_empty(), "on the controller: {files:?}");

    // A command that has the secret in its own text has it in its arguments; that is the user's choice. What cm
    // starts for tasks with it in `env`, `stdin`, contents and passwords does not.
    let arguments = hosts.sh("d12", "cat /run/marker.args 2>/dev/null || true");
    let others: Vec<&str> = arguments.lines().filter(|line| !line.starts_with("echo ")).collect();
    assert!(others.is_empty(), "in arguments: {others:?}");
    assert!(arguments.contains(MARKER), "the sampling saw nothing at all");

    // What root alone can read, as the files themselves: former contents, and in the journal the fields of accounts,
    // which are those of /etc/shadow.
    let node = "grep -roaF -e MARKER -e HASHED /var/lib/cm /var/log /run /tmp /root /home 2>/dev/null | grep -v '^/var/lib/cm/kept/' || true";
    let found = hosts.sh("d12", &node.replace("MARKER", MARKER).replace("HASHED", HASHED));
    let known = format!("/var/lib/cm/journal:{HASHED}");
    let others: Vec<&str> =
        found.lines().filter(|line| *line != known && !line.starts_with("/run/marker.args:")).collect();
    assert!(others.is_empty(), "on the node: {others:?}");
    assert_eq!(
        hosts.sh("d12", &format!("journalctl -q -o cat | grep -cF -e {MARKER} -e {HASHED} || true")),
        "0\n"
    );
    let modes = hosts.sh("d12", "cd /var/lib/cm; stat -c '%n %a %U' . kept agent spool journal");
    assert_eq!(modes, ". 700 root\nkept 700 root\nagent 700 root\nspool 700 root\njournal 600 root\n");
    hosts.sh("d12", "rm -rf /srv/marker /run/marker.*; userdel keeper 2>/dev/null || true");
}

#[test]
fn an_agent_that_crashes_leaves_no_core() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.secret(hosts, "marker", MARKER);
    repository.role(
        "waits",
        "tasks:\n  - command: sleep 30\n    env: { TOKEN: \"{{ secrets.marker }}\" }\n    timeout: 60\n",
    );
    // Cores go where processes are, as large as they like: all that the agent's own limit does not forbid.
    let before = hosts.sh("d13", "cat /proc/sys/kernel/core_pattern");
    let started = repository.start("apply waits on d13");
    let agent = eventually("the agent's command", std::time::Duration::from_secs(60), || {
        let pids =
            hosts.sh("d13", "pgrep -x sleep >/dev/null && pgrep -f 'cm-agent-[0-9a-f]* session' || true");
        pids.lines().last().map(str::to_owned).filter(|pid| !pid.is_empty())
    });
    let limits = hosts.sh("d13", &format!("grep 'core file' /proc/{agent}/limits"));
    assert!(limits.split_whitespace().nth(4) == Some("0"), "{limits}");
    // Not dumpable: what /proc has of it belongs to root whoever runs it, and no core is written even to a pipe.
    // Twice: the first one takes Rust's own handler away, which only looks whether a stack has overflown.
    hosts.sh(
        "d13",
        &format!("prlimit --pid {agent} --core=unlimited; kill -SEGV {agent}; sleep 0.5; kill -SEGV {agent} 2>/dev/null || true"),
    );
    let ran = started.finish().exits(4);
    assert!(ran.said().contains("in the middle of the run"), "{}", ran.said());
    let cores = hosts.sh(
        "d13",
        "ls -d /core* /var/lib/cm/core* /root/core* /home/*/core* /var/lib/systemd/coredump/* /var/lib/cm/agent/core* 2>/dev/null || true",
    );
    assert_eq!(cores, "", "core_pattern is {before}");
    hosts.sh("d13", "pkill -x sleep || true");
}

/// The files below a folder that hold the marker.
fn holding(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, found);
        } else if fs::read(&path).is_ok_and(|bytes| {
            [MARKER, HASHED]
                .iter()
                .any(|marker| bytes.windows(marker.len()).any(|window| window == marker.as_bytes()))
        }) {
            found.push(path);
        }
    }
}
