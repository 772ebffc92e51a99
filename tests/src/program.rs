//! The program under test, started in a sealed environment.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program: `CM_PROGRAM`, else the release build, else the debug build.
///
/// # Panics
/// When there is none: a suite that tests nothing must not pass.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(path) = env::var_os("CM_PROGRAM") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CM_PROGRAM names {}, which is no file", path.display());
        return std::path::absolute(&path).unwrap_or(path);
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| top.join("target"), PathBuf::from);
    let built = ["release/cm", "debug/cm"].map(|name| target.join(name));
    let found = built.iter().find(|path| path.is_file());
    let found = found.unwrap_or_else(|| {
        panic!("there is no program to test: run `cargo build --release` first, or name it by CM_PROGRAM")
    });
    found.canonicalize().unwrap_or_else(|_| found.clone())
}

/// A command of `cm` in `folder` that sees nothing of who runs the tests: no ssh-agent, no configuration, no colours.
#[must_use]
pub fn cm<A: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: &[A]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(folder).env_clear();
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", folder).env("USER", "tester").env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Says past the test harness's capture that something was not tested, and why; in CI that is a failure.
///
/// # Panics
/// Where `CI=true`.
pub fn skipped(reason: &str) {
    // A closed standard error hides the line, and nothing else.
    let _ = writeln!(std::io::stderr(), "\nskipped: {reason}");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "CI wants all tests to run: {reason}");
}

/// Tells what was measured, past the test harness's capture.
pub fn measured(text: &str) {
    // A closed standard error hides the line, and nothing else.
    let _ = writeln!(std::io::stderr(), "\nmeasured: {text}");
}
