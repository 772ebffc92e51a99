//! Packages by dnf, of version 4 (in Python) or 5: looks read rpm's database, changes are `dnf install` and
//! `dnf remove`.

mod output;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::DirBuilderExt,
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
    Problem,
    node::{Commands, Finished, Transaction},
};

/// What a transaction locks: dnf's own files, and rpm's.
const LOCKS: &[Lock] = &[
    Lock::pid("var/lib/dnf/rpmdb_lock.pid"),
    Lock::pid("var/cache/dnf/download_lock.pid"),
    Lock::pid("var/cache/dnf/metadata_lock.pid"),
    Lock::record(rpm::LOCKS[0]),
    Lock::record(rpm::LOCKS[1]),
];

/// The package manager of a machine with rpm.
pub(super) struct Dnf<'a> {
    /// Runs its programs.
    pub(super) commands: &'a dyn Commands,
    /// Where the machine's file system begins: `/`.
    pub(super) root: &'a Path,
    /// The agent's own folder.
    pub(super) own: &'a Path,
    pub(super) state: &'a ManagerState,
    /// It is version 5.
    pub(super) five: bool,
}

/// Whether this machine's dnf is version 5.
pub(super) fn is_five() -> bool {
    let five = |path: &Path| path.file_name().is_some_and(|name| name == "dnf5");
    match fs::canonicalize("/usr/bin/dnf") {
        Ok(program) => five(&program),
        Err(_) => Path::new("/usr/bin/dnf5").exists(),
    }
}

impl Dnf<'_> {
    /// The beginning of every command line.
    fn argv(&self, options: &[&str], copy: Option<&Path>) -> Vec<String> {
        let mut argv = vec![if self.five { "dnf5" } else { "dnf" }.to_owned()];
        if self.root != Path::new("/") {
            argv.push(format!("--installroot={}", self.root.display()));
        }
        if let Some(copy) = copy {
            // Below the other root, where there is one.
            argv.push(format!("--setopt=cachedir={}", rpm::inside(self.root, copy).display()));
        }
        argv.extend(to_words(options));
        argv
    }

    fn lock_list(&self) -> PathBuf {
        let file = if self.five { "etc/dnf/versionlock.toml" } else { "etc/dnf/plugins/versionlock.list" };
        self.root.join(file)
    }

    /// The state of what the reasons of packages are kept in.
    fn reasons_stamp(&self) -> String {
        [
            "var/lib/dnf/history.sqlite",
            "var/lib/dnf/history.sqlite-wal",
            "usr/lib/sysimage/libdnf5/packages.toml",
        ]
        .iter()
        .map(|file| rpm::file_stamp(&self.root.join(file)))
        .collect()
    }

    fn stamp(&self) -> String {
        format!("{}| {}| {}", rpm::stamp(self.root), rpm::file_stamp(&self.lock_list()), self.reasons_stamp())
    }

    fn read(&self, stamp: &str) -> Result<(String, Database), Problem> {
        if let Some((packages, reasons)) = self.remembered(stamp) {
            return Ok((stamp.to_owned(), self.put_together(&packages, &reasons)));
        }
        let rpm_stamp = rpm::stamp(self.root);
        let packages = rpm::list(self.commands, self.root)?;
        let mut argv = self.argv(&["-q", "-C", "repoquery", "--installed", "--qf"], None);
        argv.push("%{name}.%{arch} %{reason}\n".to_owned());
        let finished = query(self.commands, argv, None)?;
        // Without them every package counts as asked for: nothing is marked then.
        let reasons = if finished.success() { finished.output.stdout } else { String::new() };
        // Asking writes dnf's own database; rpm's has the state of before it was read.
        let stamp = format!("{rpm_stamp}| {}| {}", rpm::file_stamp(&self.lock_list()), self.reasons_stamp());
        self.remember(&stamp, &packages, &reasons);
        Ok((stamp, self.put_together(&packages, &reasons)))
    }

    fn put_together(&self, packages: &str, reasons: &str) -> Database {
        let mut database = rpm::parse(packages, rpm::native());
        let automatic: BTreeSet<&str> = output::automatic(reasons);
        let held = fs::read_to_string(self.lock_list()).unwrap_or_default();
        let held = if self.five { output::locked_by_toml(&held) } else { output::locked_by_list(&held) };
        for (name, entry) in database.entries_mut() {
            entry.manual = !automatic.contains(format!("{name}.{}", entry.architecture).as_str());
            entry.held = held.contains(name);
        }
        database
    }

    /// What an earlier run read, where nothing has changed since: two programs need not be started.
    fn remembered(&self, stamp: &str) -> Option<(String, String)> {
        let text = fs::read_to_string(self.own.join("installed")).ok()?;
        let mut parts = text.splitn(3, '\0');
        let (known, packages, reasons) = (parts.next()?, parts.next()?, parts.next()?);
        (known == stamp).then(|| (packages.to_owned(), reasons.to_owned()))
    }

    /// Best effort: without it the next run asks again.
    fn remember(&self, stamp: &str, packages: &str, reasons: &str) {
        let write = || -> std::io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(self.own)?;
            let text = format!("{stamp}\0{packages}\0{reasons}");
            write_file(&self.own.join("installed"), text.as_bytes(), 0o600)
        };
        let _ = write();
    }

    /// Options that follow from what is asked.
    fn options(&self, words: &Words, transaction: &Transaction<'_>) -> Result<Vec<String>, Problem> {
        let mut options = Vec::new();
        if let Some(recommends) = transaction.recommends {
            options.push(format!("--setopt=install_weak_deps={}", if recommends { "True" } else { "False" }));
        }
        if !words.moved.is_empty() {
            if self.five {
                options.push("--setopt=disable_excludes=*".to_owned());
            } else {
                options.push("--disableplugin=versionlock".to_owned());
                // All others stay where they are.
                let installed = self.database()?.all_installed();
                let held = installed.into_iter().filter(|(_, package)| package.held).map(|(name, _)| name);
                let others: Vec<String> = held.filter(|name| !words.moved.contains(name)).collect();
                if !others.is_empty() {
                    options.push(format!("--exclude={}", others.join(",")));
                }
            }
        }
        Ok(options)
    }

    /// Simulates one command; the inner error is a refusal.
    fn assume_no(
        &self,
        options: &[String],
        copy: Option<&Path>,
        verb: &[&str],
        words: &[String],
        deadline: Instant,
    ) -> Result<Result<Simulated, Problem>, Problem> {
        let mut argv = self.argv(&["-C", "--assumeno"], copy);
        argv.extend_from_slice(options);
        argv.extend(to_words(verb));
        argv.extend_from_slice(words);
        let finished = query(self.commands, argv, Some(deadline))?;
        if finished.timed_out {
            return Err(told(&self.shown(verb, words), &finished, None));
        }
        if finished.success() || output::was_declined(&finished.output) {
            return Ok(Ok(output::simulated(&finished.output.stdout, &Database::new(rpm::native()))));
        }
        Ok(Err(self.refused(verb, words, &finished)))
    }

    /// Simulates an installation; one that makes room by what is to be removed anyway is let do so.
    fn simulate_install(
        &self,
        words: &Words,
        copy: Option<&Path>,
        transaction: &Transaction<'_>,
    ) -> Result<Result<(Simulated, bool), Problem>, Problem> {
        let options = self.options(words, transaction)?;
        let simulate =
            |verb: &[&str]| self.assume_no(&options, copy, verb, &words.install, transaction.deadline);
        let first = simulate(&["install"])?;
        if first.is_err() && !words.remove.is_empty() {
            let leaving = crate::in_order::set(words.remove.iter().map(|word| self.name_of(word)));
            if let Ok(erasing) = simulate(&["install", "--allowerasing"])?
                && erasing.removed.is_subset(&leaving)
            {
                return Ok(Ok((erasing, true)));
            }
        }
        Ok(first.map(|simulated| (simulated, false)))
    }

    /// The name of a request that became this word.
    fn name_of(&self, word: &str) -> String {
        match word.rsplit_once('.') {
            Some((name, architecture)) if word.contains('.') && self.is_architecture(architecture) => {
                format!("{name}:{architecture}")
            }
            _ => word.to_owned(),
        }
    }

    fn is_architecture(&self, word: &str) -> bool {
        ["x86_64", "i686", "i586", "aarch64", "ppc64le", "s390x", "armv7hl", "noarch"].contains(&word)
    }

    fn shown(&self, verb: &[&str], words: &[String]) -> String {
        format!("dnf {} {}", verb.join(" "), words.join(" "))
    }

    fn refused(&self, verb: &[&str], words: &[String], finished: &Finished) -> Problem {
        told(&self.shown(verb, words), finished, output::reason(&finished.output))
    }

    fn run_verb(
        &self,
        options: &[String],
        verb: &[&str],
        words: &[String],
        deadline: Instant,
    ) -> Result<Result<(), Failed>, Problem> {
        let mut argv = self.argv(&["-y"], None);
        argv.extend_from_slice(options);
        argv.extend(to_words(verb));
        argv.extend_from_slice(words);
        let finished = change(self.commands, argv, deadline)?;
        if finished.success() {
            return Ok(Ok(()));
        }
        let broken = output::broken(&finished.output);
        Ok(Err(Failed { problem: self.refused(verb, words, &finished), broken }))
    }

    fn simple(&self, words: &[&str], names: &[&str], deadline: Instant) -> Result<(), Problem> {
        let names: Vec<String> = names.iter().map(|name| self.word(name, None)).collect();
        match self.run_verb(&[], words, &names, deadline)? {
            Ok(()) => Ok(()),
            Err(failed) => Err(failed.problem),
        }
    }
}

impl Driver for Dnf<'_> {
    fn program(&self) -> &'static str {
        "dnf"
    }

    fn database(&self) -> Result<Arc<Database>, Problem> {
        let stamp = self.stamp();
        self.state.database.get(&stamp, || self.read(&stamp))
    }

    fn compare(&self, one: &str, other: &str) -> Ordering {
        rpm::compare(one, other)
    }

    fn available(
        &self,
        names: &[String],
        copy: Option<&Path>,
    ) -> Result<BTreeMap<String, Vec<String>>, Problem> {
        let mut argv = self.argv(&["-q", "-C", "repoquery", "--qf"], copy);
        argv.push("%{name}|%{epoch}|%{version}|%{release}|%{arch}\n".to_owned());
        argv.extend(names.iter().map(|name| self.word(name, None)));
        let finished = query(self.commands, argv, None)?;
        if !finished.success() {
            // Nothing was fetched yet: no name is known.
            if output::has_no_cache(&finished.output) {
                return Ok(BTreeMap::new());
            }
            return Err(told("dnf repoquery", &finished, output::reason(&finished.output)));
        }
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let database = Database::new(rpm::native());
        for (name, version, architecture) in output::versions(&finished.output.stdout) {
            for asked in names {
                let (stem, wanted) = split_architecture(asked);
                let fits = match wanted {
                    Some(wanted) => wanted == architecture || architecture == "noarch",
                    None => database.is_native(architecture),
                };
                if (stem == name && fits) || *asked == format!("{name}.{architecture}") {
                    found.entry(asked.clone()).or_default().push(version.clone());
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
        self.root.join(if self.five { "var/cache/libdnf5" } else { "var/cache/dnf" })
    }

    fn index_time(&self, folder: &Path) -> Option<SystemTime> {
        let repositories = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join("repodata"));
        newest(&repositories.collect::<Vec<_>>())
    }

    fn sources(&self) -> Vec<PathBuf> {
        ["etc/yum.repos.d", "etc/dnf/dnf.conf", "etc/pki/rpm-gpg"]
            .iter()
            .map(|path| self.root.join(path))
            .collect()
    }

    fn update(&self, copy: Option<&Path>, deadline: Instant) -> Result<(), Problem> {
        let argv = self.argv(&["-y", "-q", "--refresh", "makecache"], copy);
        let finished = query(self.commands, argv, Some(deadline))?;
        if finished.success() {
            return Ok(());
        }
        Err(told("dnf makecache", &finished, output::reason(&finished.output)).hint(
            "a package source could not be read: `dnf makecache` on the node, /etc/yum.repos.d, proxy and DNS",
        ))
    }

    fn locks(&self) -> &'static [Lock] {
        LOCKS
    }

    fn word(&self, name: &str, version: Option<&str>) -> String {
        let (stem, architecture) = split_architecture(name);
        let versioned = version.map_or_else(|| stem.to_owned(), |version| format!("{stem}-{version}"));
        architecture.map_or_else(|| versioned.clone(), |architecture| format!("{versioned}.{architecture}"))
    }

    fn simulate(
        &self,
        words: &Words,
        copy: Option<&Path>,
        transaction: &Transaction<'_>,
    ) -> Result<Result<Simulated, Problem>, Problem> {
        let mut simulated = Simulated::default();
        if !words.install.is_empty() {
            match self.simulate_install(words, copy, transaction)? {
                Ok((installed, _)) => simulated = installed,
                Err(problem) => return Ok(Err(problem)),
            }
        }
        if !words.remove.is_empty() {
            let options = to_words(&[KEEP_UNUSED]);
            match self.assume_no(&options, copy, &["remove"], &words.remove, transaction.deadline)? {
                Ok(removed) => simulated.removed.extend(removed.removed),
                Err(problem) => return Ok(Err(problem)),
            }
        }
        Ok(Ok(simulated))
    }

    fn run(&self, words: &Words, transaction: &Transaction<'_>) -> Result<Result<(), Failed>, Problem> {
        let deadline = transaction.deadline;
        if !words.install.is_empty() {
            let mut verb = vec!["install"];
            // What conflicts with something that is to go anyway comes in its place.
            if !words.remove.is_empty()
                && matches!(self.simulate_install(words, None, transaction)?, Ok((_, true)))
            {
                verb.push("--allowerasing");
            }
            let options = self.options(words, transaction)?;
            if let Err(failed) = self.run_verb(&options, &verb, &words.install, deadline)? {
                return Ok(Err(failed));
            }
        }
        if !words.remove.is_empty()
            && let Err(failed) =
                self.run_verb(&to_words(&[KEEP_UNUSED]), &["remove"], &words.remove, deadline)?
        {
            return Ok(Err(failed));
        }
        // A lock names a version: that of before.
        let database = self.database()?;
        let moved: Vec<&str> =
            words.moved.iter().map(String::as_str).filter(|name| database.by_name(name).is_some()).collect();
        if !moved.is_empty() {
            self.hold(&moved, false, deadline)?;
            self.hold(&moved, true, deadline)?;
        }
        Ok(Ok(()))
    }

    fn hold(&self, names: &[&str], hold: bool, deadline: Instant) -> Result<(), Problem> {
        let verb = ["versionlock", if hold { "add" } else { "delete" }];
        self.simple(&verb, names, deadline).map_err(|problem| {
            let missing = problem.output.as_ref().is_some_and(|output| {
                output.stderr.contains("No such command") || output.stdout.contains("No such command")
            });
            if !missing {
                return problem;
            }
            Problem::new(format!("{} cannot be held: dnf has no plugin `versionlock` here", names.join(", ")))
                .hint("a task `- package: python3-dnf-plugin-versionlock` before it brings the plugin")
        })
    }

    fn mark(&self, names: &[&str], manual: bool, deadline: Instant) -> Result<(), Problem> {
        let verb = match (self.five, manual) {
            (false, true) => "install",
            (false, false) => "remove",
            (true, true) => "user",
            (true, false) => "dependency",
        };
        self.simple(&["mark", verb], names, deadline)
    }

    /// A transaction that was cut leaves packages in two versions: the new one is there, the old one was not
    /// taken away.
    fn finish_interrupted(&self, deadline: Instant) -> Result<Option<String>, Problem> {
        let database = self.database()?;
        let several: Vec<&str> = database.several().collect();
        if several.is_empty() {
            return Ok(None);
        }
        let what = format!("dnf had been interrupted and left two versions of {}", several.join(", "));
        if self.five {
            return Ok(Some(format!("{what}: `dnf check` on the node says more")));
        }
        Ok(Some(match self.run_verb(&[], &["remove", "--duplicates"], &[], deadline)? {
            Ok(()) => format!("{what}: `dnf remove --duplicates` took the old ones away first"),
            Err(failed) => {
                format!("{what}, and `dnf remove --duplicates` failed: {}", failed.problem.message)
            }
        }))
    }
}

/// A removal takes what was asked for and what needs it, nothing else.
const KEEP_UNUSED: &str = "--setopt=clean_requirements_on_remove=False";

#[cfg(test)]
pub(super) mod tests;
