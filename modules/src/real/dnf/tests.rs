//! On a real root: a folder with rpm's database of its own and a repository of packages built here by rpmbuild.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::{
    Real,
    node::{
        Command, InstalledPackage,
        PackageAction::{self, *},
        PackageRequest, Transacted, Waiting,
    },
    real::manager::Managed,
};

/// Names, versions and what else the packages say.
pub(in crate::real) const PACKAGES: &[(&str, &str, &str)] = &[
    ("a", "1.0", ""),
    ("a", "2.0", ""),
    ("lib", "1.0", "Provides: libx"),
    ("app", "1.0", "Requires: lib"),
    ("bad", "1.0", "Requires: nowhere"),
    ("rival", "1.0", "Conflicts: a"),
    ("broken", "1.0", "%pre -p <lua>\nerror(\"it is broken\")"),
    ("new", "1.0", ""),
];

/// The programs this needs, or why they cannot be used.
fn missing() -> Option<String> {
    let programs = [
        "/usr/bin/dnf",
        "/usr/bin/rpmbuild",
        "/usr/bin/createrepo_c",
        "/usr/lib/python3/dist-packages/dnf-plugins/versionlock.py",
    ];
    if let Some(program) = programs.iter().find(|program| !Path::new(program).exists()) {
        return Some(format!(
            "{program} is not there: apt-get install dnf rpm createrepo-c dnf-plugins-core"
        ));
    }
    (!rustix::process::geteuid().is_root())
        .then(|| "rpm needs root for a root directory of its own".to_owned())
}

/// Says past the test harness's capture that something was not tested; in CI that is a failure.
pub(in crate::real) fn skipped(what: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "\nskipped: {what}: {reason}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs every test, but {reason}");
}

/// All packages, built once.
pub(in crate::real) fn built() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<TempDir>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if let Some(reason) = missing() {
            skipped("dnf on a real root", &reason);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for (name, version, more) in PACKAGES {
            let spec = folder.path().join(format!("{name}-{version}.spec"));
            let text = format!(
                "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n{more}\n\
                 %description\nx\n%files\n"
            );
            fs::write(&spec, text).unwrap();
            let define = |name: &str, value: &str| format!("{name} {}", folder.path().join(value).display());
            let made = std::process::Command::new("rpmbuild")
                .args(["-bb", "--quiet", "--define", &define("_topdir", "build")])
                .args(["--define", &define("_rpmdir", "rpms")])
                .arg(&spec)
                .env("HOME", folder.path())
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        Some(folder)
    });
    built.as_ref().map(TempDir::path)
}

/// A root directory with a repository.
struct Machine {
    folder: TempDir,
    state: ManagerState,
    /// Command lines, as they came.
    ran: Mutex<Vec<String>>,
}

impl Machine {
    fn new() -> Option<Self> {
        let built = built()?;
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder, state: ManagerState::default(), ran: Mutex::default() };
        let repository = machine.folder.path().join("repository");
        fs::create_dir(&repository).unwrap();
        for (name, version, _) in PACKAGES.iter().filter(|(name, ..)| *name != "new") {
            let file = format!("{name}-{version}-1.noarch.rpm");
            fs::copy(built.join("rpms/noarch").join(&file), repository.join(file)).unwrap();
        }
        machine.index(&repository);
        // Debian's rpm has its database in the user's home; everybody else's here.
        machine.write("home/.rpmmacros", "%_dbpath /var/lib/rpm\n");
        let plugins = machine.path("root/etc/dnf/plugins");
        machine.write(
            "root/etc/dnf/dnf.conf",
            &format!("[main]\ngpgcheck=0\npluginconfpath={}\n", plugins.display()),
        );
        machine.write("root/etc/dnf/plugins/local.conf", "[main]\nenabled=0\n");
        let list = plugins.join("versionlock.list");
        machine.write(
            "root/etc/dnf/plugins/versionlock.conf",
            &format!("[main]\nenabled=1\nlocklist={}\n", list.display()),
        );
        fs::write(list, "").unwrap();
        machine.source("own", &repository);
        Some(machine)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn index(&self, repository: &Path) {
        let made = std::process::Command::new("createrepo_c").arg("-q").arg(repository).status().unwrap();
        assert!(made.success());
    }

    fn source(&self, name: &str, repository: &Path) {
        self.write(
            &format!("root/etc/yum.repos.d/{name}.repo"),
            &format!("[{name}]\nname={name}\nbaseurl=file://{}\n", repository.display()),
        );
    }

    fn with<T>(&self, act: impl FnOnce(&Managed<'_>) -> T) -> T {
        let (root, own) = (self.path("root"), self.path("root/var/lib/cm/dnf"));
        let driver = Dnf { commands: self, root: &root, own: &own, state: &self.state, five: false };
        act(&Managed { driver: &driver, root: &root, own: &own, index: &self.state.index })
    }

    fn transact(&self, requests: &[(&str, PackageAction)]) -> Transacted {
        self.with(|dnf| dnf.transact(&transaction(requests)))
    }

    fn good(&self, requests: &[(&str, PackageAction)]) -> Vec<String> {
        let transacted = self.transact(requests);
        assert!(transacted.results.iter().all(Result::is_ok), "{:#?}", transacted.results);
        transacted.notes
    }

    fn list(&self) -> BTreeMap<String, InstalledPackage> {
        self.with(|dnf| dnf.driver.database()).unwrap().all_installed()
    }

    /// `name version`, with `auto` and `held` where they are.
    fn shown(&self) -> Vec<String> {
        let show = |(name, package): (String, InstalledPackage)| {
            let auto = if package.manual { "" } else { " auto" };
            let held = if package.held { " held" } else { "" };
            format!("{name} {}{auto}{held}", package.version)
        };
        self.list().into_iter().map(show).collect()
    }

    fn rpm(&self, arguments: &[&str]) {
        let mut command = std::process::Command::new("rpm");
        command.arg("--root").arg(self.path("root")).args(arguments).env("HOME", self.path("home"));
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    fn ran(&self) -> Vec<String> {
        std::mem::take(&mut self.ran.lock().unwrap())
    }
}

impl Commands for Machine {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        self.ran.lock().unwrap().push(command.argv.join(" "));
        let env = [("HOME".to_owned(), self.path("home").display().to_string())];
        Real::new().run(&Command {
            argv: command.argv.clone(),
            env: env.into(),
            changes: command.changes,
            deadline: command.deadline,
            ..Command::query(&[])
        })
    }
}

pub(in crate::real) fn transaction(requests: &[(&str, PackageAction)]) -> Transaction<'static> {
    let request = |(name, action): &(&str, PackageAction)| PackageRequest {
        name: (*name).to_owned(),
        action: action.clone(),
    };
    Transaction {
        requests: requests.iter().map(request).collect(),
        recommends: None,
        deadline: Instant::now() + Duration::from_secs(120),
        waiting: Waiting::default(),
    }
}

#[test]
fn packages_come_move_are_marked_and_go() {
    let Some(machine) = Machine::new() else { return };
    assert_eq!(machine.list(), BTreeMap::new());
    // No index is there yet: it is fetched for the first name.
    assert_eq!(machine.good(&[("a", InstallVersion("1.*".into())), ("app", Install)]), [""; 0]);
    assert_eq!(machine.shown(), ["a 1.0-1", "app 1.0-1", "lib 1.0-1 auto"]);
    let provided = machine.with(|dnf| dnf.driver.database()).unwrap().installed("libx").unwrap();
    assert_eq!(provided.provided_by.as_deref(), Some("lib"));
    let newest = machine.with(|dnf| dnf.candidates(&["a".into(), "lib".into(), "nobody".into()])).unwrap();
    assert_eq!(newest.into_values().collect::<Vec<_>>(), ["2.0-1", "1.0-1"]);
    let matching = machine.with(|dnf| dnf.version_matching("a", "1*")).unwrap();
    assert_eq!(matching.as_deref(), Some("1.0-1"));
    // Nothing is run for what is so.
    machine.ran();
    machine.good(&[
        ("app", Install),
        ("a", InstallVersion("1.0-1".into())),
        ("x", Remove),
        ("libx", Install),
    ]);
    assert_eq!(machine.ran(), [""; 0]);
    machine.good(&[("a", Latest), ("lib", MarkManual), ("app", MarkAuto)]);
    assert_eq!(machine.shown(), ["a 2.0-1", "app 1.0-1 auto", "lib 1.0-1"]);
    // Down again, and as another package's.
    machine.good(&[("a", InstallVersion("1.0-1".into())), ("a", MarkAuto)]);
    assert_eq!(machine.shown()[0], "a 1.0-1 auto");
    assert_eq!(machine.good(&[("lib", Remove)]), ["dnf also removed app"]);
    machine.good(&[("a", Purge)]);
    assert_eq!(machine.shown(), [""; 0]);
}

#[test]
fn what_is_held_moves_only_when_it_is_asked_to() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&[("a", InstallVersion("1.0-1".into())), ("a", Hold)]);
    assert_eq!(machine.shown(), ["a 1.0-1 held"]);
    let refused = machine.transact(&[("a", Latest)]).results.remove(0).unwrap_err();
    assert_eq!(refused.message, "`a` is held at 1.0-1, so it does not become 2.0-1");
    machine.good(&[("lib", Install), ("lib", Hold)]);
    machine.good(&[("a", InstallVersion("2.0-1".into()))]);
    assert_eq!(machine.shown(), ["a 2.0-1 held", "lib 1.0-1 held"]);
    let lock = fs::read_to_string(machine.path("root/etc/dnf/plugins/versionlock.list")).unwrap();
    assert!(lock.contains("a-0:2.0-1.") && !lock.contains("a-0:1.0"), "{lock}");
    machine.good(&[("a", Unhold), ("a", InstallVersion("1.0-1".into()))]);
    assert_eq!(machine.shown(), ["a 1.0-1", "lib 1.0-1 held"]);
}

#[test]
fn without_its_plugin_a_hold_is_told() {
    let Some(machine) = Machine::new() else { return };
    machine.write("root/etc/dnf/plugins/versionlock.conf", "[main]\nenabled=0\n");
    let done = machine.transact(&[("a", Install), ("a", Hold)]);
    assert!(done.results[0].is_ok());
    let problem = done.results[1].as_ref().unwrap_err();
    assert_eq!(problem.message, "a cannot be held: dnf has no plugin `versionlock` here");
}

#[test]
fn what_is_impossible_fails_alone() {
    let Some(machine) = Machine::new() else { return };
    let done = machine.transact(&[
        ("a", Install),
        ("bad", Install),
        ("nobody", Install),
        ("app", InstallVersion("9*".into())),
        ("lib", Install),
    ]);
    let good: Vec<bool> = done.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, false, true], "{:#?}", done.results);
    let message = |index: usize| done.results[index].as_ref().unwrap_err().message.clone();
    assert!(message(1).contains("nothing provides nowhere needed by bad"), "{}", message(1));
    assert_eq!(message(2), "there is no package `nobody` in the index of packages");
    assert_eq!(message(3), "no version of `app` that can be had matches `9*`");
    assert_eq!(machine.shown(), ["a 2.0-1", "lib 1.0-1"]);
    // A script that fails, and what goes on beside it.
    let done = machine.transact(&[("broken", Install), ("app", Install)]);
    let problem = done.results[0].as_ref().unwrap_err();
    assert!(problem.message.starts_with("dnf failed at `broken`: "), "{}", problem.message);
    assert!(done.results[1].is_ok() && machine.shown().contains(&"app 1.0-1".to_owned()));
}

#[test]
fn a_conflicting_package_comes_in_the_place_of_one_that_goes() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&[("a", Install)]);
    let alone = machine.transact(&[("rival", Install)]).results.remove(0).unwrap_err();
    assert!(alone.message.contains("rival-1.0-1.noarch conflicts with a"), "{}", alone.message);
    assert_eq!(machine.good(&[("rival", Install), ("a", Remove)]), [""; 0]);
    assert_eq!(machine.shown(), ["rival 1.0-1"]);
}

#[test]
fn a_prediction_is_what_then_happens_and_changes_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&[("a", InstallVersion("1.0-1".into()))]);
    let wanted = [("a", Latest), ("app", Install), ("bad", Install), ("nobody", Install)];
    machine.ran();
    let predicted = machine.with(|dnf| dnf.predict(&[], &transaction(&wanted)));
    let good: Vec<bool> = predicted.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false], "{:#?}", predicted.results);
    let installed: Vec<_> =
        predicted.installed.iter().map(|(name, version)| format!("{name} {version}")).collect();
    assert_eq!(installed, ["a 2.0-1", "app 1.0-1", "lib 1.0-1"]);
    for line in machine.ran() {
        let harmless = line.contains("repoquery")
            || line.contains("--assumeno")
            || line.contains("cachedir=/var/lib/cm");
        assert!(harmless, "{line}");
    }
    assert_eq!(machine.shown(), ["a 1.0-1"]);
    machine.transact(&wanted);
    assert_eq!(machine.shown(), ["a 2.0-1", "app 1.0-1", "lib 1.0-1 auto"]);
    let before = [PackageRequest { name: "lib".into(), action: Remove }];
    let predicted = machine.with(|dnf| dnf.predict(&before, &transaction(&[("a", Remove)])));
    assert_eq!(predicted.removed.iter().collect::<Vec<_>>(), ["a", "app", "lib"]);
}

#[test]
fn a_new_source_is_noticed_by_apply_and_by_a_plan() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&[("a", Install)]);
    let error = machine.transact(&[("new", Install)]).results.remove(0).unwrap_err();
    assert_eq!(error.message, "there is no package `new` in the index of packages");
    let second = machine.path("second");
    fs::create_dir(&second).unwrap();
    fs::copy(built().unwrap().join("rpms/noarch/new-1.0-1.noarch.rpm"), second.join("new-1.0-1.noarch.rpm"))
        .unwrap();
    machine.index(&second);
    machine.source("second", &second);
    let predicted = machine.with(|dnf| dnf.predict(&[], &transaction(&[("new", Install)])));
    assert!(predicted.results[0].is_ok(), "{:#?}", predicted.results);
    assert!(machine.path("root/var/lib/cm/dnf/index").exists());
    let own_index = || {
        let entries = fs::read_dir(machine.path("root/var/cache/dnf")).unwrap().flatten();
        let second = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("second-");
        entries.filter(|entry| second(entry) && entry.path().is_dir()).count()
    };
    assert_eq!(own_index(), 0, "the plan refreshed the node's own index");
    machine.good(&[("new", Install)]);
    assert_eq!(machine.shown(), ["a 2.0-1", "new 1.0-1"]);
    assert_eq!(own_index(), 1);
}

#[test]
fn an_interrupted_transaction_is_brought_to_its_end_first() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&[("a", InstallVersion("1.0-1".into()))]);
    // As a killed upgrade leaves it: the new one is there, the old one not yet gone.
    let file = built().unwrap().join("rpms/noarch/a-2.0-1.noarch.rpm");
    machine.rpm(&["-i", "--force", file.to_str().unwrap()]);
    let notes = machine.good(&[("lib", Install)]);
    assert_eq!(
        notes,
        [
            "dnf had been interrupted and left two versions of a: `dnf remove --duplicates` took the old ones away first"
        ]
    );
    assert_eq!(machine.shown(), ["a 2.0-1", "lib 1.0-1"]);
}

#[test]
fn a_look_starts_no_program_where_nothing_has_changed() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&[("a", Install)]);
    machine.shown();
    machine.ran();
    assert_eq!(machine.shown(), ["a 2.0-1"]);
    assert_eq!(machine.ran(), [""; 0]);
    // Another run, on the same node.
    let machine = Machine { state: ManagerState::default(), ..machine };
    assert_eq!(machine.shown(), ["a 2.0-1"]);
    assert_eq!(machine.ran(), [""; 0]);
    // Somebody else has changed something.
    machine.rpm(&["-e", "a"]);
    assert_eq!(machine.shown(), [""; 0]);
}

#[test]
fn the_holder_of_the_lock_is_named() {
    let Some(machine) = Machine::new() else { return };
    let mut holder =
        std::process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    machine.write("root/var/lib/dnf/rpmdb_lock.pid", &holder.id().to_string());
    let late = Transaction { deadline: Instant::now(), ..transaction(&[("a", Install)]) };
    let error = machine.with(|dnf| dnf.transact(&late)).results.remove(0).unwrap_err();
    let held = format!("(pid {}", holder.id());
    assert!(error.message.contains(&held) && error.message.contains("holds the lock"), "{}", error.message);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    machine.good(&[("a", Install)]);
}
