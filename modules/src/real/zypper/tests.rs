//! On a real root, with Debian's zypper and the packages that dnf is tested with.

use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::{
    Real,
    node::{
        Command, Finished,
        PackageAction::{self, *},
        Transacted,
    },
    real::{
        dnf::tests::{PACKAGES, built, transaction},
        manager::Managed,
    },
};

struct Machine {
    folder: TempDir,
    state: ManagerState,
    ran: Mutex<Vec<String>>,
}

impl Commands for Machine {
    fn run(&self, command: &Command<'_>) -> io::Result<Finished> {
        self.ran.lock().unwrap().push(command.argv.join(" "));
        let env = [("HOME".to_owned(), self.folder.path().join("home").display().to_string())];
        Real::new().run(&Command {
            argv: command.argv.clone(),
            env: env.into(),
            changes: command.changes,
            deadline: command.deadline,
            ..Command::query(&[])
        })
    }
}

impl Machine {
    fn new() -> Self {
        let built = built().expect("rpmbuild and root are needed");
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repository");
        fs::create_dir(&repository).unwrap();
        for (name, version, _) in PACKAGES {
            let file = format!("{name}-{version}-1.noarch.rpm");
            fs::copy(built.join("rpms/noarch").join(&file), repository.join(file)).unwrap();
        }
        assert!(
            std::process::Command::new("createrepo_c").arg("-q").arg(&repository).status().unwrap().success()
        );
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::write(folder.path().join("home/.rpmmacros"), "%_dbpath /var/lib/rpm\n").unwrap();
        fs::create_dir_all(folder.path().join("root/etc/zypp/repos.d")).unwrap();
        let source =
            format!("[own]\nname=own\nbaseurl=file://{}\nenabled=1\ngpgcheck=0\n", repository.display());
        fs::write(folder.path().join("root/etc/zypp/repos.d/own.repo"), source).unwrap();
        Self { folder, state: ManagerState::default(), ran: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&Managed<'_>) -> T) -> T {
        let root = self.folder.path().join("root");
        let driver = Zypper { commands: self, root: &root, state: &self.state };
        act(&Managed {
            driver: &driver,
            root: &root,
            own: &root.join("var/lib/cm/zypper"),
            index: &self.state.index,
        })
    }

    fn transact(&self, requests: &[(&str, PackageAction)]) -> Transacted {
        self.with(|zypper| zypper.transact(&transaction(requests)))
    }

    fn good(&self, requests: &[(&str, PackageAction)]) -> Vec<String> {
        let transacted = self.transact(requests);
        assert!(transacted.results.iter().all(Result::is_ok), "{:#?}", transacted.results);
        transacted.notes
    }

    fn shown(&self) -> Vec<String> {
        let list = self.with(|zypper| zypper.driver.database()).unwrap().all_installed();
        let show = |(name, package): (String, crate::node::InstalledPackage)| {
            let auto = if package.manual { "" } else { " auto" };
            let held = if package.held { " held" } else { "" };
            format!("{name} {}{auto}{held}", package.version)
        };
        list.into_iter().map(show).collect()
    }
}

#[test]
#[ignore = "Debian's zypper and dnf-plugins-core cannot be installed together; run it after apt-get install zypper"]
fn packages_come_move_are_marked_held_and_go() {
    let machine = Machine::new();
    let wanted =
        [("a", InstallVersion("1.*".into())), ("app", Install), ("bad", Install), ("nobody", Install)];
    let predicted = machine.with(|zypper| zypper.predict(&[], &transaction(&wanted)));
    let good: Vec<bool> = predicted.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false], "{:#?}", predicted.results);
    assert_eq!(predicted.installed.keys().collect::<Vec<_>>(), ["a", "app", "lib"]);
    assert_eq!(machine.shown(), [""; 0]);
    assert!(
        !machine.folder.path().join("root/var/cache/zypp/raw/own").exists(),
        "the plan refreshed the index"
    );
    let done = machine.transact(&wanted);
    let good: Vec<bool> = done.results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false], "{:#?}", done.results);
    let message = &done.results[2].as_ref().unwrap_err().message;
    assert!(message.ends_with("nothing provides nowhere needed by bad-1.0-1.noarch"), "{message}");
    assert_eq!(machine.shown(), ["a 1.0-1", "app 1.0-1", "lib 1.0-1 auto"]);
    machine.ran.lock().unwrap().clear();
    machine.good(&[("app", Install), ("a", InstallVersion("1.0-1".into()))]);
    assert_eq!(*machine.ran.lock().unwrap(), [""; 0]);
    machine.good(&[("a", Latest), ("a", Hold), ("lib", MarkManual), ("app", MarkAuto)]);
    assert_eq!(machine.shown(), ["a 2.0-1 held", "app 1.0-1 auto", "lib 1.0-1"]);
    machine.good(&[("a", InstallVersion("1.0-1".into()))]);
    assert_eq!(machine.shown()[0], "a 1.0-1 held");
    machine.good(&[("a", Unhold)]);
    // One that conflicts comes in the place of one that goes.
    assert_eq!(machine.good(&[("rival", Install), ("a", Remove)]), [""; 0]);
    assert_eq!(machine.good(&[("lib", Remove)]), ["zypper also removed app"]);
    assert_eq!(machine.shown(), ["rival 1.0-1"]);
    let done = machine.transact(&[("broken", Install)]);
    let problem = done.results[0].as_ref().unwrap_err();
    assert!(
        problem.message.starts_with("zypper failed at `broken`: ")
            || problem.message.ends_with("it is broken"),
        "{}",
        problem.message
    );
    let newest = machine.with(|zypper| zypper.candidates(&["a".into()])).unwrap();
    assert_eq!(newest["a"], "2.0-1");
}
