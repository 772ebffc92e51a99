//! What a real bus of Debian 12 said (`recorded.bin`: answers to Hello, two rules, a rule that makes no sense and
//! Subscribe, then two signals of a timer that is stopped), and a program made for the test.

use std::{os::unix::net::UnixListener, thread};

use super::{
    codec::{Value, unit_path},
    *,
};

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

#[test]
fn of_a_dictionary_the_simple_values_are_taken() {
    let signal = messages(RECORDED).pop().unwrap();
    assert!(signal.properties.is_empty(), "the signal's body is no dictionary alone");
    // `GetAll` of a unit of Debian 12.
    let all = messages(include_bytes!("get_all.bin")).pop().unwrap();
    let value = |wanted: &str| all.properties.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    assert_eq!(value("Id"), Some(&Value::Text("ssh.service".into())));
    assert_eq!(value("LoadState"), Some(&Value::Text("loaded".into())));
    assert_eq!(value("NeedDaemonReload"), Some(&Value::Flag(false)));
    assert!(matches!(value("InactiveExitTimestampMonotonic"), Some(Value::Number(1..))));
    // Lists, and lists of structures, are gone past.
    assert_eq!((value("Names"), value("Conditions")), (None, None));
    assert!(value("CollectMode").is_some());
}

/// The answer that a property has this value, or with an error where there is none.
fn answer(serial: u32, value: Option<(u8, &[u8])>) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some((kind, value)) = value {
        body.extend([1, kind, 0]);
        let width = if matches!(kind, b't' | b'x') { 8 } else { 4 };
        body.resize(body.len().next_multiple_of(width), 0);
        body.extend(value);
    }
    let mut fields = vec![5, 1, b'u', 0];
    fields.extend(serial.to_le_bytes());
    if value.is_some() {
        fields.extend([8, 1, b'g', 0, 1, b'v', 0]);
    }
    let mut bytes = vec![b'l', if value.is_some() { 2 } else { 3 }, 1, 1];
    for number in [body.len() as u32, serial + 100, fields.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

#[test]
fn answers_come_in_any_order_and_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = Vec::new();
        let mut calls = Vec::new();
        while calls.len() < 5 {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).unwrap();
            said.extend_from_slice(&piece[..count]);
            if let Some(end) = said.windows(7).position(|some| some == b"BEGIN\r\n") {
                assert!(said.starts_with(b"\0AUTH EXTERNAL 3"), "{said:?}");
                stream.write_all(b"OK 0123\r\n").unwrap();
                said.drain(..end + 7);
            }
            if said.first() != Some(&0) {
                while let Ok(Some((call, used))) = codec::take(&said) {
                    said.drain(..used);
                    calls.push(call);
                }
            }
        }
        assert!(calls.iter().all(|call| call.kind == Kind::Call && call.member == "Get"));
        let mut bytes = answer(5, Some((b't', &7_u64.to_le_bytes())));
        // A signal, and an answer to nothing that was asked, in between.
        bytes.extend(&RECORDED[652..]);
        bytes.extend(answer(99, None));
        bytes.extend(answer(1, Some((b's', b"\x04\0\0\0unit\0"))));
        bytes.extend(answer(2, Some((b'b', &[1, 0, 0, 0]))));
        bytes.extend(answer(4, Some((b'i', &(-1_i32).to_le_bytes()))));
        bytes.extend(answer(3, None));
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
        }
        stream
    });
    let mut connection = Connection::to(&socket).unwrap();
    let call = Call { destination: "d", path: "/p", interface: "i", member: "Get", arguments: &["x", "y"] };
    let answers = connection.ask_all(&[call; 5]).unwrap();
    let one =
        |message: Message| (message.kind, message.properties.into_iter().next().map(|(_, value)| value));
    let values: Vec<(Kind, Option<Value>)> = answers.into_iter().map(one).collect();
    assert_eq!(
        values,
        [
            (Kind::Return, Some(Value::Text("unit".into()))),
            (Kind::Return, Some(Value::Flag(true))),
            (Kind::Error, None),
            (Kind::Return, Some(Value::Number(-1))),
            (Kind::Return, Some(Value::Number(7))),
        ]
    );
    drop(other.join().unwrap());
    assert!(connection.ask(&call).is_err(), "the connection has ended");
}
