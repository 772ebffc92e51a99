//! Signs of life: none before anything was asked, for what asks may never arrive; then one every few seconds.

use std::{
    io::{Read, Write},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use cm_agent::{session, state_dir::StateDir};
use cm_wire::{AGENT_MARK, Begin, FromAgent, Looks, Mode, ToAgent, decode, encode};

/// Longer than the agent is silent in a run.
const A_WHILE: Duration = Duration::from_secs(7);

fn messages(mut from: impl Read + Send + 'static) -> Receiver<FromAgent> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut mark = [0; AGENT_MARK.len()];
        from.read_exact(&mut mark).unwrap();
        assert_eq!(mark, AGENT_MARK);
        let (mut buffer, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count) = from.read(&mut piece)
            && count > 0
        {
            buffer.extend_from_slice(&piece[..count]);
            while let Some((message, used)) = decode(&buffer).unwrap() {
                buffer.drain(..used);
                let _ = sender.send(message);
            }
        }
    });
    receiver
}

#[test]
fn an_agent_is_silent_until_it_is_asked_something() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::at(folder.path().join("cm"));
    let (input, mut to) = std::io::pipe().unwrap();
    let (from, output) = std::io::pipe().unwrap();
    let served = std::thread::spawn(move || session::serve(input, output, state).unwrap());
    let said = messages(from);
    assert!(matches!(said.recv_timeout(A_WHILE), Ok(FromAgent::Hello(_))));
    let early = said.recv_timeout(A_WHILE);
    assert!(early.is_err(), "{early:?}");

    let begin = Begin {
        run: "1".into(),
        holder: "anna@desk".into(),
        mode: Mode::Verify,
        diff: false,
        fail_fast: false,
        parallel: 0,
        lock_wait: 0,
        paranoid: false,
        whole_roles: Vec::new(),
        prune: Vec::new(),
        undo: None,
        journal_limit: 0,
        looks: Looks::Untold,
        resumed: None,
        redact: Vec::new(),
    };
    to.write_all(&encode(&ToAgent::Begin(begin)).unwrap()).unwrap();
    let beat = said.recv_timeout(A_WHILE);
    assert!(matches!(beat, Ok(FromAgent::Alive)), "{beat:?}");
    drop(to);
    served.join().unwrap();
}
