//! The locks of dpkg and apt: who holds them, and waiting for that.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::{Problem, node::Waiting};

/// What an installation needs, in apt's order.
pub(super) const INSTALLATION: &[&str] =
    &["var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/cache/apt/archives/lock"];
/// What refreshing the index needs.
pub(super) const INDEX: &[&str] = &["var/lib/apt/lists/lock"];

/// Characters of a command line that are shown.
const MOST_SHOWN: usize = 80;

/// Waits until nobody holds any of these locks.
///
/// # Errors
/// At the deadline or when the run is being stopped, with the name of the holder.
pub(super) fn wait(
    root: &Path,
    files: &[&str],
    deadline: Instant,
    waiting: Waiting<'_>,
) -> Result<(), Problem> {
    let mut told = None;
    loop {
        let Some((file, holder)) = files.iter().find_map(|file| Some((file, holder(&root.join(file))?)))
        else {
            return Ok(());
        };
        if told.as_ref() != Some(&holder) {
            (waiting.tell)(&format!("waiting for {holder}, which holds the lock /{file}\n"));
            told = Some(holder.clone());
        }
        if (waiting.stopping)() {
            return Err(Problem::new(format!("{holder} holds the lock /{file}, and the run was stopped")));
        }
        if Instant::now() >= deadline {
            return Err(Problem::new(format!("{holder} holds the lock /{file} and did not end in time"))
                .hint("wait for it to end, or give the task a longer `timeout`; do not delete the lock"));
        }
        std::thread::sleep(
            Duration::from_millis(200).min(deadline.saturating_duration_since(Instant::now())),
        );
    }
}

/// Who holds a lock of fcntl(2), as `unattended-upgr (pid 812)`; none where nobody does.
fn holder(file: &Path) -> Option<String> {
    // What cannot be opened cannot be asked: apt will say what is wrong with it.
    let file = File::open(file).ok()?;
    let lock = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??;
    let Some(pid) = lock.pid.map(|pid| pid.as_raw_nonzero().get()).filter(|&pid| pid > 0) else {
        return Some("a process outside of this container".to_owned());
    };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let shown: String = command.chars().take(MOST_SHOWN).collect();
    let more = if shown.len() < command.len() { "…" } else { "" };
    Some(if command.is_empty() {
        format!("`{}` (pid {pid})", name.trim())
    } else {
        format!("`{}` (pid {pid}: {shown}{more})", name.trim())
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    use rustix::fs::{FlockOperation, fcntl_lock};

    use super::*;

    /// Where the process that [`hold_the_lock`] runs in finds the file.
    const FILE: &str = "CM_TEST_LOCK_FILE";

    /// The other process of the next test: holds the lock until its standard input ends.
    #[test]
    #[ignore = "only run by the next test, as another process"]
    fn hold_the_lock() {
        let file = File::options().write(true).open(std::env::var_os(FILE).unwrap()).unwrap();
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        std::io::stdout().write_all(b"\nheld\n").unwrap();
        std::io::stdin().lines().for_each(drop);
    }

    /// A lock of fcntl(2) never shows to its own process: only another one can hold it against us.
    #[test]
    fn the_holder_of_a_lock_is_named() {
        let root = std::env::temp_dir().join(format!("cm-lock-{}", std::process::id()));
        fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
        let file = root.join("var/lib/dpkg/lock");
        fs::write(&file, b"").unwrap();
        assert_eq!(holder(&file), None);
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "real::apt::locks::tests::hold_the_lock", "--ignored", "--nocapture"])
            .env(FILE, &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"));
        let told = holder(&file).unwrap();
        assert!(told.contains("pid ") && told.contains("cm_modules"), "{told}");
        let error = wait(&root, INSTALLATION, Instant::now(), Waiting::default()).unwrap_err();
        assert!(error.message.contains("/var/lib/dpkg/lock "), "{}", error.message);
        let said = std::sync::Mutex::new(String::new());
        let tell = |text: &str| said.lock().unwrap().push_str(text);
        let waiting = Waiting { stopping: &|| true, tell: &tell };
        let long = Instant::now() + Duration::from_secs(600);
        let error = wait(&root, INSTALLATION, long, waiting).unwrap_err();
        assert!(error.message.ends_with("and the run was stopped"), "{}", error.message);
        assert!(said.lock().unwrap().starts_with("waiting for `"));
        drop(process.stdin.take());
        lines.for_each(drop);
        process.wait().unwrap();
        wait(&root, INSTALLATION, Instant::now(), Waiting::default()).unwrap();
        fs::remove_dir_all(&root).unwrap();
    }
}
