//! Packages by apk: looks read its database and its world, changes are `apk add` and `apk del`.
//!
//! The world (/etc/apk/world) holds what was asked for; a name with a version in it is what is held elsewhere.

mod output;

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fs,
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
};

const LOCKS: &[Lock] = &[Lock::whole("lib/apk/db/lock")];
const INSTALLED: &str = "lib/apk/db/installed";
const WORLD: &str = "etc/apk/world";

/// The package manager of an Alpine machine.
pub(super) struct Apk<'a> {
    /// Runs its programs.
    pub(super) commands: &'a dyn Commands,
    /// Where the machine's file system begins: `/`.
    pub(super) root: &'a Path,
    pub(super) state: &'a ManagerState,
}

impl Apk<'_> {
    fn argv(&self, copy: Option<&Path>, more: &[&str]) -> Vec<String> {
        let mut argv = to_words(&["apk", "--no-progress", "--no-interactive"]);
        if self.root != Path::new("/") {
            argv.extend(["--root".to_owned(), self.root.display().to_string()]);
        }
        if let Some(copy) = copy {
            argv.extend(["--cache-dir".to_owned(), copy.display().to_string()]);
        }
        argv.extend(to_words(more));
        argv
    }

    fn refused(what: &str, finished: &Finished) -> Problem {
        told(what, finished, output::reason(&finished.output))
    }

    /// `apk add` and `apk del` with their words.
    fn operations(words: &Words) -> Vec<Vec<String>> {
        let mut operations = Vec::new();
        if !words.install.is_empty() {
            // Without it a version that is there stays, whatever is asked for.
            operations.push([to_words(&["add", "--upgrade"]), words.install.clone()].concat());
        }
        if !words.remove.is_empty() {
            let mut argv = to_words(&["del"]);
            argv.extend(words.purge.then(|| "--purge".to_owned()));
            operations.push([argv, words.remove.clone()].concat());
        }
        operations
    }

    fn run_one(&self, words: &[&str], names: &[&str], deadline: Instant) -> Result<(), Problem> {
        let argv = self.argv(None, &[words, names].concat());
        let finished = change(self.commands, argv, deadline)?;
        if finished.success() {
            return Ok(());
        }
        Err(Self::refused(&format!("apk {} {}", words.join(" "), names.join(" ")), &finished))
    }

    /// `name=version` as it is installed.
    fn pinned(&self, names: &[&str]) -> Result<Vec<String>, Problem> {
        let database = self.database()?;
        let pin = |name: &&str| Some(format!("{name}={}", database.by_name(name)?.version));
        Ok(names.iter().filter_map(pin).collect())
    }
}

impl Driver for Apk<'_> {
    fn program(&self) -> &'static str {
        "apk"
    }

    fn database(&self) -> Result<Arc<Database>, Problem> {
        let stamp = [INSTALLED, WORLD].map(|file| rpm::file_stamp(&self.root.join(file))).concat();
        self.state.database.get(&stamp, || {
            let path = self.root.join(INSTALLED);
            let installed = fs::read(&path).doing(format_args!("reading {}", path.display()))?;
            let world = fs::read_to_string(self.root.join(WORLD)).unwrap_or_default();
            Ok((stamp.clone(), output::database(&String::from_utf8_lossy(&installed), &world)))
        })
    }

    fn compare(&self, one: &str, other: &str) -> Ordering {
        rpm::compare(&output::comparable(one), &output::comparable(other))
    }

    fn available(
        &self,
        names: &[String],
        copy: Option<&Path>,
    ) -> Result<BTreeMap<String, Vec<String>>, Problem> {
        let mut argv = self.argv(copy, &["policy", "--"]);
        argv.extend(names.iter().cloned());
        let finished = query(self.commands, argv, None)?;
        if !finished.success() {
            return Err(Self::refused("apk policy", &finished));
        }
        let mut found = output::policies(&finished.output.stdout);
        found.retain(|name, _| names.contains(name));
        for versions in found.values_mut() {
            crate::in_order::sort_by(versions, |one, other| self.compare(other, one));
        }
        Ok(found)
    }

    fn index_folder(&self) -> PathBuf {
        // A link to where the cache is, if apk is to have one.
        let cache = self.root.join("etc/apk/cache");
        if cache.is_dir() { cache } else { self.root.join("var/cache/apk") }
    }

    fn index_time(&self, folder: &Path) -> Option<SystemTime> {
        let index = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("APKINDEX.");
        let any = fs::read_dir(folder).ok()?.flatten().any(|entry| index(&entry));
        any.then(|| newest(&[folder.to_owned()])).flatten()
    }

    fn sources(&self) -> Vec<PathBuf> {
        let paths = ["etc/apk/repositories", "etc/apk/repositories.d", "etc/apk/keys"];
        paths.iter().map(|path| self.root.join(path)).collect()
    }

    fn update(&self, copy: Option<&Path>, deadline: Instant) -> Result<(), Problem> {
        let finished = query(self.commands, self.argv(copy, &["update"]), Some(deadline))?;
        if finished.success() {
            return Ok(());
        }
        Err(Self::refused("apk update", &finished)
            .hint("a package source could not be read: `apk update` on the node, /etc/apk/repositories, proxy and DNS"))
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
        for operation in Self::operations(words) {
            let what = format!("apk {}", operation.join(" "));
            let mut argv = self.argv(copy, &["--simulate"]);
            argv.extend(operation);
            let finished = query(self.commands, argv, Some(transaction.deadline))?;
            if finished.timed_out {
                return Err(Self::refused(&what, &finished));
            }
            if !finished.success() {
                return Ok(Err(Self::refused(&what, &finished)));
            }
            output::simulated(&finished.output.stdout, &mut simulated);
        }
        Ok(Ok(simulated))
    }

    fn run(&self, words: &Words, transaction: &Transaction<'_>) -> Result<Result<(), Failed>, Problem> {
        let deadline = transaction.deadline;
        for operation in Self::operations(words) {
            let what = format!("apk {}", operation.join(" "));
            let mut argv = self.argv(None, &[]);
            argv.extend(operation);
            let finished = change(self.commands, argv, deadline)?;
            if !finished.success() {
                let broken = output::broken(&finished.output);
                return Ok(Err(Failed { problem: Self::refused(&what, &finished), broken }));
            }
        }
        // A version that was asked for stays in the world: that holds what nobody asked to hold.
        let pinned = words.install.iter().filter_map(|word| Some(word.split_once('=')?.0));
        let (held, free): (Vec<&str>, Vec<&str>) = pinned.partition(|name| words.moved.contains(*name));
        if !free.is_empty() {
            self.run_one(&["add"], &free, deadline)?;
        }
        if !held.is_empty() {
            self.hold(&held, true, deadline)?;
        }
        Ok(Ok(()))
    }

    fn hold(&self, names: &[&str], hold: bool, deadline: Instant) -> Result<(), Problem> {
        let pinned = self.pinned(names)?;
        let words: Vec<&str> =
            if hold { pinned.iter().map(String::as_str).collect() } else { names.to_vec() };
        self.run_one(&["add"], &words, deadline)
    }

    /// What is not asked for and needed by nothing cannot be there: apk would take it away at once, so it stays
    /// asked for.
    fn mark(&self, names: &[&str], manual: bool, deadline: Instant) -> Result<(), Problem> {
        if manual {
            return self.run_one(&["add"], names, deadline);
        }
        for name in names {
            let finished =
                query(self.commands, self.argv(None, &["--simulate", "del", name]), Some(deadline))?;
            let mut simulated = Simulated::default();
            output::simulated(&finished.output.stdout, &mut simulated);
            if finished.success() && simulated.removed.is_empty() {
                self.run_one(&["del"], &[name], deadline)?;
            }
        }
        Ok(())
    }
}
