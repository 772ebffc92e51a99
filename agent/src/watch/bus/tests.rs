//! What a real bus of Debian 12 said (`recorded.bin`: answers to Hello, two rules, a rule that makes no sense and
//! Subscribe, then two signals of a timer that is stopped), and a bus made for the test.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use cm_modules::dbus::codec;

use super::*;

const RECORDED: &[u8] = include_bytes!("../../../../modules/src/dbus/recorded.bin");

/// An empty answer to a call.
fn answer(serial: u32) -> Vec<u8> {
    let mut bytes = vec![b'l', 2, 1, 1];
    for number in [0, 1, 8] {
        bytes.extend(u32::to_le_bytes(number));
    }
    bytes.extend([5, 1, b'u', 0]);
    bytes.extend(serial.to_le_bytes());
    bytes
}

/// Answers every call, `calls` of them, then says `last`.
fn bus(listener: &UnixListener, calls: u32, last: &[u8]) -> UnixStream {
    let (mut stream, _) = listener.accept().unwrap();
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"BEGIN\r\n") {
        stream.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    assert!(said.starts_with(b"\0AUTH EXTERNAL 3"), "{said:?}");
    stream.write_all(b"OK 0123\r\n").unwrap();
    let mut buffer = Vec::new();
    let mut serial = 0;
    while serial < calls {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        buffer.extend_from_slice(&piece[..count]);
        while let Some((call, used)) = codec::take(&buffer).unwrap() {
            buffer.drain(..used);
            assert_eq!(call.kind, Kind::Call);
            serial += 1;
            // Byte by byte: what comes in pieces is put together.
            for byte in answer(serial) {
                stream.write_all(&[byte]).unwrap();
            }
        }
    }
    stream.write_all(last).unwrap();
    stream
}

#[test]
fn a_signal_names_those_who_wait_for_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let listener = UnixListener::bind(&socket).unwrap();
    let last = RECORDED[652..].to_vec();
    // Hello, three rules of all, one of the unit, Subscribe.
    let bus = thread::spawn(move || bus(&listener, 6, &last));
    let units = [(unit_path("fstrim.timer"), [3, 4].into())].into();
    let mut signals = UnitSignals::over(&socket, &units, true).unwrap();
    let stream = bus.join().unwrap();
    assert_eq!(signals.read().unwrap(), Told { who: [3, 4].into(), all: false });
    assert_eq!(signals.read().unwrap(), Told::default());
    drop(stream);
    assert!(signals.read().is_err(), "the connection has ended");
}

#[test]
fn what_is_no_bus_is_told_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let listener = UnixListener::bind(&socket).unwrap();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        stream
    });
    assert!(UnitSignals::over(&socket, &BTreeMap::new(), true).is_err());
    drop(other.join().unwrap());
    assert!(UnitSignals::over(&folder.path().join("none"), &BTreeMap::new(), true).is_err());
}
