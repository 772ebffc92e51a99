//! A configuration repository of one test, over the hosts of the lab.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::{Difference, Hosts, Ran, Watched, cm, differences, finish};

/// A repository in a folder of its own, with its own state.
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// An empty one.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("cm-repository-").tempdir().expect("a temporary folder"),
        }
    }

    /// An empty one in a folder that somebody else removes.
    ///
    /// # Panics
    /// When nothing can be made there.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("cm-repository-")
                .tempdir_in(folder)
                .expect("a folder for files"),
        }
    }

    /// One whose inventory has all hosts of the lab: the groups `releases` (one of each), `spare` (`e12`).
    #[must_use]
    pub fn over(hosts: &Hosts) -> Self {
        Self::with_groups(hosts, "  releases: { hosts: [d11, d12, d13] }\n  spare: { hosts: [e12] }\n")
    }

    /// One whose inventory has all hosts of the lab and these groups.
    #[must_use]
    pub fn with_groups(hosts: &Hosts, groups: &str) -> Self {
        let repository = Self::empty();
        repository.write("inventory.yaml", repository.inventory(hosts, groups, "  become: true\n"));
        repository
    }

    /// The text of an inventory with all hosts of the lab, these groups and these further defaults.
    #[must_use]
    pub fn inventory(&self, hosts: &Hosts, groups: &str, defaults: &str) -> String {
        let entries: String = hosts
            .lab
            .hosts()
            .iter()
            .map(|host| format!("  {}: {{ address: {} }}\n", host.name, host.address))
            .collect();
        format!(
            "hosts:\n{entries}groups:\n{groups}defaults:\n  ssh:\n    user: admin\n    key: {}\n    known_hosts: {}\n    config: none\n{defaults}",
            hosts.lab.key_path().display(),
            hosts.lab.known_hosts_path().display()
        )
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the repository.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().expect("a path in the repository")).expect("a writable folder");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self
    }

    /// Writes a role.
    pub fn role(&self, name: &str, text: &str) -> &Self {
        self.write(&format!("roles/{name}/role.yaml"), text)
    }

    /// Puts a secret into `secrets.yaml`, for the lab's key to read.
    ///
    /// # Panics
    /// When it cannot be put there.
    #[track_caller]
    pub fn secret(&self, hosts: &Hosts, name: &str, value: &str) -> &Self {
        let key = hosts.lab.key_path();
        let public = fs::read_to_string(key.with_extension("pub")).expect("the lab's public key");
        self.write(
            "cm.toml",
            format!("[secrets]\nidentity = \"{}\"\nrecipients = [\"{}\"]\n", key.display(), public.trim()),
        );
        let start = Instant::now();
        let mut command = cm(self.folder(), &["secrets", "set", name]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        writeln!(stdin, "{value}").expect("it reads its input");
        drop(stdin);
        let _ = Ran::of(child, format!("secrets set {name}"), start).exits(0);
        self
    }

    /// Runs `cm` with these words.
    #[track_caller]
    pub fn cm(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.cm_words(&words)
    }

    /// Runs `cm` with these arguments.
    #[track_caller]
    pub fn cm_words(&self, words: &[&str]) -> Ran {
        finish(&mut cm(self.folder(), words))
    }

    /// Starts `cm` and lets it run.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, line: &str) -> Started {
        let words: Vec<&str> = line.split_whitespace().collect();
        let child = cm(self.folder(), &words).spawn().expect("the program starts");
        Started { child: Some(child), line: line.to_owned(), start: Instant::now() }
    }

    /// Starts `cm LINE --json` and watches what it tells.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn watch(&self, line: &str) -> Watched {
        let words: Vec<&str> = line.split_whitespace().chain(["--json"]).collect();
        let child = cm(self.folder(), &words).spawn().expect("the program starts");
        Watched::new(child, line.to_owned(), Instant::now())
    }

    /// The main job with every promise of the contract: the plan tells exactly what apply changes, a second apply
    /// changes nothing, and verify and plan agree with that. Returns what was changed, the unknown included.
    ///
    /// # Panics
    /// When a promise is broken.
    #[track_caller]
    pub fn converges(&self, what: &str) -> Vec<Difference> {
        let planned = differences(&self.cm(&format!("plan {what} --json")).exits(2));
        let applied = differences(&self.cm(&format!("apply {what} --json")).exits(0));
        // What nobody can know may be changed or not; all else is exact.
        let (unknown, planned): (Vec<_>, Vec<_>) =
            planned.into_iter().partition(|task| task.outcome == "unknown");
        let of_known = |task: &&Difference| {
            !unknown.iter().any(|other| (&other.host, &other.task) == (&task.host, &task.task))
        };
        let known: Vec<Difference> = applied.iter().filter(of_known).cloned().collect();
        assert_eq!(planned, known, "the plan of `{what}` is not what apply did");
        assert!(!applied.is_empty(), "`{what}` changed nothing");
        self.is_converged(what);
        applied
    }

    /// Nothing is left to do, and all commands say so.
    ///
    /// # Panics
    /// When there is.
    #[track_caller]
    pub fn is_converged(&self, what: &str) {
        for command in ["apply", "plan", "verify"] {
            let ran = self.cm(&format!("{command} {what} --json"));
            assert_eq!(differences(&ran), [], "`{command} {what}` after an apply: {}", ran.stderr);
            let _ = ran.exits(0);
        }
    }

    /// Drift is found by verify, planned exactly, mended by apply, and then gone. Returns what had drifted.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn mends(&self, what: &str) -> Vec<Difference> {
        let found = differences(&self.cm(&format!("verify {what} --json")).exits(2));
        assert!(!found.is_empty(), "verify finds no drift");
        self.converges(what);
        found
    }
}

/// A run of `cm` that has not ended; it is killed when it is dropped.
pub struct Started {
    child: Option<Child>,
    line: String,
    start: Instant,
}

impl Started {
    /// Its process id.
    ///
    /// # Panics
    /// Never: only [`Started::finish`] takes the process away.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was not waited for").id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Ran {
        Ran::of(self.child.take().expect("it was not waited for"), std::mem::take(&mut self.line), self.start)
    }

    /// Sends it a signal, by its name without SIG.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("/bin/kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal {name} could be sent");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended by itself needs no end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
