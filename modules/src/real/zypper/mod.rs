//! Packages by zypper: looks read rpm's database and zypp's own files, changes are `zypper install`, which
//! takes what is to go as `-NAME`.

mod output;

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    locks::Lock,
    manager::{
        Database, Driver, Failed, ManagerState, Simulated, Words, change, newest, query, split_architecture,
        to_words, told, write_file,
    },
    rpm,
};
use crate::{
    Doing, Problem,
    node::{Commands, Finished, Transaction},
};

const LOCKS: &[Lock] = &[Lock::pid("run/zypp.pid"), Lock::record(rpm::LOCKS[0]), Lock::record(rpm::LOCKS[1])];

/// Names of the packages that others brought in, one a line.
const AUTOMATIC: &str = "var/lib/zypp/AutoInstalled";
/// What is held.
const HELD: &str = "etc/zypp/locks";

/// Statuses of a success: done, and a reboot, a restart of zypper or a second run is due; a script after the
/// transaction failed.
const GOOD: [i32; 5] = [0, 102, 103, 106, 107];
/// Nothing is provided under this name.
const UNKNOWN: i32 = 104;

/// The package manager of a SUSE machine.
pub(super) struct Zypper<'a> {
    /// Runs its programs.
    pub(super) commands: &'a dyn Commands,
    /// Where the machine's file system begins: `/`.
    pub(super) root: &'a Path,
    pub(super) state: &'a ManagerState,
}

impl Zypper<'_> {
    fn argv(&self, copy: Option<&Path>) -> Vec<String> {
        let mut argv = to_words(&["zypper", "--non-interactive", "--xmlout"]);
        if self.root != Path::new("/") {
            argv.extend(["--root".to_owned(), self.root.display().to_string()]);
        }
        if let Some(copy) = copy {
            // Below the other root, where there is one.
            argv.extend(["--cache-dir".to_owned(), rpm::inside(self.root, copy).display().to_string()]);
        }
        argv
    }

    fn read(&self) -> Result<Database, Problem> {
        let mut database = rpm::parse(&rpm::list(self.commands, self.root)?, rpm::native());
        let automatic = fs::read_to_string(self.root.join(AUTOMATIC)).unwrap_or_default();
        let automatic = crate::in_order::set(automatic.lines().map(str::trim));
        let held = output::locked(&fs::read_to_string(self.root.join(HELD)).unwrap_or_default());
        for (name, entry) in database.entries_mut() {
            entry.manual = !automatic.contains(name);
            entry.held = held.contains(name);
        }
        Ok(database)
    }

    /// The words of an installation; what is to go has a minus.
    fn arguments(words: &Words, transaction: &Transaction<'_>, dry: bool) -> Vec<String> {
        let mut argv = Vec::new();
        if words.install.is_empty() {
            argv.push("remove".to_owned());
        } else {
            // A version that was asked for may be an older one.
            argv.extend(to_words(&["install", "--oldpackage"]));
            argv.extend(transaction.recommends.map(|recommends| {
                if recommends { "--recommends".to_owned() } else { "--no-recommends".to_owned() }
            }));
        }
        if dry {
            argv.push("--dry-run".to_owned());
        }
        argv.push("--".to_owned());
        argv.extend(words.install.iter().cloned());
        let minus = if words.install.is_empty() { "" } else { "-" };
        argv.extend(words.remove.iter().map(|word| format!("{minus}{word}")));
        argv
    }

    fn shown(words: &Words) -> String {
        match (words.install.is_empty(), words.remove.is_empty()) {
            (true, _) => format!("zypper remove {}", words.remove.join(" ")),
            (false, true) => format!("zypper install {}", words.install.join(" ")),
            (false, false) => {
                format!("zypper install {} -{}", words.install.join(" "), words.remove.join(" -"))
            }
        }
    }

    fn refused(what: &str, finished: &Finished) -> Problem {
        told(what, finished, output::reason(&finished.output.stdout))
    }
}

impl Driver for Zypper<'_> {
    fn program(&self) -> &'static str {
        "zypper"
    }

    fn database(&self) -> Result<Arc<Database>, Problem> {
        let stamp = || {
            let own = [AUTOMATIC, HELD].map(|file| rpm::file_stamp(&self.root.join(file)));
            format!("{}| {}", rpm::stamp(self.root), own.concat())
        };
        let before = stamp();
        self.state.database.get(&before, || Ok((before.clone(), self.read()?)))
    }

    fn compare(&self, one: &str, other: &str) -> Ordering {
        rpm::compare(one, other)
    }

    fn available(
        &self,
        names: &[String],
        copy: Option<&Path>,
    ) -> Result<BTreeMap<String, Vec<String>>, Problem> {
        let mut argv = self.argv(copy);
        argv.extend(to_words(&[
            "--no-refresh",
            "search",
            "--details",
            "--match-exact",
            "--type",
            "package",
            "--",
        ]));
        argv.extend(names.iter().map(|name| split_architecture(name).0.to_owned()));
        let finished = query(self.commands, argv, None)?;
        if !GOOD.contains(&finished.output.status) && finished.output.status != UNKNOWN {
            return Err(Self::refused("zypper search", &finished));
        }
        let database = Database::new(rpm::native());
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for solvable in output::solvables(&finished.output.stdout) {
            for asked in names {
                let (stem, wanted) = split_architecture(asked);
                let fits = match wanted {
                    Some(wanted) => wanted == solvable.architecture || solvable.architecture == "noarch",
                    None => database.is_native(&solvable.architecture),
                };
                if stem == solvable.name && fits {
                    found.entry(asked.clone()).or_default().push(solvable.version.clone());
                }
            }
        }
        for versions in found.values_mut() {
            crate::in_order::sort_by(versions, |one, other| rpm::compare(other, one));
            versions.dedup();
        }
        Ok(found)
    }

    fn index_folder(&self) -> PathBuf {
        self.root.join("var/cache/zypp")
    }

    fn index_time(&self, folder: &Path) -> Option<SystemTime> {
        let files = |name: &str| fs::read_dir(folder.join(name)).into_iter().flatten().flatten();
        let own = |entry: &fs::DirEntry| entry.file_name() != "@System";
        newest(&files("raw").chain(files("solv")).filter(own).map(|entry| entry.path()).collect::<Vec<_>>())
    }

    fn sources(&self) -> Vec<PathBuf> {
        ["etc/zypp/repos.d", "etc/zypp/services.d"].iter().map(|path| self.root.join(path)).collect()
    }

    fn update(&self, copy: Option<&Path>, deadline: Instant) -> Result<(), Problem> {
        let mut argv = self.argv(copy);
        argv.push("refresh".to_owned());
        let finished = query(self.commands, argv, Some(deadline))?;
        if GOOD.contains(&finished.output.status) && !finished.timed_out {
            return Ok(());
        }
        Err(Self::refused("zypper refresh", &finished)
            .hint("a package source could not be read: `zypper refresh` on the node says which"))
    }

    fn locks(&self) -> &'static [Lock] {
        LOCKS
    }

    fn word(&self, name: &str, version: Option<&str>) -> String {
        let (stem, architecture) = split_architecture(name);
        let name =
            architecture.map_or_else(|| stem.to_owned(), |architecture| format!("{stem}.{architecture}"));
        version.map_or_else(|| name.clone(), |version| format!("{name}={version}"))
    }

    fn simulate(
        &self,
        words: &Words,
        copy: Option<&Path>,
        transaction: &Transaction<'_>,
    ) -> Result<Result<Simulated, Problem>, Problem> {
        let mut words = words.clone();
        let mut simulated = Simulated::default();
        // A lock is taken off before its package moves; a simulation cannot do that.
        for name in &words.moved {
            let mine = |word: &String| word.split('=').next() == Some(name);
            let version = |word: String| word.split_once('=').map(|(_, version)| version.to_owned());
            let (moved, rest) = words.install.into_iter().partition::<Vec<_>, _>(mine);
            words.install = rest;
            simulated
                .installed
                .extend(moved.into_iter().filter_map(version).map(|version| (name.clone(), version)));
        }
        if words.is_empty() {
            return Ok(Ok(simulated));
        }
        let mut argv = self.argv(copy);
        argv.push("--no-refresh".to_owned());
        argv.extend(Self::arguments(&words, transaction, true));
        let finished = query(self.commands, argv, Some(transaction.deadline))?;
        let problem = Self::refused(&Self::shown(&words), &finished);
        if finished.timed_out {
            return Err(problem);
        }
        if !GOOD.contains(&finished.output.status) {
            return Ok(Err(problem));
        }
        let found = output::summary(&finished.output.stdout, &Database::new(rpm::native()));
        simulated.installed.extend(found.installed);
        simulated.removed.extend(found.removed);
        Ok(Ok(simulated))
    }

    fn run(&self, words: &Words, transaction: &Transaction<'_>) -> Result<Result<(), Failed>, Problem> {
        let moved: Vec<&str> = words.moved.iter().map(String::as_str).collect();
        if !moved.is_empty() {
            self.hold(&moved, false, transaction.deadline)?;
        }
        let mut argv = self.argv(None);
        argv.extend(Self::arguments(words, transaction, false));
        let finished = change(self.commands, argv, transaction.deadline)?;
        if !moved.is_empty() {
            let database = self.database()?;
            let there: Vec<&str> =
                moved.into_iter().filter(|name| database.by_name(name).is_some()).collect();
            if !there.is_empty() {
                self.hold(&there, true, transaction.deadline)?;
            }
        }
        if GOOD.contains(&finished.output.status) && !finished.timed_out {
            return Ok(Ok(()));
        }
        let broken = output::broken(&finished.output.stdout);
        Ok(Err(Failed { problem: Self::refused(&Self::shown(words), &finished), broken }))
    }

    fn hold(&self, names: &[&str], hold: bool, deadline: Instant) -> Result<(), Problem> {
        let verb = if hold { "addlock" } else { "removelock" };
        let mut argv = self.argv(None);
        argv.extend(to_words(&[verb, "--"]));
        argv.extend(to_words(names));
        let finished = change(self.commands, argv, deadline)?;
        if finished.success() {
            return Ok(());
        }
        Err(Self::refused(&format!("zypper {verb} {}", names.join(" ")), &finished))
    }

    /// zypper has no command for it; libzypp reads this file of its own before every run.
    fn mark(&self, names: &[&str], manual: bool, _deadline: Instant) -> Result<(), Problem> {
        let path = self.root.join(AUTOMATIC);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.doing(format_args!("reading {}", path.display()))?,
        };
        let mut lines: Vec<&str> = text.lines().filter(|line| !names.contains(&line.trim())).collect();
        if !manual {
            lines.extend(names);
        }
        let text = lines.join("\n") + "\n";
        write_file(&path, text.as_bytes(), 0o644).doing(format_args!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests;
