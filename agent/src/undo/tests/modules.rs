//! What modules of the repository did, taken back when the repository has forgotten them.

use cm_modules::custom::{Declaration, Undo as How};

use super::*;
use crate::journal::Ledger;

const CONF_KEY: &str = include_str!("../../../../docs/examples/custom-modules/modules/conf_key");

impl Host {
    /// A task of the example `conf_key`, with a program of this version.
    fn key(&self, version: u32, file: &str, key: &str, value: &str) -> Task {
        let program = format!("{CONF_KEY}# version {version}\n");
        let digest = Digest::of(program.as_bytes());
        let size = program.len() as u64;
        self.shelf.lock().unwrap().insert(digest, program);
        let declaration = Declaration {
            name: "conf_key".into(),
            program: ContentRef { digest, size },
            subject: "key".into(),
            identity: vec!["file".into()],
            makes: Vec::new(),
            edits: vec!["path:{{ file }}".into()],
            needs: Vec::new(),
            absent: Some(("state".into(), "absent".into())),
            undo: How::Verb,
            parallel: false,
            timeout: 0,
            programs: [].into(),
            defaults: [("state".to_owned(), "present".into())].into(),
            secrets: Vec::new(),
        };
        let mut params = declaration.constants();
        params.insert("file".into(), self.path(file).display().to_string().into());
        params.insert("key".into(), key.into());
        params.insert("value".into(), value.into());
        Task { role: "app".into(), params, ..Task::new(&format!("conf_key:{key}"), "conf_key") }
    }

    fn absent(&self, version: u32, file: &str, key: &str) -> Task {
        let mut task = self.key(version, file, key, "");
        task.params.insert("state".into(), "absent".into());
        task
    }
}

#[test]
fn what_a_module_made_goes_before_what_it_lies_in() {
    let host = Host::new();
    let tasks = || {
        vec![
            host.directory("app", "made"),
            Task { after: vec![0], ..host.key(1, "made/app.conf", "color", "red") },
            Task { after: vec![1], ..host.key(1, "made/app.conf", "size", "9") },
        ]
    };
    let planned = host.run(Begin { mode: Mode::Plan, ..begin("p", None) }, tasks()).unwrap();
    let outcome = |id: &str| &planned.ended.iter().find(|(known, _)| known == id).unwrap().1;
    // Its program would see the machine as it is.
    assert!(matches!(outcome("conf_key:color"), Outcome::Unknown { .. }), "{planned:?}");
    assert_eq!(host.read("made/app.conf"), None);
    host.apply("1", tasks());
    assert_eq!(host.read("made/app.conf").as_deref(), Some("color=red\nsize=9\n"));
    let again = host.apply("2", tasks());
    assert!(again.changed().is_empty(), "{again:?}");

    host.shelf.lock().unwrap().clear();
    // Whether the directory goes depends on what the program takes out of it.
    let plan = Begin { mode: Mode::Plan, ..begin("3", Some(of_role("app"))) };
    let planned = host.run(plan, Vec::new()).unwrap();
    assert_eq!(planned.changed(), ["app.conf\"", "app.conf\""]);
    let unknown: Vec<&Outcome> = planned.ended.iter().map(|(_, outcome)| outcome).collect();
    assert!(matches!(unknown[2], Outcome::Unknown { .. }), "{planned:?}");
    let done = host.run(begin("3", Some(of_role("app"))), Vec::new()).unwrap();
    assert_eq!(done.changed(), ["app.conf\"", "app.conf\"", "made"]);
    assert!(!host.path("made").exists());
    assert!(host.undo("4", of_role("app")).unwrap().changed().is_empty());
}

#[test]
fn runs_with_different_versions_of_a_module_are_taken_back_one_by_one() {
    let host = Host::new();
    fs::write(host.path("app.conf"), "color=red\nold=1\n").unwrap();
    let first = host.apply("1", vec![host.key(1, "app.conf", "color", "blue")]);
    assert_eq!(first.changed(), ["conf_key:color"]);
    let old = Task { after: vec![0], ..host.absent(2, "app.conf", "old") };
    host.apply("2", vec![host.key(2, "app.conf", "color", "green"), old]);
    assert_eq!(host.read("app.conf").as_deref(), Some("color=green\n"));
    host.shelf.lock().unwrap().clear();
    let journal = Journal::open(&host.state, 0).unwrap();
    journal.read(|ledger| {
        assert_eq!(ledger.calls.len(), 2);
        let mut again = Ledger::default();
        ledger.records().iter().for_each(|record| again.note(record));
        assert_eq!(again.calls, ledger.calls);
    });
    drop(journal);

    // What somebody else has changed since is named.
    fs::write(host.path("app.conf"), "color=pink\n").unwrap();
    let reasons = host.undo("3", of_run("2")).unwrap_err();
    assert!(
        reasons[0].contains("conf_key:color file=") && reasons[0].contains("somebody else"),
        "{reasons:?}"
    );
    fs::write(host.path("app.conf"), "color=green\n").unwrap();
    host.undo("3", of_run("2")).unwrap();
    assert_eq!(host.read("app.conf").as_deref(), Some("color=blue\nold=1\n"));
    host.undo("4", of_role("app")).unwrap();
    assert_eq!(host.read("app.conf").as_deref(), Some("color=red\nold=1\n"));
}

#[test]
fn a_program_that_is_gone_is_told_and_nothing_else_is_hindered() {
    let host = Host::new();
    host.apply("1", vec![host.key(1, "app.conf", "color", "blue"), host.file("app", "other", "x")]);
    host.shelf.lock().unwrap().clear();
    fs::remove_dir_all(host.state.programs()).unwrap();
    let said = host.undo("2", of_role("app")).unwrap();
    assert!(said.notes.iter().any(|note| note.contains("conf_key:color")), "{said:?}");
    assert_eq!((host.read("other"), host.read("app.conf").is_some()), (None, true));
}
