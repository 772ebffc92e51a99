//! What an agent says, as the controller takes it from the wire.

use std::{
    io::Read,
    sync::mpsc::{Receiver, channel},
};

use cm_wire::{AGENT_MARK, FromAgent, decode};

/// All messages after the agent's mark, until it ends.
pub fn messages(mut from: impl Read + Send + 'static) -> Receiver<FromAgent> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut mark = [0; AGENT_MARK.len()];
        from.read_exact(&mut mark).unwrap();
        assert_eq!(mark, AGENT_MARK);
        let (mut buffer, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = from.read(&mut piece) {
            buffer.extend_from_slice(&piece[..count]);
            while let Some((message, used)) = decode(&buffer).unwrap() {
                buffer.drain(..used);
                let _ = sender.send(message);
            }
        }
    });
    receiver
}
