//! At a terminal: the password of sudo is asked for, progress is shown, and the summary is the same.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cm_tests::{Ran, Repository, hosts, program};

/// Runs `cm` at a terminal of its own, where somebody types `typed`.
fn at_a_terminal(repository: &Repository, line: &str, typed: &str) -> Ran {
    let start = Instant::now();
    let command = format!("{} {line}", program().display());
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .current_dir(repository.folder())
        .env_clear()
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("TERM", "xterm"), ("USER", "tester")])
        .env("HOME", repository.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script(1) of bsdutils starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let typed = typed.to_owned();
    // What is typed before somebody asks would be thrown away with the echo.
    let typing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        let _ = stdin.write_all(typed.as_bytes());
        stdin
    });
    let ran = Ran::of(child, line.to_owned(), start);
    drop(typing.join());
    ran
}

#[test]
fn the_password_of_sudo_is_asked_for_once() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::with_groups(hosts, "  g: { hosts: [d12, d13] }\n");
    let inventory = repository.inventory(hosts, "  g: { hosts: [d12, d13] }\n", "  become: true\n");
    repository.write("inventory.yaml", inventory.replace("user: admin", "user: ops"));
    repository.role("r", "tasks:\n  - file: /srv/typed\n    content: \"x\\n\"\n");
    let ran = at_a_terminal(&repository, "apply r on g --ask-become-pass", "ops-password\n").exits(0);
    let ran = ran.says(&["file:/srv/typed", "2 hosts", "2 changed"]).never_says(&["ops-password"]);
    assert_eq!(ran.stdout.matches("password").count(), 1, "{}", ran.stdout);
    let _ = at_a_terminal(&repository, "apply r on g --ask-become-pass", "wrong\n")
        .exits(4)
        .says(&["did not accept"]);
}
