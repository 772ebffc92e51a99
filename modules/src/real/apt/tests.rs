use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use cm_wire::Output;
use tempfile::TempDir;

use super::{Apt, IndexState};
use crate::{
    node::{Command, Commands, Finished, PackageAction, PackageRequest, Transacted, Transaction, Waiting},
    real::dpkg::Cached,
};

/// A machine whose apt and dpkg are played: it answers as they do and keeps the same files.
struct Machine {
    folder: TempDir,
    state: Mutex<State>,
    dpkg: Cached,
    index: IndexState,
}

#[derive(Default)]
struct State {
    /// Command lines without options, as they came.
    ran: Vec<String>,
    /// What the index has, and what its source has.
    index: BTreeMap<&'static str, &'static str>,
    source: BTreeMap<&'static str, &'static str>,
    installed: BTreeMap<String, String>,
    /// Removed packages whose configuration is there, and those that have any.
    configured: BTreeSet<String>,
    configurable: BTreeSet<&'static str>,
    /// Packages that the resolver refuses, whose archives are not there, and that dpkg fails at.
    refused: BTreeSet<&'static str>,
    unfetchable: BTreeSet<&'static str>,
    broken: BTreeSet<&'static str>,
}

impl Machine {
    /// With a fresh index of these packages.
    fn new(index: &[(&'static str, &'static str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in ["root/var/lib/dpkg/updates", "root/var/lib/apt/lists/partial", "own"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs::write(folder.path().join("root/var/lib/apt/lists/x_Packages"), b"").unwrap();
        let index: BTreeMap<_, _> = index.iter().copied().collect();
        let state = State { source: index.clone(), index, ..State::default() };
        let machine =
            Self { folder, state: Mutex::new(state), dpkg: Cached::default(), index: IndexState::default() };
        machine.with(|state| {
            state.installed.insert("dpkg".into(), "1".into());
        });
        machine.write_status();
        machine
    }

    /// Makes its index so old that a name it does not know is looked for again.
    fn old(self) -> Self {
        let before = std::time::SystemTime::now() - Duration::from_secs(3600);
        for path in ["partial", ""] {
            let folder = self.folder.path().join("root/var/lib/apt/lists").join(path);
            fs::File::open(folder).unwrap().set_modified(before).unwrap();
        }
        self
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn write_status(&self) {
        let text: String = self.with(|state| {
            let entry = |(name, version): (&String, &String)| {
                let held = name.strip_suffix("+held").unwrap_or(name);
                format!(
                    "Package: {held}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n\n"
                )
            };
            let rest = |name: &String| {
                format!(
                    "Package: {name}\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n"
                )
            };
            state.installed.iter().map(entry).chain(state.configured.iter().map(rest)).collect()
        });
        let folder = self.folder.path().join("root/var/lib/dpkg");
        fs::write(folder.join("status-new"), text).unwrap();
        fs::rename(folder.join("status-new"), folder.join("status")).unwrap();
    }

    fn transact(&self, requests: &[(&str, PackageAction)]) -> Transacted {
        self.with_apt(|apt| apt.transact(&transaction(requests)))
    }

    fn with_apt<T>(&self, act: impl FnOnce(&Apt<'_>) -> T) -> T {
        act(&Apt {
            commands: self,
            root: &self.folder.path().join("root"),
            own: &self.folder.path().join("own"),
            dpkg: &self.dpkg,
            index: &self.index,
        })
    }

    fn ran(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.ran))
    }
}

fn transaction(requests: &[(&str, PackageAction)]) -> Transaction<'static> {
    let request = |(name, action): &(&str, PackageAction)| PackageRequest {
        name: (*name).to_owned(),
        action: action.clone(),
    };
    Transaction {
        requests: requests.iter().map(request).collect(),
        recommends: None,
        deadline: Instant::now() + Duration::from_secs(5),
        waiting: Waiting::default(),
    }
}

fn ended(status: i32, stdout: String, stderr: String) -> io::Result<Finished> {
    Ok(Finished { output: Output { status, stdout, stderr }, timed_out: false })
}

impl Commands for Machine {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let words: Vec<&str> =
            argv.iter().position(|&word| word == "--").map_or(&[][..], |at| &argv[at + 1..]).to_vec();
        let simulated = argv.contains(&"-s");
        let copy = argv.iter().any(|word| word.starts_with("Dir::State::Lists="));
        let mut line = if argv[0] == "dpkg" { argv.join(" ") } else { argv[..2].join(" ") };
        for (mark, there) in [(" -s", simulated), (" copy", copy)] {
            line.push_str(if there { mark } else { "" });
        }
        for word in &words {
            line = format!("{line} {word}");
        }
        if let Some(stdin) = &command.stdin {
            line = format!("{line} < {}", String::from_utf8_lossy(stdin).trim_end());
        }
        self.with(|state| state.ran.push(line));
        match (argv[0], argv[1]) {
            ("apt-cache", "policy") => {
                let text = self.with(|state| {
                    let block = |name: &&str| {
                        let version = state.index.get(name)?;
                        Some(format!(
                            "{name}:\n  Candidate: {version}\n  Version table:\n     {version} 500\n"
                        ))
                    };
                    words.iter().filter_map(block).collect()
                });
                ended(0, text, String::new())
            }
            ("apt-cache", "pkgnames") => {
                let names = self.with(|state| state.index.keys().copied().collect::<Vec<_>>().join("\n"));
                ended(0, names, String::new())
            }
            ("apt-get", "update") => {
                let folder = if copy { "own/lists" } else { "root/var/lib/apt/lists" };
                fs::write(self.folder.path().join(folder).join("x_Packages"), b"")?;
                self.with(|state| state.index = state.source.clone());
                ended(0, "Hit:1 http://x stable InRelease\n".into(), String::new())
            }
            ("apt-get", "install") => self.install(&words, simulated),
            ("apt-get", "purge") => {
                self.with(|state| state.configured.retain(|name| !words.contains(&name.as_str())));
                self.write_status();
                ended(0, String::new(), String::new())
            }
            ("dpkg", "--configure") => {
                fs::remove_file(self.folder.path().join("root/var/lib/dpkg/updates/0001"))?;
                ended(0, String::new(), String::new())
            }
            _ => ended(0, String::new(), String::new()),
        }
    }
}

impl Machine {
    fn install(&self, words: &[&str], simulated: bool) -> io::Result<Finished> {
        let refused: Vec<String> = self.with(|state| {
            words
                .iter()
                .filter(|word| state.refused.contains(**word))
                .map(|word| (*word).to_owned())
                .collect()
        });
        if let Some(refused) = refused.first() {
            return ended(100, String::new(), format!("E: {refused} cannot be installed\n"));
        }
        if simulated {
            let lines =
                words.iter().filter(|word| !word.ends_with('-')).map(|word| format!("Inst {word} (1 x)\n"));
            return ended(0, lines.collect(), String::new());
        }
        let lost: String = self.with(|state| {
            let lost = words.iter().filter(|word| state.unfetchable.contains(**word));
            lost.map(|word| format!("E: Failed to fetch http://x/{word}_1_all.deb  404  Not Found\n"))
                .collect()
        });
        if !lost.is_empty() {
            return ended(100, String::new(), lost);
        }
        let mut errors = String::new();
        self.with(|state| {
            for word in words {
                let (name, version) = word.split_once('=').unwrap_or((word, ""));
                if let Some(name) = name.strip_suffix('-') {
                    state.installed.remove(name);
                    if state.configurable.contains(name) {
                        state.configured.insert(name.to_owned());
                    }
                } else if state.broken.contains(name) {
                    errors.push_str(&format!(
                        "dpkg: error processing package {name} (--configure):\n it broke\n"
                    ));
                } else {
                    let candidate = state.index.get(name).copied().unwrap_or_default();
                    let version = if version.is_empty() { candidate } else { version };
                    state.installed.insert(name.to_owned(), version.to_owned());
                }
            }
        });
        self.write_status();
        if errors.is_empty() {
            return ended(0, String::new(), String::new());
        }
        ended(
            100,
            String::new(),
            format!("{errors}E: Sub-process /usr/bin/dpkg returned an error code (1)\n"),
        )
    }
}

use PackageAction::{Hold, Install, InstallVersion, Latest, MarkAuto, MarkManual, Purge, Remove, Unhold};

#[test]
fn several_requests_are_one_transaction() {
    let machine = Machine::new(&[("a", "1"), ("b", "2"), ("c", "3")]);
    machine.with(|state| state.installed.insert("gone".into(), "1".into()));
    machine.write_status();
    let done = machine.transact(&[
        ("a", Install),
        ("gone", Remove),
        ("b", InstallVersion("2*".into())),
        ("b", Hold),
        ("c", Latest),
        ("dpkg", Install),
    ]);
    assert!(done.results.iter().all(Result::is_ok) && done.notes.is_empty(), "{done:?}");
    assert_eq!(
        machine.ran(),
        ["apt-cache policy a b c", "apt-get install a gone- b=2 c", "dpkg --set-selections < b hold"]
    );
    // Again there is nothing to do but to say what is held.
    machine.transact(&[("a", Install), ("b", InstallVersion("2*".into())), ("gone", Remove)]);
    assert_eq!(machine.ran(), [""; 0]);
}

#[test]
fn the_index_is_refreshed_only_for_an_unknown_name() {
    let machine = Machine::new(&[("a", "1")]).old();
    machine.with(|state| state.source.insert("new", "1"));
    machine.transact(&[("a", Install)]);
    assert_eq!(machine.ran(), ["apt-cache policy a", "apt-get install a"]);
    assert!(machine.transact(&[("new", Install)]).results[0].is_ok());
    assert_eq!(
        machine.ran(),
        ["apt-cache policy a new", "apt-get update", "apt-cache policy a new", "apt-get install new"]
    );
    // An index that is fresh now is believed.
    let error = machine.transact(&[("nee", Install)]).results.remove(0).unwrap_err();
    assert_eq!(error.message, "there is no package `nee` in the index of packages");
    assert_eq!(error.hint.as_deref(), Some("did you mean `new`?"));
    assert!(!machine.ran().contains(&"apt-get update".to_owned()));
}

#[test]
fn what_is_unknown_or_refused_fails_alone() {
    let machine = Machine::new(&[("a", "1"), ("bad", "1"), ("b", "1")]);
    machine.with(|state| state.refused.insert("bad"));
    let done = machine.transact(&[
        ("a", Install),
        ("bad", Install),
        ("missing", Install),
        ("b", InstallVersion("7*".into())),
        ("b", Install),
    ]);
    let good: Vec<bool> = done.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, false, true]);
    assert!(done.results[1].as_ref().unwrap_err().message.contains("bad cannot be installed"));
    let version = done.results[3].as_ref().unwrap_err();
    assert_eq!(version.hint.as_deref(), Some("the index has 1"));
    let installs: Vec<String> =
        machine.ran().into_iter().filter(|line| line.starts_with("apt-get install ")).collect();
    assert_eq!(installs.first().unwrap(), "apt-get install a bad b");
    assert_eq!(installs.last().unwrap(), "apt-get install a b");
}

#[test]
fn an_index_that_promises_too_much_is_refreshed_once() {
    let machine = Machine::new(&[("a", "1"), ("lost", "1")]);
    machine.with(|state| state.unfetchable.insert("lost"));
    let done = machine.transact(&[("a", Install), ("lost", Install)]);
    assert!(done.results[0].is_ok() && done.results[1].is_err());
    assert_eq!(done.notes.len(), 1);
    let ran = machine.ran();
    assert_eq!(ran.iter().filter(|line| *line == "apt-get update").count(), 1);
    assert_eq!(ran.last().unwrap(), "apt-get install a");
}

#[test]
fn dpkgs_failure_is_told_for_the_package_it_struck() {
    let machine = Machine::new(&[("a", "1"), ("bad", "1")]);
    machine.with(|state| state.broken.insert("bad"));
    let done = machine.transact(&[("a", Install), ("bad", Install)]);
    assert!(done.results[0].is_ok());
    assert_eq!(done.results[1].as_ref().unwrap_err().message, "dpkg failed at `bad`: it broke");
}

#[test]
fn an_interrupted_installation_is_brought_to_its_end_first() {
    let machine = Machine::new(&[("a", "1")]);
    fs::write(machine.folder.path().join("root/var/lib/dpkg/updates/0001"), b"x").unwrap();
    let done = machine.transact(&[("a", Install)]);
    assert!(done.results[0].is_ok());
    assert!(done.notes[0].contains("interrupted"), "{:?}", done.notes);
    assert_eq!(machine.ran()[0], "dpkg --configure -a --force-confdef --force-confold");
}

#[test]
fn holds_are_set_after_and_released_before() {
    let machine = Machine::new(&[("a", "1")]);
    machine.transact(&[("a", Install), ("a", Unhold)]);
    assert_eq!(
        machine.ran(),
        ["apt-cache policy a", "dpkg --set-selections < a install", "apt-get install a"]
    );
}

#[test]
fn only_what_left_something_behind_is_purged() {
    let machine = Machine::new(&[("a", "1")]);
    for (configurable, expected) in
        [(&["a"][..], &["apt-get install a-", "apt-get purge a"][..]), (&[], &["apt-get install a-"])]
    {
        machine.transact(&[("a", Install)]);
        machine.with(|state| state.configurable = configurable.iter().copied().collect());
        machine.ran();
        machine.transact(&[("a", Purge)]);
        assert_eq!(machine.ran(), expected);
    }
}

#[test]
fn marks_are_set_after_an_installation_and_only_where_they_differ() {
    let machine = Machine::new(&[("a", "2"), ("b", "1")]);
    machine.with(|state| state.installed.insert("b".into(), "1".into()));
    machine.write_status();
    machine.transact(&[
        ("a", InstallVersion("2".into())),
        ("a", MarkAuto),
        ("b", MarkManual),
        ("missing", MarkAuto),
    ]);
    assert_eq!(machine.ran(), ["apt-cache policy a", "apt-get install a=2", "apt-mark auto a"]);
}

#[test]
fn what_goes_unasked_is_noted() {
    let machine = Machine::new(&[("a", "1")]);
    machine.with(|state| state.installed.insert("bystander".into(), "1".into()));
    machine.write_status();
    let done = machine.with_apt(|apt| {
        let transaction = transaction(&[("a", Install)]);
        // Taken away by apt while it installs.
        let _ = apt.database();
        machine.with(|state| state.installed.remove("bystander"));
        apt.transact(&transaction)
    });
    assert_eq!(done.notes, ["apt also removed bystander"]);
}

/// A source that came after the index may have a newer version of what the index knows.
#[test]
fn an_index_older_than_its_sources_is_refreshed_before_an_installation() {
    let machine = Machine::new(&[("a", "1")]);
    let sources = machine.folder.path().join("root/etc/apt/sources.list.d");
    fs::create_dir_all(&sources).unwrap();
    machine.transact(&[("a", Remove), ("dpkg", Install)]);
    assert_eq!(machine.ran(), [""; 0]);
    let machine = machine.old();
    let keyrings = machine.folder.path().join("root/etc/apt/keyrings");
    for folder in [sources, keyrings] {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("new"), b"x").unwrap();
        // The kernel's own times are a few milliseconds coarse: both folders could have the same.
        let new = fs::File::options().write(true).open(folder.join("new")).unwrap();
        new.set_modified(std::time::SystemTime::now()).unwrap();
        machine.with(|state| state.source.insert("a", "2"));
        machine.transact(&[("a", Latest)]);
        let ran = machine.ran();
        assert!(ran.len() > 1, "{ran:?} {}", folder.display());
        assert_eq!(ran[..2], ["apt-get update", "apt-cache policy a"], "{}", folder.display());
        for path in ["partial", ""] {
            let lists = machine.folder.path().join("root/var/lib/apt/lists").join(path);
            let before = std::time::SystemTime::now() - Duration::from_secs(3600);
            fs::File::open(lists).unwrap().set_modified(before).unwrap();
        }
    }
}

/// Nothing of the node is changed by a plan: it simulates, and refreshes a copy of the index.
#[test]
fn a_prediction_changes_nothing() {
    let machine = Machine::new(&[("a", "1")]).old();
    machine.with(|state| state.source.extend([("new", "1"), ("bad", "1")]));
    machine.with(|state| state.refused.insert("bad"));
    let wanted = transaction(&[("a", Install), ("new", Install), ("bad", Install), ("missing", Install)]);
    let predicted = machine.with_apt(|apt| apt.predict(&[], &wanted));
    let good: Vec<bool> = predicted.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false]);
    assert!(predicted.results[3].as_ref().unwrap_err().unknown);
    assert_eq!(predicted.installed.keys().collect::<Vec<_>>(), ["a", "new"]);
    for line in machine.ran() {
        let harmless = line.starts_with("apt-cache ") || line.contains(" -s") || line.contains(" copy");
        assert!(harmless, "{line}");
    }
    assert!(machine.folder.path().join("own/lists/x_Packages").exists());
    // What a plan foresees for one package rests on those before it.
    let before = [PackageRequest { name: "a".into(), action: Install }];
    machine.with_apt(|apt| apt.predict(&before, &transaction(&[("new", Install)])));
    assert_eq!(machine.ran().last().unwrap(), "apt-get install -s copy a new");
}

/// A source that does not answer takes its time; twenty packages must not wait for it twenty times.
#[test]
fn a_refresh_that_failed_is_not_tried_again_at_once() {
    let machine = Machine::new(&[]).old();
    let root = machine.folder.path().join("root");
    fs::remove_file(root.join("var/lib/apt/lists/x_Packages")).unwrap();
    struct Unreachable<'a>(&'a Machine);
    impl Commands for Unreachable<'_> {
        fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
            if command.argv[1] == "update" {
                self.0.with(|state| state.ran.push("update".into()));
                return ended(
                    100,
                    String::new(),
                    "E: Failed to fetch http://x  Could not resolve 'x'\n".into(),
                );
            }
            self.0.run(command)
        }
    }
    let commands = Unreachable(&machine);
    let own: &Path = &machine.folder.path().join("own");
    let apt = Apt { commands: &commands, root: &root, own, dpkg: &machine.dpkg, index: &machine.index };
    for _ in 0..3 {
        let error = apt.transact(&transaction(&[("a", Install)])).results.remove(0).unwrap_err();
        assert!(error.message.contains("Could not resolve"), "{}", error.message);
    }
    assert_eq!(machine.ran().iter().filter(|line| *line == "update").count(), 1);
}
