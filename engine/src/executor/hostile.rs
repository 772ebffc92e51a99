//! Nodes that somebody has taken over: whatever they say, the host's part of the run ends, with a reason,
//! and the controller keeps a bounded amount of it.

use std::{future::Future, pin::Pin};

use cm_transport::{
    CloseFuture, Connection, Connector, ConnectorOptions, ExecFuture, Exit, Session, Stderr, Stdin, Stdout,
    Transport,
};
use cm_wire::{Change, FRAME_LIMIT, Mode, Output, Refusal, Stream, ToAgent, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use cm_wire::{Told, Watched};

use super::{
    trouble::REASON,
    watching::{End, Watching},
    *,
};
use crate::{
    AgentPrograms, Become, OtherFacts, PlanFailure, Planner, Run, RunOptions, Stop, WatchEvent, bounds,
    event_channel, target::Reach,
};

/// A content that the fake catalog has; larger than anything that could be buffered on the way.
const CONTENT: &[u8] = &[7; 8 * 1024 * 1024];

/// The node's side of the channel.
struct Wire {
    input: DuplexStream,
    output: DuplexStream,
}

impl Wire {
    async fn raw(&mut self, bytes: &[u8]) {
        // A controller that has hung up is what most of these tests wait for.
        let _ = self.output.write_all(bytes).await;
    }

    async fn say(&mut self, message: FromAgent) {
        self.raw(&encode(&message).unwrap()).await;
    }

    async fn hello(&mut self) {
        self.raw(b"Welcome!\n\x01cm-agent-1\n").await;
        self.say(FromAgent::Hello(Box::default())).await;
    }

    async fn events(&mut self, events: impl IntoIterator<Item = Event>) {
        self.say(FromAgent::Events(events.into_iter().collect())).await;
    }
}

/// What the node says; it gives its ends back, which stay open.
type Script = Box<dyn FnOnce(Wire) -> Pin<Box<dyn Future<Output = Wire> + Send>> + Send>;

/// A connection whose one command is a script of a test.
struct Node(Option<Script>);

impl Transport for Node {
    fn exec<'a>(&'a mut self, _: &'a str) -> ExecFuture<'a> {
        let script = self.0.take().expect("one command a session");
        Box::pin(async move {
            let (stdin, input) = duplex(64 * 1024);
            let (output, stdout) = duplex(64 * 1024);
            let (sink, stderr) = Stderr::capture();
            let (_, exit) = Exit::channel();
            drop(sink);
            tokio::spawn(async move {
                let _open = script(Wire { input, output }).await;
                std::future::pending::<()>().await;
            });
            Ok(Session { stdin: Stdin::new(stdin), stdout: Stdout::new(stdout), stderr, exit })
        })
    }

    fn close(self: Box<Self>) -> CloseFuture {
        Box::pin(async {})
    }

    fn host_key_fingerprint(&self) -> Option<&str> {
        None
    }
}

/// A catalog of two tasks and one content for any host.
struct TwoTasks;

impl Planner for TwoTasks {
    fn needs_other_facts(&self) -> bool {
        false
    }

    fn catalog(&self, _: &str, _: &Facts, _: &OtherFacts) -> Result<HostCatalog, PlanFailure> {
        let ids = ["file:/a", "file:/b"];
        let label = |id: &str| TaskLabel {
            id: id.into(),
            role: "web".into(),
            place: "x".into(),
            check: false,
            added: false,
        };
        Ok(HostCatalog {
            tasks: ids.iter().map(|id| Task::new(id, "file")).collect(),
            labels: ids.iter().map(|id| label(id)).collect(),
            contents: [(Digest::of(CONTENT), ContentSource::Bytes(CONTENT.into()))].into(),
            ..HostCatalog::default()
        })
    }
}

/// Runs the host with this node behind it; fails when that does not end.
async fn run_with<F: Future<Output = Wire> + Send + 'static>(
    script: impl FnOnce(Wire) -> F + Send + 'static,
) -> (HostEnd, Vec<TaskResult>, usize) {
    let node = Node(Some(Box::new(|wire| Box::pin(script(wire)))));
    let (sender, mut receiver) = event_channel();
    let (target, shared) = surroundings(Mode::Apply, sender);
    let permit = Arc::clone(&shared.forks).acquire_owned().await.unwrap();
    let mut work = Work::new(&target.name, &shared);
    drop(shared);
    let work = async move {
        let end = work.serve(Connection::new(node), &target, permit, Instant::now()).await;
        // The last sender of events goes here, which ends the counting.
        (end, std::mem::take(&mut work.results))
    };
    let counting = async {
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        count
    };
    let both = async { tokio::join!(work, counting) };
    let ended = tokio::time::timeout(Duration::from_secs(20), both).await;
    let ((end, results), count) = ended.expect("the host's part of the run ends");
    (end, results, count)
}

/// Watches the host with this node behind it until it is lost; fails when it is not. What was told, and why.
async fn watch_with<F: Future<Output = Wire> + Send + 'static>(
    script: impl FnOnce(Wire) -> F + Send + 'static,
) -> (Vec<WatchEvent>, String) {
    let node = Node(Some(Box::new(|wire| Box::pin(script(wire)))));
    let (sender, _events) = event_channel();
    let (target, shared) = surroundings(Mode::Verify, sender);
    let permit = Arc::clone(&shared.forks).acquire_owned().await.unwrap();
    let Ok(link) = Link::over(Connection::new(node), &target, &shared).await else {
        panic!("the node says hello")
    };
    let (tell, mut told) = mpsc::channel(16);
    let mut watching = Watching::new(target, Duration::ZERO, tell);
    let watch = async move {
        let end = watching.over(link, &shared, permit).await;
        // The last sender goes with it.
        drop(watching);
        end
    };
    let hearing = async {
        let mut events = Vec::new();
        while let Some(event) = told.recv().await {
            events.push(event);
        }
        events
    };
    let both = async { tokio::join!(watch, hearing) };
    let ended = tokio::time::timeout(Duration::from_secs(20), both).await;
    let (end, events) = ended.expect("the watch of the host ends");
    match end {
        End::Lost(trouble) => (events, format!("{}: {}", trouble.what, trouble.causes[0])),
        End::Stopped => panic!("nobody stopped it"),
    }
}

/// A host, and what its executor shares with others.
fn surroundings(mode: Mode, sender: crate::EventSender) -> (HostTarget, Arc<Shared>) {
    let options = RunOptions {
        run: "1".into(),
        holder: "test".into(),
        mode,
        diff: true,
        fail_fast: false,
        forks: 1,
        timeout: None,
        lock_wait: Duration::ZERO,
        paranoid: false,
        undo: None,
        journal_limit: 0,
        promises: crate::Promises::None,
        ledger: false,
    };
    let run = Run {
        options,
        stages: Vec::new(),
        planner: Some(Arc::new(TwoTasks)),
        remembered: OtherFacts::new(),
        programs: Arc::new(AgentPrograms::default()),
        connector: Arc::new(Connector::new(ConnectorOptions::default())),
    };
    let (_, shared) = Shared::of(run, Stop::default(), sender);
    let target = HostTarget {
        name: "web1".into(),
        reach: Reach::Local,
        rights: Become::AlreadyRoot,
        become_password: None,
        place: None,
    };
    (target, shared)
}

/// The first cause of the host's trouble.
fn trouble(end: HostEnd) -> String {
    match end {
        HostEnd::Unreachable(trouble) | HostEnd::Refused(trouble) => {
            format!("{}: {}", trouble.what, trouble.causes[0])
        }
        other => panic!("no trouble but {other:?}"),
    }
}

fn ended(task: u32) -> TaskResult {
    TaskResult {
        task,
        outcome: Outcome::Changed,
        changes: Vec::new(),
        started: 0,
        took: 0,
        output: None,
        attempts: 1,
    }
}

#[tokio::test]
async fn an_honest_agent_ends_well() {
    let (end, results, _) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.events([Event::Started { task: 0 }, Event::Ended(ended(0)), Event::Ended(ended(1))]).await;
        wire.say(FromAgent::Done).await;
        wire
    })
    .await;
    assert_eq!((end, results.len()), (HostEnd::Changed, 2));
}

#[tokio::test]
async fn results_that_cannot_be_end_the_run() {
    for (bad, said) in [
        (vec![ended(2)], "it speaks of task number 2 and was given 2"),
        (vec![ended(u32::MAX)], "task number 4294967295"),
        (vec![ended(0), ended(0)], "it reports task number 0 twice"),
    ] {
        let (end, ..) = run_with(|mut wire| async move {
            wire.hello().await;
            wire.events(bad.into_iter().map(Event::Ended)).await;
            wire.say(FromAgent::Done).await;
            wire
        })
        .await;
        let told = trouble(end);
        assert!(told.starts_with("broke off with: ") && told.contains(said), "{told}");
    }
}

#[tokio::test]
async fn notices_without_end_end() {
    let (end, _, events) = run_with(|mut wire| async move {
        wire.hello().await;
        for _ in 0..1000 {
            wire.events((0..64).map(|_| Event::Note("x".repeat(1000)))).await;
        }
        wire
    })
    .await;
    assert!(trouble(end).contains("notices without end"));
    assert!(events < 1100, "{events}");
}

#[tokio::test]
async fn a_node_that_says_hello_again_is_not_listened_to() {
    let (end, ..) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.say(FromAgent::Hello(Box::default())).await;
        wire
    })
    .await;
    assert!(trouble(end).contains("it says hello twice"));
}

#[tokio::test]
async fn a_node_learns_nothing_but_its_own_contents_and_those_not_without_end() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let (end, ..) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.say(FromAgent::Need(vec![Digest::of(b"another host's")])).await;
        let mut told = Some(told);
        let mut buffer = Vec::new();
        while let Ok(read) = wire.input.read_buf(&mut buffer).await {
            while let Some((message, used)) = decode::<ToAgent>(&buffer).unwrap() {
                buffer.drain(..used);
                if let ToAgent::NoContent { reason, .. } = message {
                    let Some(told) = told.take() else { continue };
                    told.send(reason).unwrap();
                    for _ in 0..100_000 {
                        wire.say(FromAgent::Need(vec![Digest::of(b"another host's")])).await;
                    }
                }
            }
            if read == 0 {
                break;
            }
        }
        wire
    })
    .await;
    assert_eq!(heard.await.unwrap(), "it is not part of this host's catalog");
    assert!(trouble(end).contains("asks for more contents"));
}

#[tokio::test]
async fn a_node_that_asks_and_does_not_read_holds_nobody_up() {
    let (end, ..) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.say(FromAgent::Need(vec![Digest::of(CONTENT)])).await;
        wire.events([Event::Ended(ended(0)), Event::Ended(ended(1))]).await;
        wire.say(FromAgent::Done).await;
        wire
    })
    .await;
    assert_eq!(end, HostEnd::Changed);
}

#[tokio::test]
async fn large_results_are_passed_on_whole_and_kept_in_part() {
    let (end, results, _) = run_with(|mut wire| async move {
        wire.hello().await;
        for task in 0..2 {
            let diff = "x".repeat(64 * 1024);
            let changes =
                (0..80).map(|_| Change::new("content", None, None).with_diff(Some(diff.clone()))).collect();
            let output = Output { status: 0, stdout: "y".repeat(4 << 20), stderr: String::new() };
            let result = TaskResult { changes, output: Some(output), ..ended(task) };
            wire.events([Event::Ended(result)]).await;
        }
        wire.say(FromAgent::Done).await;
        wire
    })
    .await;
    assert_eq!((end, results.len()), (HostEnd::Changed, 2));
    let kept: usize = results.iter().map(bounds::weight).sum();
    assert!(kept < 5 << 20, "{kept}");
}

#[tokio::test]
async fn output_without_end_is_not_passed_on_without_end() {
    let (end, _, events) = run_with(|mut wire| async move {
        wire.hello().await;
        for _ in 0..40 {
            wire.events((0..10).map(|_| Event::Output {
                task: 0,
                stream: Stream::Stdout,
                text: "x".repeat(1 << 20),
            }))
            .await;
        }
        wire.say(FromAgent::Done).await;
        wire
    })
    .await;
    assert_eq!(end, HostEnd::Cancelled);
    assert!(events < 300, "{events}");
}

#[tokio::test]
async fn frames_and_facts_over_their_limits_are_refused_before_they_are_read() {
    let (end, ..) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.raw(&(FRAME_LIMIT as u32 + 1).to_le_bytes()).await;
        wire
    })
    .await;
    assert!(trouble(end).contains("16777217 bytes"));
    let (end, ..) = run_with(|mut wire| async move {
        wire.raw(b"\x01cm-agent-1\n").await;
        wire.say(FromAgent::Hello(Box::new(Facts { hostname: "x".repeat(5 << 20), ..Facts::default() })))
            .await;
        wire
    })
    .await;
    assert!(trouble(end).contains("where 4194304 are allowed"));
}

#[tokio::test]
async fn noise_instead_of_an_agent_ends() {
    let (end, ..) = run_with(|mut wire| async move {
        for _ in 0..10_000 {
            wire.raw(&[b'#'; 1000]).await;
        }
        wire
    })
    .await;
    assert!(trouble(end).contains("prints without end"));
    let (end, ..) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.raw(&[3, 0, 0, 0, 0xff, 0xff, 0xff]).await;
        wire
    })
    .await;
    assert!(trouble(end).contains("not of this protocol"));
}

#[tokio::test]
async fn an_architecture_is_a_word_and_no_path() {
    let (end, ..) = run_with(|mut wire| async move {
        let arch = format!("../../../etc/{}", "x".repeat(100_000));
        wire.raw(format!("cm-need {arch} raw\n").as_bytes()).await;
        wire
    })
    .await;
    let told = trouble(end);
    assert!(told.contains("has no agent") && told.len() < 300, "{told}");
}

#[tokio::test]
async fn what_a_node_says_when_it_refuses_is_cut() {
    let (end, ..) = run_with(|mut wire| async move {
        wire.hello().await;
        wire.say(FromAgent::Refused(Refusal::State { reason: "x".repeat(10 << 20) })).await;
        wire
    })
    .await;
    assert!(trouble(end).len() < 2 * REASON);
}

#[tokio::test]
async fn a_watch_tells_what_is_new_and_no_more() {
    let (events, why) = watch_with(|mut wire| async move {
        let told = |outcome: Outcome| {
            FromAgent::Watched(Watched::Verdicts(vec![Told {
                result: TaskResult { outcome, ..ended(0) },
                standing: None,
            }]))
        };
        wire.hello().await;
        wire.events([Event::Ended(TaskResult { outcome: Outcome::Ok, ..ended(0) }), Event::Ended(ended(1))])
            .await;
        wire.say(FromAgent::Done).await;
        wire.say(FromAgent::Watched(Watched::Standing { unseen: vec![1, 7] })).await;
        wire.say(FromAgent::Alive).await;
        for outcome in [Outcome::Changed, Outcome::Changed, Outcome::Ok, Outcome::Ok] {
            wire.say(told(outcome)).await;
        }
        wire.say(FromAgent::Hello(Box::default())).await;
        wire
    })
    .await;
    assert!(why.contains("hello twice"), "{why}");
    let said: Vec<String> = events
        .iter()
        .map(|event| match event {
            WatchEvent::Standing { unseen, .. } => format!("stands {unseen:?}"),
            WatchEvent::Verdict { task, result, at_start, .. } => {
                format!("{} {:?} {at_start}", task.id, result.outcome)
            }
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        said,
        ["file:/b Changed true", "stands [\"file:/b\"]", "file:/a Changed false", "file:/a Ok false",]
    );
}

#[tokio::test]
async fn a_watch_that_talks_without_end_ends() {
    let (events, why) = watch_with(|mut wire| async move {
        wire.hello().await;
        for _ in 0..5000 {
            wire.say(FromAgent::Watched(Watched::Note("x".repeat(1000)))).await;
        }
        wire
    })
    .await;
    assert!(why.contains("notices without end"), "{why}");
    assert!(events.len() < 2000, "{}", events.len());
    let (_, why) = watch_with(|mut wire| async move {
        wire.hello().await;
        let result = ended(2);
        wire.say(FromAgent::Watched(Watched::Verdicts(vec![Told { result, standing: None }]))).await;
        wire
    })
    .await;
    assert!(why.contains("task number 2"), "{why}");
}
