//! Damaged frames of both directions: an error or a message that survives the wire once more, never more than that.

use std::fmt::Debug;

use cm_fuzz::{Target, answer, fuzz};
use cm_wire::{
    Applied, Change, ContentRef, Digest, Event, Facts, FromAgent, Interface, Mount, Outcome, Output, Refusal,
    Standing, Stream, Task, TaskResult, ToAgent, Touched, Trace, TreeEntry, TreeKind, Value, Watch, Watched,
    decode, encode,
};
use serde::{Serialize, de::DeserializeOwned};

/// Lengths and tags at the edges: of one byte, of several, of more than there can be.
const WORDS: &[&str] =
    &["\u{0}", "\u{1}", "\u{2}", "\u{5}", "\u{6}", "\u{7f}", "ab", "\u{5}\u{1}", "\u{6}\u{1}\u{0}"];

/// The input is the body of a frame, or, where it is damaged enough to begin with 0xff, a frame with its head.
fn round<T: Serialize + DeserializeOwned + Debug>(input: &[u8]) -> u64 {
    let framed = match input.split_first() {
        Some((0xff, rest)) => rest.to_vec(),
        _ => [&(input.len() as u32).to_le_bytes()[..], input].concat(),
    };
    match decode::<T>(&framed) {
        Err(error) => answer(&format!("{error:?}")),
        Ok(None) => 0,
        Ok(Some((message, used))) => {
            assert!(used <= framed.len());
            let again = encode(&message).expect("what was decoded fits into a frame");
            let (back, _) = decode::<T>(&again).expect("what was encoded decodes").expect("whole");
            // Bytes, since one NaN is not another.
            assert_eq!(encode(&back).unwrap(), again);
            answer(&shape(&format!("{message:?}")))
        }
    }
}

/// A message without its texts: what is new about it is its form.
fn shape(debug: &str) -> String {
    debug.split('"').step_by(2).take(40).collect()
}

fn body(message: &impl Serialize) -> Vec<u8> {
    encode(message).unwrap()[4..].to_vec()
}

#[test]
fn from_agent() {
    let result = TaskResult {
        task: 3,
        outcome: Outcome::Failed { error: "no".into(), hint: Some("do".into()) },
        changes: vec![Change::new("mode", Some("0600".into()), None).with_diff(Some("+a\n".into()))],
        started: 1 << 40,
        took: 77,
        output: Some(Output { status: -1, stdout: "out".into(), stderr: "err".into() }),
        attempts: 2,
    };
    let facts = Facts {
        hostname: "web1".into(),
        addresses: vec!["10.0.0.1".into()],
        interfaces: vec![Interface::default()],
        mounts: vec![Mount::default()],
        ..Facts::default()
    };
    let events = vec![
        Event::Started { task: 1 },
        Event::Output { task: 1, stream: Stream::Stderr, text: "x".into() },
        Event::Standing {
            task: 1,
            standing: Box::new(Standing {
                applied: Some(Applied { run: "r".into(), time: 1, undone: Some("u".into()) }),
                moved: true,
                touched: Touched::Yes(vec![Change::new("mode", None, Some("0644".into()))]),
                traces: vec![Trace {
                    item: "path:/a".into(),
                    modified: Some(1),
                    changed: Some(2),
                    owner: Some("root".into()),
                    log: Some("l".into()),
                }],
            }),
        },
        Event::Ended(result),
        Event::Note("note".into()),
    ];
    let target = Target::new("wire-from-agent", WORDS)
        .seed(body(&FromAgent::Hello(Box::new(facts))))
        .seed(body(&FromAgent::Events(events)))
        .seed(body(&FromAgent::Need(vec![Digest::of(b"a")])))
        .seed(body(&FromAgent::Refused(Refusal::State { reason: "full".into() })))
        .seed(body(&FromAgent::Watched(Watched::Standing { unseen: vec![1, 300] })))
        .seed(body(&FromAgent::Watched(Watched::Note("half".into()))))
        .seed(body(&FromAgent::Done));
    fuzz(target, round::<FromAgent>);
}

#[test]
fn to_agent() {
    let content = ContentRef { digest: Digest::of(b"b"), size: 9 };
    let tree = vec![
        TreeEntry { path: b"a".to_vec(), kind: TreeKind::Directory },
        TreeEntry { path: b"a/\xff".to_vec(), kind: TreeKind::File { content, executable: true } },
        TreeEntry { path: b"l".to_vec(), kind: TreeKind::Link(b"a".to_vec()) },
    ];
    let params = [
        ("list".to_owned(), Value::List(vec![Value::Int(-1), Value::Float(0.5), Value::Null])),
        ("map".to_owned(), Value::Map([("k".to_owned(), Value::Bool(true))].into())),
        ("tree".to_owned(), Value::Tree(tree)),
        ("content".to_owned(), Value::Content(content)),
    ];
    let task = Task { params: params.into(), after: vec![0], ..Task::new("file:/a", "file") };
    let target = Target::new("wire-to-agent", WORDS)
        .seed(body(&ToAgent::Tasks(vec![task])))
        .seed(body(&ToAgent::Content { digest: Digest::of(b"a"), bytes: vec![1, 2], last: true }))
        .seed(body(&ToAgent::NoContent { digest: Digest::of(b"a"), reason: "gone".into() }))
        .seed(body(&ToAgent::Watch(Watch { look_every: 3600 })))
        .seed(body(&ToAgent::Seal));
    fuzz(target, round::<ToAgent>);
}
