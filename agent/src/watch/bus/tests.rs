//! What a real bus of Debian 12 said (`recorded.bin`: answers to Hello, two rules, a rule that makes no sense and
//! Subscribe, then two signals of a timer that is stopped), and a bus made for the test.

use std::{os::unix::net::UnixListener, thread};

use super::*;

const RECORDED: &[u8] = include_bytes!("recorded.bin");

fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some((message, used)) = codec::take(&bytes[at..]).unwrap() {
        all.push(message);
        at += used;
    }
    assert_eq!(at, bytes.len());
    all
}

#[test]
fn what_a_bus_says_is_understood() {
    let all = messages(RECORDED);
    let kinds: Vec<(Kind, u32, &str)> =
        all.iter().map(|message| (message.kind, message.answers, message.member.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (Kind::Return, 1, ""),
            (Kind::Signal, 0, "NameAcquired"),
            (Kind::Return, 2, ""),
            (Kind::Return, 3, ""),
            (Kind::Error, 4, ""),
            (Kind::Return, 5, ""),
            (Kind::Signal, 0, "PropertiesChanged"),
            (Kind::Signal, 0, "PropertiesChanged"),
        ]
    );
    assert_eq!(all[4].error, "org.freedesktop.DBus.Error.MatchRuleInvalid");
    assert_eq!(all[6].path, unit_path("fstrim.timer"));
    assert_eq!(all[6].interface, "org.freedesktop.DBus.Properties");
}

#[test]
fn damaged_messages_are_nonsense_or_wait_for_more() {
    for cut in 0..RECORDED.len().min(700) {
        let mut at = 0;
        while let Some((_, used)) = codec::take(&RECORDED[at..cut.max(at)]).unwrap() {
            at += used;
        }
    }
    for at in 0..700 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = RECORDED[..700].to_vec();
            bytes[at] = value;
            let mut rest = &bytes[..];
            while let Ok(Some((_, used))) = codec::take(rest) {
                rest = &rest[used..];
            }
        }
    }
    let mut huge = RECORDED[..16].to_vec();
    huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(codec::take(&huge), Err(codec::Nonsense));
}

#[test]
fn a_call_is_written_as_others_write_it() {
    // Hello as a bus takes it, by the specification.
    let call = codec::call(1, BUS, BUS_PATH, BUS, "Hello", &[]);
    let (message, used) = codec::take(&call).unwrap().unwrap();
    assert_eq!((message.kind, message.member.as_str(), used), (Kind::Call, "Hello", call.len()));
    assert_eq!(&call[..4], b"l\x01\x00\x01");
    assert_eq!(call.len() % 8, 0);
    let call = codec::call(2, BUS, BUS_PATH, BUS, "AddMatch", &["type='signal'"]);
    assert_eq!(messages(&call)[0].interface, BUS);
    assert!(call.ends_with(b"\x0d\0\0\0type='signal'\0"));
}

#[test]
fn units_have_the_paths_that_systemd_gives_them() {
    assert_eq!(unit_path("dbus.service"), "/org/freedesktop/systemd1/unit/dbus_2eservice");
    assert_eq!(unit_path("getty@tty1.service"), "/org/freedesktop/systemd1/unit/getty_40tty1_2eservice");
    assert_eq!(unit_path("7zip-x.timer"), "/org/freedesktop/systemd1/unit/_37zip_2dx_2etimer");
}

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
    while !said.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    assert!(said.starts_with(b"\0AUTH EXTERNAL 3"), "{said:?}");
    stream.write_all(b"OK 0123\r\n").unwrap();
    let mut begin = [0; 7];
    stream.read_exact(&mut begin).unwrap();
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
