//! What a node says of files in a temporary folder that are not as wanted.

use std::{fs, path::PathBuf};

use cm_modules::Real;
use cm_wire::{ContentRef, Value};

use super::*;
use crate::{journal::Record, state_dir::StateDir};

struct Node {
    _folder: tempfile::TempDir,
    file: PathBuf,
    journal: Journal,
    real: Real,
    applied: AppliedTasks,
}

fn file(path: &std::path::Path, content: &str, more: &[(&str, &str)]) -> Task {
    let path = path.display().to_string();
    let mut task = Task::new(&format!("file:{path}"), "file");
    let digest = Digest::of(content.as_bytes());
    task.params.insert("path".into(), path.as_str().into());
    let content = ContentRef { digest, size: content.len() as u64 };
    task.params.insert("content".into(), Value::Content(content));
    task.params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    task
}

impl Node {
    /// A node on which run 1 has applied a task.
    fn new(task: impl Fn(&std::path::Path) -> Task) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::at(folder.path().join("cm"));
        state.prepare().unwrap();
        let path = folder.path().join("file");
        let mut node = Self {
            journal: Journal::open(&state, 0).unwrap(),
            real: Real::new(),
            applied: AppliedTasks::default(),
            file: path.clone(),
            _folder: folder,
        };
        node.vouch(&task(&path), "1", 100);
        node
    }

    fn vouch(&mut self, task: &Task, run: &str, time: u64) {
        let entry = Entry {
            roles: vec!["web".into()],
            wanted: wanted(task, std::iter::empty()),
            run: run.into(),
            time,
            undone: None,
            task: Kept::of(task, std::iter::empty(), &[]),
        };
        self.applied.tasks.insert(task.id.clone(), entry);
    }

    fn entry(&mut self) -> &mut Entry {
        self.applied.tasks.values_mut().next().unwrap()
    }

    /// The journal says that a run changed the file to what it is now.
    fn journaled(&self, run: &str, time: u64, ended: bool) {
        let item = Item::of(&cm_modules::Thing::Path(self.file.clone())).unwrap();
        let now = capture(&self.real, &item, None).unwrap();
        let before = Record::Before { item: item.clone(), former: Former::Absent, run: run.into(), time };
        let after = Record::After { item, now, run: run.into() };
        self.journal.suppose(&[before]);
        if ended {
            self.journal.suppose(&[after]);
        }
    }

    /// What is said of a task; the node has just looked at it and found it different.
    fn says(&self, task: &Task) -> Standing {
        let real = Real::new();
        let resource = registry::compile(&task.module, &task.params).unwrap();
        let silent = |_: Stream, _: &str| {};
        let seen = resource.look(&Context {
            node: &real,
            mode: Mode::Verify,
            contents: &KeptOnly(&self.journal),
            diff: false,
            sensitive: task.sensitive,
            at_start: true,
            disturbed: false,
            notices: &[],
            edits: &[],
            deadline: Instant::now() + LOOK_LIMIT,
            run_as: None,
            live: &silent,
            stopping: &|| false,
        });
        let Ok(Seen::Differs(changes)) = seen else { panic!("{seen:?}") };
        let made: Vec<Item> = resource.touches().makes.iter().filter_map(Item::of).collect();
        let knowledge = Knowledge { node: &real, journal: &self.journal, applied: &self.applied };
        knowledge.of(&Asked { task, edits: Vec::new(), class: Class::File, made: &made, changes: &changes })
    }
}

fn attributes(touched: &Touched) -> Vec<&str> {
    match touched {
        Touched::Yes(changes) => changes.iter().map(|change| change.attribute.as_str()).collect(),
        Touched::No => vec!["untouched"],
        Touched::Unknown => vec!["unknown"],
    }
}

#[test]
fn what_is_wanted_as_it_was_and_is_no_more_was_changed_behind_our_back() {
    let node = Node::new(|path| file(path, "one", &[]));
    fs::write(&node.file, "hacked").unwrap();
    let standing = node.says(&file(&node.file, "one", &[]));
    assert!(!standing.moved);
    assert_eq!(attributes(&standing.touched), ["content"]);
    let Touched::Yes(changes) = &standing.touched else { unreachable!() };
    assert!(changes[0].before.as_deref().unwrap().contains("3 bytes"), "before is what there should be");
    assert_eq!(standing.applied.as_ref().unwrap().run, "1");
    let trace = &standing.traces[0];
    assert!(trace.item.ends_with("/file") && trace.modified.is_some() && trace.owner.is_some());
    // A file that is gone is told by its folder.
    fs::remove_file(&node.file).unwrap();
    let standing = node.says(&file(&node.file, "one", &[]));
    assert!(standing.traces[0].log.as_deref().unwrap().starts_with("gone"), "{standing:?}");
}

#[test]
fn what_the_repository_moved_on_from_is_looked_for_as_it_was_wanted_then() {
    let node = Node::new(|path| file(path, "one", &[]));
    fs::write(&node.file, "one").unwrap();
    let standing = node.says(&file(&node.file, "two", &[]));
    assert_eq!((standing.moved, attributes(&standing.touched)), (true, vec!["untouched"]));
    assert!(standing.traces.is_empty());
    fs::write(&node.file, "hacked").unwrap();
    let standing = node.says(&file(&node.file, "two", &[]));
    assert_eq!((standing.moved, attributes(&standing.touched)), (true, vec!["content"]));
}

#[test]
fn a_task_that_was_never_applied_is_untouched_unless_the_journal_knows_better() {
    let node = Node::new(|path| file(path, "one", &[]));
    fs::write(&node.file, "one").unwrap();
    let mut other = file(&node.file, "two", &[]);
    other.id = "another".into();
    let standing = node.says(&other);
    assert_eq!((standing.applied.is_none(), attributes(&standing.touched)), (true, vec!["unknown"]));
    node.journaled("1", 100, true);
    assert_eq!(attributes(&node.says(&other).touched), ["untouched"]);
    fs::write(&node.file, "hacked").unwrap();
    assert_eq!(attributes(&node.says(&other).touched), ["content"]);
}

#[test]
fn what_is_secret_is_compared_with_the_journal_and_never_shown() {
    let secret = |path: &std::path::Path| Task { sensitive: true, ..file(path, "one", &[]) };
    let mut node = Node::new(secret);
    assert!(node.entry().task.is_none());
    fs::write(&node.file, "one").unwrap();
    node.journaled("1", 100, true);
    let moved = Task { sensitive: true, ..file(&node.file, "two", &[]) };
    assert_eq!(attributes(&node.says(&moved).touched), ["untouched"]);
    fs::write(&node.file, "hacked").unwrap();
    let standing = node.says(&moved);
    let Touched::Yes(changes) = &standing.touched else { panic!("{standing:?}") };
    assert_eq!(changes[0].before.as_deref(), Some("[secret]"));
    assert_eq!(changes[0].after.as_deref(), Some("[secret]"));
}

#[test]
fn modes_are_somebodys_business_only_where_the_role_says_them() {
    use std::os::unix::fs::PermissionsExt;
    for (more, wanted) in [(&[][..], vec!["untouched"]), (&[("mode", "0644")], vec!["mode"])] {
        let mut node = Node::new(|path| file(path, "one", more));
        fs::write(&node.file, "one").unwrap();
        fs::set_permissions(&node.file, fs::Permissions::from_mode(0o644)).unwrap();
        node.journaled("1", 100, true);
        fs::set_permissions(&node.file, fs::Permissions::from_mode(0o600)).unwrap();
        // Only the journal is asked about what was taken back.
        node.entry().undone = Some("run 2 took it back".into());
        assert_eq!(attributes(&node.says(&file(&node.file, "two", more)).touched), wanted);
    }
}

#[test]
fn a_run_that_was_cut_off_is_the_reason_itself() {
    let node = Node::new(|path| file(path, "one", &[]));
    fs::write(&node.file, "half").unwrap();
    node.journaled("2", 200, false);
    let standing = node.says(&file(&node.file, "one", &[]));
    let undone = standing.applied.unwrap().undone.unwrap();
    assert!(undone.contains("run 2 was cut off"), "{undone}");
    assert_eq!(standing.touched, Touched::Unknown);
}

#[test]
fn a_restart_that_is_owed_is_nobodys_change() {
    let owed = Change::new("restart", None, Some("file:/x".into()));
    assert_eq!(touched_by(std::slice::from_ref(&owed)), Touched::No);
    let state = Change::new("state", Some("stopped".into()), Some("running".into()));
    let Touched::Yes(changes) = touched_by(&[owed, state]) else { panic!("it was stopped") };
    assert_eq!(changes, [Change::new("state", Some("running".into()), Some("stopped".into()))]);
}
