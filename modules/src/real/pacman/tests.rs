//! On a real root, with Debian's pacman and a repository made here.

use std::{path::Path, process};

use tempfile::TempDir;

use super::*;
use crate::{
    Real,
    node::{
        PackageAction::{self, *},
        Transacted,
    },
    real::{
        dnf::tests::{skipped, transaction},
        manager::Managed,
    },
};

/// Names, versions and what else the packages say, as .PKGINFO has it.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("a", "2.0-1", ""),
    ("lib", "1.0-1", "provides = libx=1\n"),
    ("app", "1.0-1", "depend = lib\n"),
    ("bad", "1.0-1", "depend = nowhere\n"),
    ("rival", "1.0-1", "conflict = a\n"),
];

struct Machine {
    folder: TempDir,
    state: ManagerState,
    commands: Real,
}

fn tar(folder: &Path, archive: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut tar = process::Command::new("tar");
    tar.arg("-C").arg(folder).arg("-czf").arg(archive).arg("--").args(names);
    assert!(tar.status().unwrap().success());
}

impl Machine {
    fn new() -> Option<Self> {
        if !Path::new("/usr/bin/pacman").exists() {
            skipped(
                "pacman on a real root",
                "/usr/bin/pacman is not there: apt-get install pacman-package-manager",
            );
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            skipped("pacman on a real root", "pacman needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |path: &str| folder.path().join(path);
        for needed in
            ["repository", "index", "root/etc", "root/var/lib/pacman/local", "root/var/cache/pacman/pkg"]
        {
            fs::create_dir_all(path(needed)).unwrap();
        }
        for (name, version, more) in PACKAGES {
            let package = path(&format!("package-{name}"));
            fs::create_dir(&package).unwrap();
            let info = format!(
                "pkgname = {name}\npkgbase = {name}\npkgver = {version}\npkgdesc = x\nurl = x\nbuilddate = 1\n\
                 packager = x\nsize = 0\narch = any\nlicense = MIT\n{more}"
            );
            fs::write(package.join(".PKGINFO"), info).unwrap();
            let file = format!("{name}-{version}-any.pkg.tar.gz");
            let archive = path("repository").join(&file);
            tar(&package, &archive);
            let size = fs::metadata(archive).unwrap().len();
            let block = more.trim().split_once(" = ").map_or_else(String::new, |(key, value)| {
                let plural = match key {
                    "depend" => "DEPENDS",
                    "conflict" => "CONFLICTS",
                    _ => "PROVIDES",
                };
                format!("%{plural}%\n{value}\n\n")
            });
            let entry = path("index").join(format!("{name}-{version}"));
            fs::create_dir(&entry).unwrap();
            let text = format!(
                "%FILENAME%\n{file}\n\n%NAME%\n{name}\n\n%BASE%\n{name}\n\n%VERSION%\n{version}\n\n%DESC%\nx\n\n\
                 %CSIZE%\n{size}\n\n%ISIZE%\n0\n\n%ARCH%\nany\n\n{block}"
            );
            fs::write(entry.join("desc"), text).unwrap();
        }
        tar(&path("index"), &path("repository/own.db"));
        let configuration = format!(
            "[options]\nArchitecture = auto\nSigLevel = Never\n[own]\nServer = file://{}\n",
            path("repository").display()
        );
        fs::write(path("root/etc/pacman.conf"), configuration).unwrap();
        Some(Self { folder, state: ManagerState::default(), commands: Real::new() })
    }

    fn with<T>(&self, act: impl FnOnce(&Managed<'_>) -> T) -> T {
        let root = self.folder.path().join("root");
        let driver = Pacman { commands: &self.commands, root: &root, state: &self.state };
        act(&Managed {
            driver: &driver,
            root: &root,
            own: &root.join("var/lib/cm/pacman"),
            index: &self.state.index,
        })
    }

    fn transact(&self, requests: &[(&str, PackageAction)]) -> Transacted {
        self.with(|pacman| pacman.transact(&transaction(requests)))
    }

    fn good(&self, requests: &[(&str, PackageAction)]) -> Vec<String> {
        let transacted = self.transact(requests);
        assert!(transacted.results.iter().all(Result::is_ok), "{:#?}", transacted.results);
        transacted.notes
    }

    fn shown(&self) -> Vec<String> {
        let list = self.with(|pacman| pacman.driver.database()).unwrap().all_installed();
        let show = |(name, package): (String, crate::node::InstalledPackage)| {
            format!("{name} {}{}", package.version, if package.manual { "" } else { " auto" })
        };
        list.into_iter().map(show).collect()
    }
}

#[test]
fn packages_come_are_marked_and_go() {
    let Some(machine) = Machine::new() else { return };
    let wanted = [
        ("a", InstallVersion("2.*".into())),
        ("app", Install),
        ("bad", Install),
        ("nobody", Install),
        ("lib", InstallVersion("0.9".into())),
    ];
    let expected = [true, true, false, false, false];
    let predicted = machine.with(|pacman| pacman.predict(&[], &transaction(&wanted)));
    let good: Vec<bool> = predicted.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, expected, "{:#?}", predicted.results);
    assert_eq!(predicted.installed.keys().collect::<Vec<_>>(), ["a", "app", "lib"]);
    assert!(
        !machine.folder.path().join("root/var/lib/pacman/sync/own.db").exists(),
        "the plan refreshed the index"
    );
    let done = machine.transact(&wanted);
    let good: Vec<bool> = done.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, expected, "{:#?}", done.results);
    let message = &done.results[2].as_ref().unwrap_err().message;
    assert!(message.ends_with("unable to satisfy dependency 'nowhere' required by bad"), "{message}");
    assert_eq!(done.results[4].as_ref().unwrap_err().hint.as_deref(), Some("the index has 1.0-1"));
    assert_eq!(machine.shown(), ["a 2.0-1", "app 1.0-1", "lib 1.0-1 auto"]);
    machine.good(&[("lib", Install), ("app", MarkAuto)]);
    assert_eq!(machine.shown(), ["a 2.0-1", "app 1.0-1 auto", "lib 1.0-1"]);
    let refused = machine.transact(&[("lib", Remove), ("a", Purge)]);
    let message = &refused.results[0].as_ref().unwrap_err().message;
    assert!(message.ends_with("removing lib breaks dependency 'lib' required by app"), "{message}");
    assert_eq!(refused.results[1], Ok(()));
    machine.good(&[("a", Install)]);
    assert_eq!(machine.good(&[("rival", Install), ("a", Remove), ("app", Remove), ("lib", Remove)]), [""; 0]);
    assert_eq!(machine.shown(), ["rival 1.0-1"]);
    let hold = machine.transact(&[("rival", Hold)]).results.remove(0).unwrap_err();
    assert!(hold.hint.unwrap().contains("IgnorePkg"));
}

#[test]
fn the_lock_of_a_pacman_that_died_is_taken_away() {
    let Some(machine) = Machine::new() else { return };
    let lock = machine.folder.path().join("root").join(LOCK);
    let held = fs::File::create(&lock).unwrap();
    let late = Transaction { deadline: Instant::now(), ..transaction(&[("a", Install)]) };
    let error = machine.with(|pacman| pacman.transact(&late)).results.remove(0).unwrap_err();
    assert!(error.message.contains(&format!("(pid {}", process::id())), "{}", error.message);
    drop(held);
    let notes = machine.good(&[("a", Install)]);
    assert_eq!(notes, ["pacman had been interrupted: took its lock /var/lib/pacman/db.lck away first"]);
}
