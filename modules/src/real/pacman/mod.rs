//! Packages by pacman: looks read its database, a folder of small files; changes are `pacman -S` and `-R`.
//!
//! A source of pacman has one version of each package: what another version is asked for fails.

mod output;

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    locks::Lock,
    manager::{
        Database, Driver, Failed, ManagerState, Simulated, Words, change, newest, query, to_words, told,
    },
    rpm,
};
use crate::{
    Doing, Problem,
    node::{Commands, Finished, Transaction},
    version_pattern::version_matches,
};

const LOCK: &str = "var/lib/pacman/db.lck";
const LOCKS: &[Lock] = &[Lock::open(LOCK)];
/// Its database, one folder for each package.
const LOCAL: &str = "var/lib/pacman/local";
const CONFIGURATION: &str = "etc/pacman.conf";

/// The package manager of an Arch machine.
pub(super) struct Pacman<'a> {
    /// Runs its programs.
    pub(super) commands: &'a dyn Commands,
    /// Where the machine's file system begins: `/`.
    pub(super) root: &'a Path,
    pub(super) state: &'a ManagerState,
}

impl Pacman<'_> {
    fn argv(&self, copy: Option<&Path>) -> Result<Vec<String>, Problem> {
        let mut argv = to_words(&["pacman", "--noconfirm", "--color", "never"]);
        if self.root != Path::new("/") {
            argv.extend(["--root".to_owned(), self.root.display().to_string()]);
            argv.extend(["--config".to_owned(), self.root.join(CONFIGURATION).display().to_string()]);
            argv.extend([
                "--cachedir".to_owned(),
                self.root.join("var/cache/pacman/pkg").display().to_string(),
            ]);
        }
        let database = match copy {
            Some(copy) => Some(
                self.database_of(copy)
                    .doing(format_args!("preparing a copy of the index in {}", copy.display()))?,
            ),
            None => (self.root != Path::new("/")).then(|| self.root.join("var/lib/pacman")),
        };
        argv.extend(
            database.into_iter().flat_map(|path| ["--dbpath".to_owned(), path.display().to_string()]),
        );
        Ok(argv)
    }

    /// A database with the index of a copy and the packages of the machine.
    fn database_of(&self, copy: &Path) -> io::Result<PathBuf> {
        let database = copy.join("database");
        fs::create_dir_all(&database)?;
        for (name, target) in [("sync", copy.to_owned()), ("local", self.root.join(LOCAL))] {
            match symlink(target, database.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
        Ok(database)
    }

    /// A package's folder has its version in its name: names and times of the folders tell every change, but
    /// for a mark.
    fn stamp(&self) -> Result<String, Problem> {
        let local = self.root.join(LOCAL);
        let mut stamp = rpm::file_stamp(&self.root.join(CONFIGURATION));
        let mut entries: Vec<_> = match fs::read_dir(&local) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.doing(format_args!("reading {}", local.display()))?.flatten().collect(),
        };
        crate::in_order::sort_by(&mut entries, |one, other| one.file_name().cmp(&other.file_name()));
        for entry in entries {
            // pacman -D writes the file anew.
            let Ok(data) = fs::metadata(entry.path().join("desc")) else { continue };
            stamp.push_str(&format!(
                "{}:{}:{}.{} ",
                entry.file_name().to_string_lossy(),
                data.ino(),
                data.mtime(),
                data.mtime_nsec()
            ));
        }
        Ok(stamp)
    }

    fn read(&self) -> Result<Database, Problem> {
        let local = self.root.join(LOCAL);
        let mut database = Database::new(rpm::native());
        let entries = match fs::read_dir(&local) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(database),
            entries => entries.doing(format_args!("reading {}", local.display()))?,
        };
        for entry in entries.flatten() {
            // What an interrupted pacman left without a description is not installed.
            let Ok(text) = fs::read_to_string(entry.path().join("desc")) else { continue };
            output::add_package(&mut database, &text);
        }
        let ignored = output::ignored(&fs::read_to_string(self.root.join(CONFIGURATION)).unwrap_or_default());
        for (name, entry) in database.entries_mut() {
            entry.held = ignored.iter().any(|pattern| version_matches(pattern, name));
        }
        Ok(database)
    }

    fn refused(what: &str, finished: &Finished) -> Problem {
        told(what, finished, output::reason(&finished.output))
    }

    /// `-S` or `-R` with its words.
    fn operations(words: &Words) -> Vec<(Vec<String>, String)> {
        let mut operations = Vec::new();
        // Removals first: pacman never takes what others need, and what conflicts with them can come then.
        for (verb, list) in [(if words.purge { "-Rn" } else { "-R" }, &words.remove), ("-S", &words.install)]
        {
            if list.is_empty() {
                continue;
            }
            let mut argv = vec![verb.to_owned()];
            argv.extend((verb == "-S").then(|| "--needed".to_owned()));
            operations.push(([argv, list.clone()].concat(), format!("pacman {verb} {}", list.join(" "))));
        }
        operations
    }
}

impl Driver for Pacman<'_> {
    fn program(&self) -> &'static str {
        "pacman"
    }

    fn database(&self) -> Result<Arc<Database>, Problem> {
        let stamp = self.stamp()?;
        self.state.database.get(&stamp, || Ok((stamp.clone(), self.read()?)))
    }

    fn compare(&self, one: &str, other: &str) -> Ordering {
        rpm::compare(&output::comparable(one), &output::comparable(other))
    }

    fn available(
        &self,
        names: &[String],
        copy: Option<&Path>,
    ) -> Result<BTreeMap<String, Vec<String>>, Problem> {
        let mut argv = self.argv(copy)?;
        argv.push("-Sl".to_owned());
        let finished = query(self.commands, argv, None)?;
        if !finished.success() {
            return Err(Self::refused("pacman -Sl", &finished));
        }
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, version) in output::listed(&finished.output.stdout) {
            // The first source that has it is the one pacman takes it from.
            if names.iter().any(|asked| asked == name) && !found.contains_key(name) {
                found.insert(name.to_owned(), vec![version.to_owned()]);
            }
        }
        Ok(found)
    }

    fn index_folder(&self) -> PathBuf {
        self.root.join("var/lib/pacman/sync")
    }

    fn index_time(&self, folder: &Path) -> Option<SystemTime> {
        let any = fs::read_dir(folder)
            .ok()?
            .flatten()
            .any(|entry| entry.path().extension().is_some_and(|end| end == "db"));
        any.then(|| newest(&[folder.to_owned()])).flatten()
    }

    fn sources(&self) -> Vec<PathBuf> {
        [CONFIGURATION, "etc/pacman.d"].iter().map(|path| self.root.join(path)).collect()
    }

    fn update(&self, copy: Option<&Path>, deadline: Instant) -> Result<(), Problem> {
        let mut argv = self.argv(copy)?;
        argv.push("-Sy".to_owned());
        let finished = query(self.commands, argv, Some(deadline))?;
        if finished.success() {
            return Ok(());
        }
        Err(Self::refused("pacman -Sy", &finished).hint(
            "a package source could not be read: `pacman -Sy` on the node, /etc/pacman.conf, proxy and DNS",
        ))
    }

    fn locks(&self) -> &'static [Lock] {
        LOCKS
    }

    fn word(&self, name: &str, version: Option<&str>) -> String {
        version.map_or_else(|| name.to_owned(), |version| format!("{name}={version}"))
    }

    fn simulate(
        &self,
        words: &Words,
        copy: Option<&Path>,
        transaction: &Transaction<'_>,
    ) -> Result<Result<Simulated, Problem>, Problem> {
        let mut simulated = Simulated::default();
        // `--print` does not go together with the option that takes the configuration along.
        let words = Words { purge: false, ..words.clone() };
        for (operation, what) in Self::operations(&words) {
            let installs = operation[0] == "-S";
            let mut argv = self.argv(copy)?;
            argv.extend(operation);
            argv.extend(to_words(&["--print", "--print-format", "%n %v"]));
            let finished = query(self.commands, argv, Some(transaction.deadline))?;
            if finished.timed_out {
                return Err(Self::refused(&what, &finished));
            }
            if !finished.success() {
                return Ok(Err(Self::refused(&what, &finished)));
            }
            for (name, version) in finished.output.stdout.lines().filter_map(|line| line.split_once(' ')) {
                if installs {
                    simulated.installed.insert(name.to_owned(), version.to_owned());
                } else {
                    simulated.removed.insert(name.to_owned());
                }
            }
        }
        Ok(Ok(simulated))
    }

    fn run(&self, words: &Words, transaction: &Transaction<'_>) -> Result<Result<(), Failed>, Problem> {
        for (operation, what) in Self::operations(words) {
            let mut argv = self.argv(None)?;
            argv.extend(operation);
            let finished = change(self.commands, argv, transaction.deadline)?;
            if !finished.success() {
                return Ok(Err(Failed { problem: Self::refused(&what, &finished), broken: BTreeMap::new() }));
            }
        }
        Ok(Ok(()))
    }

    fn hold(&self, names: &[&str], hold: bool, _deadline: Instant) -> Result<(), Problem> {
        let (verb, how) = if hold { ("held", "holds") } else { ("let go", "no longer holds") };
        Err(Problem::new(format!("{} cannot be {verb}: pacman has no command for it", names.join(", ")))
            .hint(format!("a line `IgnorePkg = NAME` in the section [options] of /etc/pacman.conf {how} it; `ini` writes it")))
    }

    fn mark(&self, names: &[&str], manual: bool, deadline: Instant) -> Result<(), Problem> {
        let mut argv = self.argv(None)?;
        argv.extend(to_words(&["-D", if manual { "--asexplicit" } else { "--asdeps" }]));
        argv.extend(to_words(names));
        let finished = change(self.commands, argv, deadline)?;
        if finished.success() {
            return Ok(());
        }
        Err(Self::refused(&format!("pacman -D {}", names.join(" ")), &finished))
    }

    /// Nobody has the lock open, or this would not have been reached: its holder died.
    fn finish_interrupted(&self, _deadline: Instant) -> Result<Option<String>, Problem> {
        match fs::remove_file(self.root.join(LOCK)) {
            Ok(()) => Ok(Some(format!("pacman had been interrupted: took its lock /{LOCK} away first"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(format_args!("removing the lock /{LOCK} of a pacman that died")),
        }
    }
}

#[cfg(test)]
mod tests;
