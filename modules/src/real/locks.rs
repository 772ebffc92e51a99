//! The locks of package managers: who holds them, and waiting for that.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    fs::FlockOperation,
    process::{Flock, FlockType, fcntl_getlk},
};

use crate::{Problem, node::Waiting};

/// A file that says that a package manager is at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    /// Below the root, without a slash at its beginning.
    file: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Locked by fcntl(2).
    Record,
    /// Holds the number of a process that is alive.
    Pid,
    /// Is there, and open in the process that holds it.
    Open,
    /// Locked by flock(2).
    Whole,
}

impl Lock {
    /// A file that is locked by fcntl(2).
    pub(super) const fn record(file: &'static str) -> Self {
        Self { file, kind: Kind::Record }
    }

    /// A file with the number of the process that holds it.
    pub(super) const fn pid(file: &'static str) -> Self {
        Self { file, kind: Kind::Pid }
    }

    /// A file that is there, and that the process that holds it has open. One that nobody has open was left
    /// behind.
    pub(super) const fn open(file: &'static str) -> Self {
        Self { file, kind: Kind::Open }
    }

    /// A file that is locked by flock(2).
    pub(super) const fn whole(file: &'static str) -> Self {
        Self { file, kind: Kind::Whole }
    }

    fn holder(self, root: &Path) -> Option<String> {
        let file = root.join(self.file);
        match self.kind {
            Kind::Record => holder(&file),
            Kind::Pid => {
                let text = fs::read_to_string(file).ok()?;
                let pid: u32 = text.trim().parse().ok()?;
                Path::new("/proc").join(pid.to_string()).exists().then(|| process(pid))
            }
            Kind::Open => file.symlink_metadata().is_ok().then(|| opener(&file)).flatten().map(process),
            Kind::Whole => {
                let path = file;
                let file = File::open(&path).ok()?;
                let taken = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
                // Closing it lets go what was got.
                (taken == Err(rustix::io::Errno::WOULDBLOCK))
                    .then(|| opener(&path).map_or_else(|| "another process".to_owned(), process))
            }
        }
    }
}

/// Characters of a command line that are shown.
const MOST_SHOWN: usize = 80;

/// Waits until nobody holds any of these locks.
///
/// # Errors
/// At the deadline or when the run is being stopped, with the name of the holder.
pub(super) fn wait(
    root: &Path,
    locks: &[Lock],
    deadline: Instant,
    waiting: Waiting<'_>,
) -> Result<(), Problem> {
    let mut told = None;
    loop {
        let Some((file, holder)) = locks.iter().find_map(|lock| Some((lock.file, lock.holder(root)?))) else {
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

/// Who holds one of these locks now; none where nobody does.
pub(super) fn held(root: &Path, locks: &[Lock]) -> Option<String> {
    locks.iter().find_map(|lock| lock.holder(root))
}

/// Who holds a lock of fcntl(2), as `unattended-upgr (pid 812)`; none where nobody does.
fn holder(file: &Path) -> Option<String> {
    // What cannot be opened cannot be asked: apt will say what is wrong with it.
    let file = File::open(file).ok()?;
    let lock = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??;
    let Some(pid) = lock.pid.map(|pid| pid.as_raw_nonzero().get()).filter(|&pid| pid > 0) else {
        return Some("a process outside of this container".to_owned());
    };
    Some(process(pid.unsigned_abs()))
}

/// Another process that has a file open, or this one where there is no other.
fn opener(file: &Path) -> Option<u32> {
    let file = fs::canonicalize(file).ok()?;
    let has_open = |pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors
            .map(|entry| fs::read_link(entry.path()))
            .any(|target| target.is_ok_and(|target| target == file))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found: Vec<u32> = numbers.filter(has_open).collect();
    found.iter().copied().find(|&pid| pid != std::process::id()).or_else(|| found.first().copied())
}

/// A process as a person knows it: `dnf` (pid 812: dnf upgrade).
fn process(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let shown: String = command.chars().take(MOST_SHOWN).collect();
    let more = if shown.len() < command.len() { "…" } else { "" };
    if command.is_empty() {
        format!("`{}` (pid {pid})", name.trim())
    } else {
        format!("`{}` (pid {pid}: {shown}{more})", name.trim())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    use rustix::fs::fcntl_lock;

    use super::*;

    const DPKG: &[Lock] = &[Lock::record("var/lib/dpkg/lock")];

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
            .args(["--exact", "real::locks::tests::hold_the_lock", "--ignored", "--nocapture"])
            .env(FILE, &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"));
        let told = holder(&file).unwrap();
        assert!(told.contains("pid ") && told.contains("cm_modules"), "{told}");
        let error = wait(&root, DPKG, Instant::now(), Waiting::default()).unwrap_err();
        assert!(error.message.contains("/var/lib/dpkg/lock "), "{}", error.message);
        let said = std::sync::Mutex::new(String::new());
        let tell = |text: &str| said.lock().unwrap().push_str(text);
        let waiting = Waiting { stopping: &|| true, tell: &tell };
        let long = Instant::now() + Duration::from_secs(600);
        let error = wait(&root, DPKG, long, waiting).unwrap_err();
        assert!(error.message.ends_with("and the run was stopped"), "{}", error.message);
        assert!(said.lock().unwrap().starts_with("waiting for `"));
        drop(process.stdin.take());
        lines.for_each(drop);
        process.wait().unwrap();
        wait(&root, DPKG, Instant::now(), Waiting::default()).unwrap();
        let dnf = [Lock::pid("dnf.pid")];
        for (pid, holds) in [(std::process::id().to_string(), true), ("0".into(), false), ("".into(), false)]
        {
            fs::write(root.join("dnf.pid"), pid).unwrap();
            assert_eq!(wait(&root, &dnf, Instant::now(), Waiting::default()).is_err(), holds);
        }
        let held = fs::File::create(root.join("apk")).unwrap();
        let apk = [Lock::whole("apk")];
        wait(&root, &apk, Instant::now(), Waiting::default()).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        assert!(wait(&root, &apk, Instant::now(), Waiting::default()).is_err());
        let pacman = [Lock::open("apk")];
        assert!(wait(&root, &pacman, Instant::now(), Waiting::default()).is_err());
        drop(held);
        // Another test's process has it until it is its program.
        wait(&root, &pacman, long, Waiting::default()).unwrap();
        fs::remove_dir_all(&root).unwrap();
    }
}
