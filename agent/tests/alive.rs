//! Signs of life: none before anything was asked, for what asks may never arrive; then one every few seconds.

mod hearing;

use std::{io::Write, time::Duration};

use cm_agent::{session, state_dir::StateDir};
use cm_wire::{Begin, FromAgent, Mode, ToAgent, encode};

/// Longer than the agent is silent in a run.
const A_WHILE: Duration = Duration::from_secs(7);

#[test]
fn an_agent_is_silent_until_it_is_asked_something() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::at(folder.path().join("cm"));
    let (input, mut to) = std::io::pipe().unwrap();
    let (from, output) = std::io::pipe().unwrap();
    let served = std::thread::spawn(move || session::serve(input, output, state).unwrap());
    let said = hearing::messages(from);
    assert!(matches!(said.recv_timeout(A_WHILE), Ok(FromAgent::Hello(_))));
    let early = said.recv_timeout(A_WHILE);
    assert!(early.is_err(), "{early:?}");

    let begin = Begin::new("1", "anna@desk", Mode::Verify);
    to.write_all(&encode(&ToAgent::Begin(begin)).unwrap()).unwrap();
    let beat = said.recv_timeout(A_WHILE);
    assert!(matches!(beat, Ok(FromAgent::Alive)), "{beat:?}");
    drop(to);
    served.join().unwrap();
}
