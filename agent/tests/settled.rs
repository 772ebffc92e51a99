//! Runs of a catalog that the node's memory has nothing to say to: what they leave, and that everything that does
//! have something to say is still heard.

mod hearing;

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use cm_agent::{session, state_dir::StateDir};
use cm_wire::{
    Begin, ContentRef, Digest, Event, FromAgent, Mode, Outcome, Standing, Task, ToAgent, Touched, Undo,
    Value, encode,
};

const CONTENTS: [&str; 2] = ["hello\n", "there\n"];

struct Host {
    folder: tempfile::TempDir,
}

/// What a run told.
#[derive(Debug, Default)]
struct Told {
    outcomes: Vec<Outcome>,
    orphans: Vec<String>,
    standings: Vec<Standing>,
}

impl Host {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settled(&self) -> Vec<u8> {
        fs::read(self.path("cm/settled")).unwrap_or_default()
    }

    fn file(&self, role: &str, name: &str, content: &str) -> Task {
        let path = self.path(name).display().to_string();
        let content = ContentRef { digest: Digest::of(content.as_bytes()), size: content.len() as u64 };
        let params = [("path", Value::Text(path.clone())), ("content", Value::Content(content))];
        Task {
            role: role.to_owned(),
            params: params.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Task::new(&format!("file:{path}"), "file")
        }
    }

    fn apply(&self, run: &str, tasks: &[Task]) -> Told {
        self.run(&begin(run, Mode::Apply, tasks), tasks)
    }

    /// One session, as the controller has it: over pipes, a content where one is asked for.
    fn run(&self, begin: &Begin, tasks: &[Task]) -> Told {
        let (input, mut to) = std::io::pipe().unwrap();
        let (from, output) = std::io::pipe().unwrap();
        let state = StateDir::at(self.path("cm"));
        let served = std::thread::spawn(move || session::serve(input, output, state).unwrap());
        let mut say = |message: &ToAgent| to.write_all(&encode(message).unwrap()).unwrap();
        say(&ToAgent::Begin(begin.clone()));
        say(&ToAgent::Tasks(tasks.to_vec()));
        say(&ToAgent::Seal);
        let (mut told, said) = (Told::default(), hearing::messages(from));
        loop {
            match said.recv() {
                Ok(FromAgent::Need(digests)) => digests.into_iter().for_each(|digest| {
                    let content = CONTENTS.iter().find(|content| Digest::of(content.as_bytes()) == digest);
                    let bytes = content.unwrap().as_bytes().to_vec();
                    say(&ToAgent::Content { digest, bytes, last: true });
                }),
                Ok(FromAgent::Events(events)) => events.into_iter().for_each(|event| told.take(event)),
                Ok(FromAgent::Done) => break,
                Ok(FromAgent::Refused(refusal)) => panic!("{refusal:?}"),
                Ok(_) => {}
                Err(_) => panic!("the agent is gone: {told:?}"),
            }
        }
        drop(to);
        served.join().unwrap();
        told
    }
}

impl Told {
    fn take(&mut self, event: Event) {
        match event {
            Event::Ended(result) => self.outcomes.push(result.outcome),
            Event::Orphan { item, .. } => self.orphans.push(item),
            Event::Standing { standing, .. } => self.standings.push(*standing),
            _ => {}
        }
    }
}

fn begin(run: &str, mode: Mode, tasks: &[Task]) -> Begin {
    let whole_roles = tasks.iter().map(|task| task.role.clone()).collect();
    Begin { whole_roles, ..Begin::new(run, "anna@desk", mode) }
}

fn content(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[test]
fn a_run_that_changes_nothing_leaves_word_and_the_next_finds_it() {
    let host = Host::new();
    let tasks = [host.file("web", "a", "hello\n"), host.file("web", "b", "there\n")];
    assert_eq!(host.apply("1", &tasks).outcomes, [Outcome::Changed, Outcome::Changed]);
    assert_eq!(host.settled(), b"", "a run that changed something");
    for run in ["2", "3", "4"] {
        assert_eq!(host.apply(run, &tasks).outcomes, [Outcome::Ok, Outcome::Ok]);
        assert_eq!(host.settled().len(), 8 + 32, "run {run}");
    }
    // Another catalog is another word; the first is still known.
    let both = host.settled();
    assert_eq!(host.apply("5", &tasks[..1]).orphans.len(), 1);
    assert_eq!(host.settled(), both, "there was an orphan");
    let mut verify = begin("6", Mode::Verify, &tasks);
    assert_eq!(host.run(&verify, &tasks).outcomes, [Outcome::Ok, Outcome::Ok]);
    verify.whole_roles.clear();
    assert_eq!(host.run(&verify, &tasks).outcomes, [Outcome::Ok, Outcome::Ok]);
    assert_eq!(host.settled(), both, "a verify leaves nothing");
}

#[test]
fn what_differs_after_all_is_remembered_told_and_taken_back() {
    let host = Host::new();
    let tasks = [host.file("web", "a", "hello\n"), host.file("web", "b", "there\n")];
    for run in ["1", "2", "3"] {
        host.apply(run, &tasks);
    }
    fs::write(host.path("a"), "by hand\n").unwrap();
    let told = host.run(&begin("4", Mode::Verify, &tasks), &tasks);
    let [standing] = &told.standings[..] else { panic!("{told:?}") };
    assert_eq!(standing.applied.as_ref().unwrap().run, "1");
    assert!(matches!(&standing.touched, Touched::Yes(_)), "{standing:?}");
    let outcomes = host.apply("5", &tasks).outcomes;
    assert!(outcomes.contains(&Outcome::Changed) && outcomes.contains(&Outcome::Ok), "{outcomes:?}");
    assert_eq!(content(&host.path("a")).unwrap(), "hello\n");
    let undo = Undo::Run { run: "5".into(), later: false, force: false };
    host.run(&Begin { undo: Some(undo), ..begin("6", Mode::Apply, &[]) }, &[]);
    assert_eq!(content(&host.path("a")).unwrap(), "by hand\n");
    assert_eq!(host.apply("7", &tasks).outcomes.len(), 2);
    assert_eq!(content(&host.path("a")).unwrap(), "hello\n");
}

#[test]
fn what_cannot_be_looked_at_is_vouched_for_no_longer() {
    let host = Host::new();
    fs::create_dir(host.path("d")).unwrap();
    let tasks = [host.file("web", "d/a", "hello\n")];
    for run in ["1", "2", "3"] {
        host.apply(run, &tasks);
    }
    fs::rename(host.path("d"), host.path("moved")).unwrap();
    symlink("d", host.path("d")).unwrap();
    assert!(matches!(host.apply("4", &tasks).outcomes[..], [Outcome::Failed { .. }]));
    fs::remove_file(host.path("d")).unwrap();
    fs::create_dir(host.path("d")).unwrap();
    let told = host.run(&begin("5", Mode::Verify, &tasks), &tasks);
    let undone = told.standings[0].applied.as_ref().unwrap().undone.as_deref();
    assert_eq!(undone, Some("run 4 failed at it"));
}

#[test]
fn what_another_run_wrote_down_in_between_counts() {
    let host = Host::new();
    let tasks = [host.file("web", "a", "hello\n")];
    for run in ["1", "2", "3"] {
        host.apply(run, &tasks);
    }
    let undo = Some(Undo::Roles(vec!["web".into()]));
    host.run(&Begin { undo, ..begin("4", Mode::Apply, &[]) }, &[]);
    assert_eq!(content(&host.path("a")), None);
    fs::write(host.path("a"), "hello\n").unwrap();
    assert_eq!(host.apply("5", &tasks).outcomes, [Outcome::Ok]);
    fs::write(host.path("a"), "by hand\n").unwrap();
    let told = host.run(&begin("6", Mode::Verify, &tasks), &tasks);
    assert_eq!(told.standings[0].applied.as_ref().unwrap().run, "5", "{told:?}");
}

#[test]
fn orphans_are_told_in_every_run() {
    let host = Host::new();
    let tasks = [host.file("web", "a", "hello\n"), host.file("web", "b", "there\n")];
    host.apply("1", &tasks);
    for run in ["2", "3", "4"] {
        assert_eq!(host.apply(run, &tasks[..1]).orphans.len(), 1, "run {run}");
    }
    assert_eq!(host.settled(), b"");
}

#[test]
fn another_role_that_wants_the_same_is_heard() {
    let host = Host::new();
    let (web, db) = ([host.file("web", "a", "hello\n")], [host.file("db", "a", "hello\n")]);
    for (run, tasks) in
        [("1", &web), ("2", &web), ("3", &web), ("4", &db), ("5", &db), ("6", &db), ("7", &web)]
    {
        host.apply(run, tasks);
    }
    let clean = |run: &str, role: &str| {
        let undo = Undo::Roles(vec![role.to_owned()]);
        host.run(&Begin { undo: Some(undo), ..begin(run, Mode::Apply, &[]) }, &[]);
    };
    clean("8", "web");
    assert_eq!(content(&host.path("a")).as_deref(), Some("hello\n"), "the other role wants it");
    clean("9", "db");
    assert_eq!(content(&host.path("a")), None);
}

#[test]
fn a_file_that_is_damaged_or_full_is_none_the_worse() {
    let host = Host::new();
    let tasks = [host.file("web", "a", "hello\n")];
    host.apply("1", &tasks);
    host.apply("2", &tasks);
    for damaged in [&b"x"[..], b"", b"cmsetl01", &host.settled()[..20], &[7; 1000]] {
        fs::write(host.path("cm/settled"), damaged).unwrap();
        assert_eq!(host.apply("3", &tasks).outcomes, [Outcome::Ok]);
        assert_eq!(host.settled().len(), 8 + 32);
    }
    for number in 0..20 {
        let tasks = [Task { retries: number, ..tasks[0].clone() }];
        assert_eq!(host.apply("4", &tasks).outcomes, [Outcome::Ok]);
    }
    assert_eq!(host.settled().len(), 8 + 16 * 32);
}
