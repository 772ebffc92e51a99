//! A session that watches, over pipes, as the controller has it: what it tells, and that it sleeps.

mod hearing;

use std::{
    fs,
    io::{PipeWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use cm_agent::{lock::RunLock, session, state_dir::StateDir};
use cm_wire::{
    Begin, ContentRef, Digest, FromAgent, Mode, Outcome, Task, TaskResult, ToAgent, Value, Watch, Watched,
    encode,
};

/// What the controller has to give.
const CONTENTS: [&str; 3] = ["hello\n", "there\n", "x"];

const LIMIT: Duration = Duration::from_secs(60);

struct Session {
    to: Option<PipeWriter>,
    from: Receiver<FromAgent>,
    served: Option<std::thread::JoinHandle<()>>,
}

impl Session {
    fn watching(state: &Path, tasks: Vec<Task>) -> Self {
        let (input, mut to) = std::io::pipe().unwrap();
        let (from, output) = std::io::pipe().unwrap();
        let state = StateDir::at(state.to_owned());
        let served = std::thread::spawn(move || session::serve(input, output, state).unwrap());
        let heard = hearing::messages(from);
        for message in
            [ToAgent::Begin(begin()), ToAgent::Tasks(tasks), ToAgent::Watch(Watch { look_every: 0 })]
        {
            to.write_all(&encode(&message).unwrap()).unwrap();
        }
        Self { to: Some(to), from: heard, served: Some(served) }
    }

    fn say(&mut self, message: &ToAgent) {
        self.to.as_mut().unwrap().write_all(&encode(message).unwrap()).unwrap();
    }

    /// The next message that is wanted.
    fn until<T>(&mut self, wanted: impl Fn(FromAgent) -> Option<T>) -> T {
        let until = Instant::now() + LIMIT;
        loop {
            match self.from.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(FromAgent::Need(digests)) => {
                    for digest in digests {
                        let content =
                            CONTENTS.iter().find(|content| Digest::of(content.as_bytes()) == digest);
                        let bytes = content.unwrap().as_bytes().to_vec();
                        self.say(&ToAgent::Content { digest, bytes, last: true });
                    }
                }
                Ok(message) => {
                    if let Some(found) = wanted(message) {
                        return found;
                    }
                }
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    fn stands(&mut self) -> Vec<u32> {
        self.until(|message| match message {
            FromAgent::Watched(Watched::Standing { unseen }) => Some(unseen),
            FromAgent::Refused(refusal) => panic!("{refusal:?}"),
            _ => None,
        })
    }

    fn verdict(&mut self) -> TaskResult {
        self.until(|message| match message {
            FromAgent::Watched(Watched::Verdicts(mut told)) => {
                assert_eq!(told.len(), 1, "{told:?}");
                told.pop().map(|told| told.result)
            }
            _ => None,
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.to.take());
        let ended = self.served.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn begin() -> Begin {
    Begin { diff: true, ..Begin::new("watch", "anna@desk", Mode::Verify) }
}

fn file(path: &Path, content: &str) -> Task {
    let path = path.display().to_string();
    let text = |text: &str| Value::Text(text.to_owned());
    let content = ContentRef { digest: Digest::of(content.as_bytes()), size: content.len() as u64 };
    let content = Value::Content(content);
    let params = [
        ("path".to_owned(), text(&path)),
        ("content".to_owned(), content),
        ("mode".to_owned(), text("0644")),
    ];
    Task { params: params.into(), ..Task::new(&format!("file:{path}"), "file") }
}

#[test]
fn what_changes_is_told_and_what_is_right_again_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etc/motd");
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(&path, "hello\n").unwrap();
    let other = folder.path().join("other");
    let mut session =
        Session::watching(&folder.path().join("cm"), vec![file(&path, "hello\n"), file(&other, "there\n")]);
    let first = session.until(|message| match message {
        FromAgent::Events(events) => Some(events),
        _ => None,
    });
    assert!(!first.is_empty());
    assert_eq!(session.stands(), [0; 0]);

    fs::write(&path, "bye\n").unwrap();
    let result = session.verdict();
    assert_eq!((result.task, &result.outcome), (0, &Outcome::Changed));
    assert_eq!(result.changes[0].attribute, "content");
    fs::remove_dir_all(folder.path().join("etc")).unwrap();
    assert_eq!(session.verdict().changes[0].attribute, "state");
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("etc/new"), "hello\n").unwrap();
    fs::rename(folder.path().join("etc/new"), &path).unwrap();
    let result = session.verdict();
    assert_eq!((result.task, result.outcome), (0, Outcome::Ok), "right again");
    fs::write(&other, "there\n").unwrap();
    let result = session.verdict();
    assert_eq!((result.task, result.outcome), (1, Outcome::Ok));
}

#[test]
fn a_watch_ends_when_the_controller_says_so_and_answers_its_signs_of_life() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::watching(&folder.path().join("cm"), vec![file(&folder.path().join("f"), "x")]);
    session.stands();
    session.say(&ToAgent::Ping);
    session.until(|message| matches!(message, FromAgent::Alive).then_some(()));
    session.say(&ToAgent::Bye);
    drop(session.to.take());
    let mut ended = false;
    while !ended {
        ended = matches!(session.from.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    }
}

#[test]
fn what_a_run_changes_is_looked_at_when_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "x").unwrap();
    let home = folder.path().join("cm");
    fs::create_dir(&home).unwrap();
    let mut session = Session::watching(&home, vec![file(&path, "x")]);
    session.stands();
    let lock = StateDir::at(home).lock();
    let lock = RunLock::take(&lock, "run 1 of anna", Duration::ZERO, |_| {}, || false).unwrap();
    fs::write(&path, "half").unwrap();
    // Verdicts that came before would be skipped here, and missed below.
    let note = session.until(|message| match message {
        FromAgent::Watched(Watched::Note(text)) => Some(text),
        FromAgent::Watched(Watched::Verdicts(told)) => panic!("{told:?}"),
        _ => None,
    });
    assert!(note.starts_with("run 1 of anna is at work here"), "{note}");
    drop(lock);
    assert_eq!(session.verdict().outcome, Outcome::Changed);
}
