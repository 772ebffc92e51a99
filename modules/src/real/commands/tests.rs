use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use cm_wire::Stream;

use super::*;

fn shell(line: &str) -> Command<'static> {
    Command { deadline: Instant::now() + Duration::from_secs(20), ..Command::query(&["/bin/sh", "-c", line]) }
}

fn run(command: &Command<'_>) -> Finished {
    Real::new().run(command).unwrap()
}

#[test]
fn status_and_streams_are_told_apart() {
    let finished = run(&shell("echo out; echo err >&2; exit 7"));
    assert_eq!(finished.output, Output { status: 7, stdout: "out\n".into(), stderr: "err\n".into() });
    assert!(!finished.timed_out);
    assert_eq!(run(&shell("kill -9 $$")).output.status, 137);
}

#[test]
fn nothing_of_the_agents_environment_leaks() {
    let command = Command { env: BTreeMap::from([("A".into(), "b c".into())]), ..shell("env | sort") };
    let finished = run(&command);
    let names: Vec<&str> =
        finished.output.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let mut wanted = vec!["A", "DEBIAN_FRONTEND", "HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "USER"];
    // Some shells set these themselves.
    wanted.extend(["OLDPWD", "SHLVL", "_"].into_iter().filter(|name| names.contains(name)));
    wanted.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(names, wanted);
    assert!(finished.output.stdout.contains("A=b c\n"));
}

#[test]
fn large_input_and_output_pass_at_once() {
    let bytes = vec![b'x'; 3 * 1024 * 1024];
    let command = Command { stdin: Some(bytes), ..Command::query(&["cat"]) };
    let finished = run(&command);
    assert!(finished.success());
    assert!(finished.output.stdout.contains("bytes left out"));
    // A program that does not read its input is no error.
    let command = Command { stdin: Some(vec![b'x'; 3 * 1024 * 1024]), ..shell("exit 0") };
    assert!(run(&command).success());
}

#[test]
fn the_whole_group_ends_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("pid");
    // The shell and its child ignore the polite signal.
    let line = format!("trap '' TERM; sleep 300 & echo $! > {}; wait; wait; sleep 300", mark.display());
    let start = Instant::now();
    let command = Command { deadline: start + Duration::from_millis(300), ..shell(&line) };
    let finished = run(&command);
    assert!(finished.timed_out && !finished.success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let pid: i32 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    let patience = Instant::now() + Duration::from_secs(5);
    while !gone() {
        assert!(Instant::now() < patience, "the child survived");
        std::thread::yield_now();
    }
}

#[test]
fn a_daemon_left_behind_does_not_hold_it_up() {
    let start = Instant::now();
    let finished = run(&shell("sleep 30 & echo $!"));
    assert!(finished.success());
    assert!(start.elapsed() < Duration::from_secs(5));
    let pid = finished.output.stdout.trim().parse().ok().and_then(Pid::from_raw).unwrap();
    // It lives on, and is ours to end.
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn what_cannot_be_started_is_named() {
    let error = Real::new().run(&Command::query(&["no-such-program-here"])).unwrap_err();
    assert_eq!(error.to_string(), "there is no program `no-such-program-here` on the node");
    let command = Command { cwd: Some("/no/such/place".into()), ..shell("true") };
    let error = Real::new().run(&command).unwrap_err();
    assert_eq!(error.to_string(), "its working directory /no/such/place is not there");
    let command = Command { run_as: Some("no-such-user-here".into()), ..shell("true") };
    let error = Real::new().run(&command).unwrap_err();
    assert_eq!(error.to_string(), "there is no user `no-such-user-here` on the node");
}

#[test]
fn output_comes_while_it_runs() {
    let seen = Mutex::new(Vec::new());
    let live = |stream: Stream, text: &str| seen.lock().unwrap().push((stream, text.to_owned()));
    let command = Command { live: Some(&live), ..shell("echo a; echo b >&2; read x; echo $x") };
    let command = Command { stdin: Some(b"c\n".to_vec()), ..command };
    assert!(Real::new().run(&command).unwrap().success());
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains(&(Stream::Stderr, "b\n".into())), "{seen:?}");
    let out: String = seen.iter().filter(|(s, _)| *s == Stream::Stdout).map(|(_, t)| t.as_str()).collect();
    assert_eq!(out, "a\nc\n");
}

#[test]
fn a_command_gets_the_rights_of_its_user() {
    if !geteuid().is_root() {
        return;
    }
    let command = Command {
        run_as: Some("nobody".into()),
        ..shell("id -un; id -G; echo $HOME $USER; umask; cd / && pwd")
    };
    let finished = run(&command);
    let nobody = crate::node::Accounts::user(&Real::new(), "nobody").unwrap().unwrap();
    assert_eq!(
        finished.output.stdout,
        format!("nobody\n{}\n{} nobody\n0022\n/\n", nobody.gid, nobody.home),
        "{}",
        finished.output.stderr
    );
}
