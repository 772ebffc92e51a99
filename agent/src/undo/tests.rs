//! Runs, rollbacks, cleanups and prunings over real files in a temporary folder.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use cm_modules::{Contents, Problem, Real, node::Content};
use cm_wire::{Begin, ContentRef, Digest, Event, Mode, Outcome, Task, Undo, Value};

use crate::{
    contents::{ContentStore, FromJournal},
    journal::Journal,
    outbox::Outbox,
    runner::{self, CatalogError, Surroundings},
    state_dir::StateDir,
};

mod modules;

struct Host {
    _folder: tempfile::TempDir,
    root: PathBuf,
    state: StateDir,
    /// What the controller would send.
    shelf: Mutex<HashMap<Digest, String>>,
}

struct FromShelf<'a> {
    host: &'a Host,
    journal: FromJournal<'a>,
}

impl Contents for FromShelf<'_> {
    fn fetch(&self, digest: &Digest, size: u64) -> Result<Content, Problem> {
        match self.host.shelf.lock().unwrap().get(digest) {
            Some(content) => Ok(Content::Bytes(content.clone().into_bytes())),
            None => self.journal.fetch(digest, size),
        }
    }

    fn program(&self, digest: &Digest, size: u64) -> Result<PathBuf, Problem> {
        self.journal.journal.programs().get(digest, || self.fetch(digest, size))
    }
}

/// What a run said.
#[derive(Debug, Default)]
struct Said {
    ended: Vec<(String, Outcome)>,
    notes: Vec<String>,
    orphans: Vec<String>,
}

impl Said {
    fn changed(&self) -> Vec<&str> {
        let changed = self.ended.iter().filter(|(_, outcome)| *outcome == Outcome::Changed);
        let mut names: Vec<&str> = changed.map(|(id, _)| id.rsplit('/').next().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let state = StateDir::at(folder.path().join("cm"));
        state.prepare().unwrap();
        Self { root, state, shelf: Mutex::default(), _folder: folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn file(&self, role: &str, name: &str, content: &str) -> Task {
        let path = self.path(name).display().to_string();
        let digest = Digest::of(content.as_bytes());
        self.shelf.lock().unwrap().insert(digest, content.to_owned());
        let content = Value::Content(ContentRef { digest, size: content.len() as u64 });
        Task {
            role: role.into(),
            params: [("path".to_owned(), path.as_str().into()), ("content".to_owned(), content)].into(),
            ..Task::new(&format!("file:{path}"), "file")
        }
    }

    fn directory(&self, role: &str, name: &str) -> Task {
        let path = self.path(name).display().to_string();
        Task {
            role: role.into(),
            params: [("path".to_owned(), path.as_str().into())].into(),
            ..Task::new(&format!("directory:{path}"), "directory")
        }
    }

    fn run(&self, begin: Begin, tasks: Vec<Task>) -> Result<Said, Vec<String>> {
        let journal = Journal::open(&self.state, 0).unwrap();
        if begin.mode == Mode::Apply {
            journal.begin(&begin.run, &begin.holder, 1);
        }
        let real = Real::new();
        let image = cm_modules::Overlay::new(&real);
        let outbox = Outbox::to_nobody();
        let store = ContentStore::new(self.state.spool(), outbox);
        store.close();
        let contents = FromShelf { host: self, journal: FromJournal { journal: &journal, store: &store } };
        let names = Mutex::new(tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>());
        let said = Mutex::new(Said::default());
        let send = |event| {
            let mut said = said.lock().unwrap();
            match event {
                Event::Ended(result) => {
                    let id = names.lock().unwrap()[result.task as usize].clone();
                    said.ended.push((id, result.outcome));
                }
                Event::Note(note) => said.notes.push(note),
                Event::Orphan { item, .. } => said.orphans.push(item),
                _ => {}
            }
        };
        let around = Surroundings {
            node: if begin.mode == Mode::Plan { &image } else { &real },
            journal: &journal,
            contents: &contents,
            store: &store,
            send: &send,
            flush: &|| {},
            announce: &|added| {
                names.lock().unwrap().extend(added.into_iter().map(|added| added.id));
            },
            guard: None,
            looked: &|_| {},
            confirm: &|_| {},
            restart: &|_, _| "not here".into(),
            stopping: &|| false,
        };
        let outcome = runner::run(&begin, tasks, around);
        if begin.mode == Mode::Apply {
            journal.finish(&begin.run).unwrap();
        }
        match outcome {
            Ok(_) => Ok(said.into_inner().unwrap()),
            Err(CatalogError::Undo(reasons)) => Err(reasons),
            Err(error) => panic!("{error}"),
        }
    }

    fn apply(&self, run: &str, tasks: Vec<Task>) -> Said {
        self.run(begin(run, None), tasks).unwrap()
    }

    fn undo(&self, run: &str, undo: Undo) -> Result<Said, Vec<String>> {
        let plan = Begin { mode: Mode::Plan, ..begin(run, Some(undo.clone())) };
        let planned = self.run(plan, Vec::new())?;
        let done = self.run(begin(run, Some(undo)), Vec::new())?;
        assert_eq!(planned.changed(), done.changed(), "the plan is exact");
        Ok(done)
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }
}

fn begin(run: &str, undo: Option<Undo>) -> Begin {
    Begin { diff: true, undo, ..Begin::new(run, "somebody", Mode::Apply) }
}

fn of_run(run: &str) -> Undo {
    Undo::Run { run: run.into(), later: false, force: false }
}

fn of_role(role: &str) -> Undo {
    Undo::Roles(vec![role.into()])
}

#[test]
fn a_run_is_taken_back_and_the_one_before_it_stands() {
    let host = Host::new();
    fs::write(host.path("theirs"), "theirs").unwrap();
    host.apply("1", vec![host.file("web", "a", "one"), host.file("web", "theirs", "one")]);
    host.apply("2", vec![host.file("web", "a", "two"), host.file("web", "b", "two")]);
    let said = host.undo("3", of_run("2")).unwrap();
    assert_eq!(said.changed(), ["a", "b"]);
    assert_eq!((host.read("a"), host.read("b")), (Some("one".into()), None));
    host.undo("4", of_run("1")).unwrap();
    assert_eq!((host.read("a"), host.read("theirs")), (None, Some("theirs".into())));
    // A rollback is a run, and can be taken back.
    host.undo("5", of_run("4")).unwrap();
    assert_eq!((host.read("a"), host.read("theirs")), (Some("one".into()), Some("one".into())));
}

#[test]
fn what_a_rollback_of_a_rollback_put_there_belongs_to_whoever_wants_it() {
    let host = Host::new();
    host.apply("1", vec![host.file("web", "a", "one")]);
    host.undo("2", of_run("1")).unwrap();
    host.undo("3", of_run("2")).unwrap();
    host.apply("4", vec![host.file("web", "a", "one")]);
    host.undo("5", of_role("web")).unwrap();
    assert_eq!(host.read("a"), None);
}

#[test]
fn what_somebody_else_changed_is_refused_by_name_and_forced_keeps_it_beside() {
    let host = Host::new();
    host.apply("1", vec![host.file("web", "a", "one"), host.file("web", "b", "one")]);
    fs::write(host.path("a"), "by hand").unwrap();
    let reasons = host.undo("2", of_run("1")).unwrap_err();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("/a was changed by somebody else"), "{reasons:?}");
    assert!(host.read("b").is_some());
    let force = Undo::Run { run: "1".into(), later: false, force: true };
    host.undo("3", force).unwrap();
    assert_eq!((host.read("a"), host.read("b")), (None, None));
    assert_eq!(host.read("a.cm-kept").as_deref(), Some("by hand"));
}

#[test]
fn later_runs_are_taken_back_where_they_changed_the_same_and_elsewhere_only_if_asked() {
    let host = Host::new();
    host.apply("1", vec![host.file("web", "a", "one")]);
    host.apply("2", vec![host.file("web", "a", "two"), host.file("web", "b", "two")]);
    let said = host.undo("3", of_run("1")).unwrap();
    assert!(said.notes.iter().any(|note| note.contains("later runs")), "{:?}", said.notes);
    assert_eq!((host.read("a"), host.read("b")), (None, Some("two".into())));
    host.undo("4", of_run("3")).unwrap();
    host.undo("5", Undo::Run { run: "1".into(), later: true, force: false }).unwrap();
    assert_eq!((host.read("a"), host.read("b")), (None, None));
}

#[test]
fn a_role_goes_but_for_what_another_shares_and_what_others_put_there() {
    let host = Host::new();
    fs::create_dir(host.path("old")).unwrap();
    fs::write(host.path("old/conf"), "before").unwrap();
    host.apply(
        "1",
        vec![
            host.directory("web", "made"),
            Task { after: vec![0], ..host.file("web", "made/a", "a") },
            host.file("web", "old/conf", "web's"),
            host.file("web", "shared", "both"),
        ],
    );
    host.apply("2", vec![host.file("db", "shared", "both")]);
    fs::write(host.path("made/log"), "of the service").unwrap();
    let said = host.undo("3", of_role("web")).unwrap();
    assert_eq!(host.read("old/conf").as_deref(), Some("before"));
    assert_eq!(host.read("shared").as_deref(), Some("both"));
    assert_eq!((host.read("made/a"), host.read("made/log").is_some()), (None, true));
    let told = said.notes.join("\n");
    assert!(
        told.contains("role db wants it too") && told.contains("stays: it holds what cm did not put there")
    );
    // Nothing is left to take back.
    assert!(host.undo("4", of_role("web")).unwrap().changed().is_empty());
    host.undo("5", Undo::Roles(Vec::new())).unwrap();
    assert_eq!(host.read("shared"), None);
}

#[test]
fn a_role_that_comes_again_is_taken_back_to_what_was_there_then() {
    let host = Host::new();
    fs::write(host.path("conf"), "first").unwrap();
    host.apply("1", vec![host.file("web", "conf", "web's")]);
    host.undo("2", of_role("web")).unwrap();
    fs::write(host.path("conf"), "second").unwrap();
    host.apply("3", vec![host.file("web", "conf", "web's")]);
    host.undo("4", of_role("web")).unwrap();
    assert_eq!(host.read("conf").as_deref(), Some("second"));
}

#[test]
fn orphans_are_told_and_pruned_only_if_asked() {
    let host = Host::new();
    host.apply("1", vec![host.file("web", "a", "a"), host.file("web", "b", "b"), host.file("db", "c", "c")]);
    let whole = |run: &str, prune: &[&str]| Begin {
        whole_roles: vec!["web".into()],
        prune: prune.iter().map(|&role| role.to_owned()).collect(),
        ..begin(run, None)
    };
    let said = host.run(whole("2", &[]), vec![host.file("web", "a", "a")]).unwrap();
    assert_eq!(said.orphans.len(), 1);
    assert!(said.orphans[0].ends_with("/b"));
    assert!(host.read("b").is_some());
    let said = host.run(whole("3", &["web"]), vec![host.file("web", "a", "a")]).unwrap();
    assert_eq!(said.changed(), ["b"]);
    assert_eq!((host.read("a").is_some(), host.read("b"), host.read("c").is_some()), (true, None, true));
    let said = host.run(whole("4", &[]), vec![host.file("web", "a", "a")]).unwrap();
    assert!(said.orphans.is_empty());
}

#[test]
fn a_run_that_was_cut_off_before_or_after_its_change_is_taken_back_all_the_same() {
    let host = Host::new();
    fs::write(host.path("a"), "before").unwrap();
    host.apply("1", vec![host.file("web", "a", "one")]);
    // What a crash takes along: everything that was not synced, here all that followed the change.
    let journal = fs::read(host.state.journal()).unwrap();
    // From the back: contents that a shorter journal does not speak of are swept away.
    for cut in (9..journal.len()).rev() {
        fs::write(host.state.journal(), &journal[..cut]).unwrap();
        fs::write(host.path("a"), "one").unwrap();
        let knows = Journal::open(&host.state, 0).unwrap().read(|ledger| !ledger.items.is_empty());
        let said = host.undo("2", of_run("1"));
        if knows {
            said.unwrap();
            assert_eq!(host.read("a").as_deref(), Some("before"), "cut at {cut}");
        } else {
            assert_eq!(host.read("a").as_deref(), Some("one"), "cut at {cut}");
        }
    }
}

#[test]
fn an_unknown_run_changes_nothing_and_says_so() {
    let host = Host::new();
    let said = host.undo("2", of_run("1")).unwrap();
    assert!(said.notes[0].contains("knows of no change by run 1"), "{:?}", said.notes);
    assert!(Path::new(&host.state.journal()).metadata().is_err());
}
