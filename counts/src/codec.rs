//! The codec: messages to bytes and back.

use std::{hint::black_box, path::Path};

use cm_wire::{Change, Event, FromAgent, Outcome, TaskResult, ToAgent, decode, encode};

use crate::{Failure, prove, tasks};

const ROUNDS: usize = 100;

/// A catalog of 200 tasks there and back.
pub fn catalog() -> Result<(), Failure> {
    let sent = ToAgent::Tasks(tasks::catalog(Path::new("/srv"), 200));
    for _ in 0..ROUNDS {
        let bytes = encode(black_box(&sent))?;
        let (come, used) = decode::<ToAgent>(black_box(&bytes))?.ok_or("a frame is cut")?;
        prove(
            used == bytes.len() && matches!(&come, ToAgent::Tasks(tasks) if tasks.len() == 200),
            "lost tasks",
        )?;
    }
    let (come, _) = decode::<ToAgent>(&encode(&sent)?)?.ok_or("a frame is cut")?;
    prove(come == sent, "the catalog is another one")
}

/// 2,000 events there and back, in a message each, as an agent sends them.
pub fn events() -> Result<(), Failure> {
    let sent: Vec<FromAgent> = (0..2000).map(|task| FromAgent::Events(vec![event(task)])).collect();
    let mut come = Vec::new();
    for _ in 0..ROUNDS / 2 {
        come.clear();
        for message in &sent {
            let bytes = encode(black_box(message))?;
            let (message, used) = decode::<FromAgent>(black_box(&bytes))?.ok_or("a frame is cut")?;
            prove(used == bytes.len(), "a frame is cut")?;
            come.push(message);
        }
    }
    prove(come == sent, "the events are other ones")
}

/// Of four tasks one has changed, and one was at work.
fn event(task: u32) -> Event {
    let changes = vec![
        Change::new("content", Some("sha:1".to_owned()), Some("sha:2".to_owned()))
            .with_diff(Some("@@ -1,2 +1,2 @@\n first\n-old line\n+new line\n".to_owned())),
        Change::new("mode", Some("0600".to_owned()), Some("0644".to_owned())),
    ];
    let (outcome, changes) = match task % 4 {
        0 => return Event::Started { task },
        1 => (Outcome::Changed, changes),
        _ => (Outcome::Ok, Vec::new()),
    };
    let (started, took) = (u64::from(task) * 731, u64::from(task % 97) * 13);
    Event::Ended(TaskResult { task, outcome, changes, started, took, output: None, attempts: 1 })
}
